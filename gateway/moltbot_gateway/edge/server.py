"""Port 18789: people's traffic, TLS, and nothing without a valid seal but `/healthz` and `/readyz` (rules 3 and 4).

What a pod answers is data, never a page (rule 12): every response says so to a browser that should get one.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from moltbot_gateway.activity import Kind
from moltbot_gateway.edge.connection import MAX_FRAME, Connection
from moltbot_gateway.gateway import Gateway
from moltbot_gateway.handshake import State
from moltbot_protocol.errors import CloseCode
from moltbot_trust.errors import CredentialError
from moltbot_trust.keys import KeyRing
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import HEADER, KnownSeals, Seal

log = get_logger("moltbot_gateway.server")

NOT_ACCEPTED_HEADER = "Moltbot-Not-Accepted"
# One assistant has a handful of devices; a router that opens more than this has gone wrong.
MAX_CONNECTIONS = 512
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class Server:
    def __init__(self, gateway: Gateway, ring: KeyRing) -> None:
        self._gateway = gateway
        self._seals = KnownSeals(ring, gateway.settings.pod_uid)
        self._connections: set[Connection] = set()
        self._closing: asyncio.Task[None] | None = None
        gateway.on_commit.append(self._close_soon)

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._sealed])
        application.router.add_get("/healthz", self.healthz)
        application.router.add_get("/readyz", self.readyz)
        application.router.add_get("/", self.root)
        application.router.add_route("*", "/{path:.*}", self.anything, expect_handler=self.expect)
        application.on_response_prepare.append(_mark_as_data)
        return application

    async def close(self) -> None:
        """Tell every client to come back, and close. Turns that are still running go on without listeners."""
        await asyncio.gather(*(connection.close(CloseCode.RESTART, "the assistant goes to sleep") for connection in self._connections))

    def _close_soon(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self.close())

    # entry points

    async def healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def readyz(self, request: web.Request) -> web.Response:
        state = self._gateway.state
        ready = state in (State.OPEN, State.QUIESCED)
        return web.json_response({"ready": ready, "state": state.value}, status=200 if ready else 503)

    async def root(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket. Connecting is no activity, so a quiesced gateway takes it: reads are answered until the commit."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return await self.anything(request)
        state = self._gateway.state
        if state is State.COMMITTED:
            return self._not_accepted(self._gateway.handshake.quiesce_id or "")
        if state is State.RESTORING or len(self._connections) >= MAX_CONNECTIONS:
            return web.json_response(
                {"error": "unavailable", "message": "not ready for connections yet; try again"}, status=503, headers={"Retry-After": "1"}
            )
        socket = web.WebSocketResponse(max_msg_size=MAX_FRAME, compress=False, heartbeat=None, timeout=5.0)
        await socket.prepare(request)
        connection = Connection(self._gateway, socket, self._seal(request))
        self._connections.add(connection)
        self._gateway.warm_model()
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return socket

    async def anything(self, request: web.Request) -> web.StreamResponse:
        """No HTTP interface is served yet; the answer says so, and does not read what was sent."""
        refused = self._refuse_work()
        if refused is not None:
            return refused
        return web.json_response({"error": "not-found", "message": "this assistant serves nothing there"}, status=404)

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """`Expect: 100-continue`: an answer that needs no body is given before any of it was sent (rule 5b)."""
        try:
            self._seal(request)
        except CredentialError:
            return _unsealed()
        return await self.anything(request)

    # what they share

    def _refuse_work(self) -> web.Response | None:
        """HTTP requests that passed the locks are activity. No await between being admitted and being counted."""
        gateway = self._gateway
        if gateway.state is State.RESTORING:
            body = {"error": "unavailable", "message": "the assistant is still being brought back"}
            return web.json_response(body, status=503, headers={"Retry-After": "1"})
        refused = gateway.admit()
        if refused is not None:
            return self._not_accepted(refused.id)
        gateway.activity.note(Kind.REQUEST, gateway.clock.now())
        return None

    @staticmethod
    def _not_accepted(quiesce_id: str) -> web.Response:
        body = {"error": "not-accepted", "message": "going to sleep; send it again"}
        return web.json_response(body, status=503, headers={NOT_ACCEPTED_HEADER: quiesce_id, "Retry-After": "1"})

    def _seal(self, request: web.Request) -> Seal:
        return self._seals.read(request.headers.get(HEADER, ""), now=self._gateway.clock.epoch())

    @web.middleware
    async def _sealed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS:
            try:
                self._seal(request)
            except CredentialError as error:
                log.warning("request without a valid seal", fault=error.fault.value)
                return _unsealed()
        return await handler(request)


def _unsealed() -> web.Response:
    return web.json_response({"error": "unauthorized", "message": "this port answers only to the router"}, status=401)


async def _mark_as_data(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = "sandbox"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"


__all__ = ["MAX_CONNECTIONS", "NOT_ACCEPTED_HEADER", "Server"]
