"""A gateway pod as the router meets it: TLS with its certificate, seals verified, `/readyz`, people's HTTP and WebSocket on one port,
control on another.

It is strict (no request without a seal made for this pod) and obedient (a test says what it answers): `quiesce` refuses new work as rule
5b has it, `commit` ends it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from moltbot_protocol.methods import METHODS, Asleep
from moltbot_router.path.facts import PodFacts
from moltbot_trust.assertions import Assertion
from moltbot_trust.clock import Clock
from moltbot_trust.control import Call, Refusal, control_application
from moltbot_trust.errors import CredentialError
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.seals import HEADER, Seal, pod_audience, read_seal
from moltbot_trust.tls import fingerprint_of, server_context
from tests.fakes.certificate import make_certificate

HttpHandler = Callable[[web.Request, Seal], Awaitable[web.StreamResponse]]


@dataclass
class FakeGatewayPod:
    """Start with `start`; then `facts()` is what the Pod object says."""

    ring: KeyRing
    uid: str
    clock: Clock
    ready: bool = True
    certificate_name: str = "ada"
    host: str = "127.0.0.1"
    ports: tuple[int, int] = (0, 0)
    frames: list[dict[str, Any]] = field(default_factory=list)
    seals: list[Seal] = field(default_factory=list)
    touches: list[dict[str, object]] = field(default_factory=list)
    resumes: list[str] = field(default_factory=list)
    probes: int = 0
    quiesced: str | None = None
    committed: bool = False
    ignore: set[str] = field(default_factory=set)  # methods that are taken and never answered
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    http: HttpHandler | None = None
    _runners: list[web.AppRunner] = field(default_factory=list)

    async def start(self) -> None:
        certificate, key = make_certificate(self.certificate_name)
        context = server_context(certificate, key)
        people = web.Application(client_max_size=64 * 1024 * 1024)
        people.router.add_route("*", "/{path:.*}", self._people, expect_handler=self._expect)
        calls = [
            Call("POST", "/touch", frozenset({Purpose.ROUTER_GATEWAY}), self._touch),
            Call("POST", "/resume", frozenset({Purpose.ROUTER_GATEWAY}), self._resume),
        ]
        control = control_application(calls, self.ring, {Purpose.ROUTER_GATEWAY: pod_audience(self.uid)}, self.clock)
        ports = []
        for application, port in ((people, self.ports[0]), (control, self.ports[1])):
            runner = web.AppRunner(application, shutdown_timeout=0.05)
            await runner.setup()
            await web.TCPSite(runner, self.host, port, ssl_context=context, reuse_port=True).start()
            self._runners.append(runner)
            ports.append(int(runner.addresses[0][1]))
        self.ports = (ports[0], ports[1])

    async def stop(self) -> None:
        for socket in list(self.sockets):
            await socket.close(code=1001)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def cut(self) -> None:
        """The connections break, without a word."""
        for socket in list(self.sockets):
            writer = socket._writer
            if writer is not None and writer.transport is not None:
                writer.transport.abort()

    @property
    def is_quiesced(self) -> bool:
        """Whether nobody resumed it."""
        return self.quiesced is not None

    def facts(self, **fields: object) -> PodFacts:
        certificate, _ = make_certificate(self.certificate_name)
        return PodFacts(self.uid, self.host, fingerprint_of(certificate), **fields)  # type: ignore[arg-type]

    # port 18789

    async def _expect(self, request: web.Request) -> None:
        """Refuse before the body is read, as the gateway does."""
        if self.quiesced is None and not self.committed:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0

    async def _people(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/readyz":
            self.probes += 1
            return web.Response(status=200 if self.ready and not self.committed else 503)
        try:
            seal = read_seal(self.ring, request.headers.get(HEADER, ""), pod_uid=self.uid, now=self.clock.epoch())
        except CredentialError:
            return web.json_response({"error": "unauthorized"}, status=401)
        self.seals.append(seal)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        if self.quiesced is not None:
            return web.Response(status=503, headers={"Moltbot-Not-Accepted": self.quiesced})
        if self.http is not None:
            return await self.http(request, seal)
        return web.json_response({"path": request.path_qs, "headers": dict(request.headers), "body": (await request.text())})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=32 * 1024 * 1024)
        await socket.prepare(request)
        self.sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._frame(socket, json.loads(message.data))
        finally:
            self.sockets.discard(socket)
        return socket

    async def _frame(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        method = METHODS[frame["method"]]
        if self.quiesced is not None and method.asleep is Asleep.WAKE:
            error = {"code": "UNAVAILABLE", "message": "going", "details": {"notAccepted": self.quiesced}, "retryable": True}
            await socket.send_json({"type": "res", "id": frame["id"], "ok": False, "error": error})
            return
        self.frames.append(frame)
        if frame["method"] in self.ignore:
            return
        payload: dict[str, object] = {"method": frame["method"]}
        if frame["method"] == "chat.send":
            payload = {"runId": frame["params"]["idempotencyKey"], "status": "started"}
        await socket.send_json({"type": "res", "id": frame["id"], "ok": True, "payload": payload})

    async def send_event(self, event: str, payload: object) -> None:
        await asyncio.gather(*(socket.send_json({"type": "event", "event": event, "payload": payload}) for socket in self.sockets))

    # port 18790

    async def _touch(self, body: object, assertion: Assertion) -> dict[str, object]:
        if self.committed:
            raise Refusal(409, "committed", "it never serves again")
        assert isinstance(body, dict)
        self.touches.append(dict(body))
        self.quiesced = None
        return {}

    async def _resume(self, body: object, assertion: Assertion) -> dict[str, object]:
        assert isinstance(body, dict)
        self.resumes.append(str(body.get("id")))
        if self.committed:
            raise Refusal(409, "committed", "it never serves again")
        self.quiesced = None
        return {"state": "open"}
