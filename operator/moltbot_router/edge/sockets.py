"""People's WebSockets: upgrade, opening, hello-ok, and then a `Session`."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from moltbot_protocol.errors import CloseCode
from moltbot_protocol.events import challenge
from moltbot_protocol.frames import answer, refuse, serialise
from moltbot_protocol.hello import OPENING_SECONDS, POLICIES, PRE_AUTH_BYTES, DeviceGrant, Hello, build_hello
from moltbot_router.edge.answers import json_error
from moltbot_router.edge.client_socket import PersonSocket
from moltbot_router.edge.listener import limit_bytes
from moltbot_router.locks.credentials import read_presented
from moltbot_router.locks.device_tokens import make_device_token
from moltbot_router.locks.pairing import Pairing
from moltbot_router.path.asleep import health
from moltbot_router.path.facts import DeviceFacts, Key
from moltbot_router.path.forwarded import Origin
from moltbot_router.path.opening import Arrival, Opened, Opening, OpeningError, Target
from moltbot_router.path.ports import ClusterError
from moltbot_router.path.session import Session, SessionServices
from moltbot_router.path.sessions import Sessions
from moltbot_trust.logs import get_logger

# Connections that have not passed a lock yet: in all, and from one address.
MAX_OPENINGS, MAX_OPENINGS_EACH = 512, 32
# The frame that opens, its head and mask, and pings before it.
OPENING_BYTES = PRE_AUTH_BYTES + 1024
PING_SECONDS = 25.0
MAX_FRAME_BYTES = max(policy.max_payload for policy in POLICIES.values())

log = get_logger("moltbot_router.sockets")


class Sockets:
    """Serves upgrades. `find_target`: the Moltbot of a host, None for any other host."""

    def __init__(
        self,
        *,
        opening: Opening,
        pairing: Pairing,
        sessions: Sessions,
        services: SessionServices,
        find_target: Callable[[str], Target | None],
        version: str,
    ) -> None:
        self._opening, self._pairing, self._sessions, self._services = opening, pairing, sessions, services
        self._find_target, self._version = find_target, version
        self._openings: Counter[str] = Counter()
        self._boot = str(uuid.uuid4())
        self._started = services.clock.monotonic()
        self._closing = False

    async def serve(self, request: web.BaseRequest, origin: Origin) -> web.StreamResponse:
        """One connection, from upgrade to end."""
        if self._closing or self._openings.total() >= MAX_OPENINGS or self._openings[origin.address] >= MAX_OPENINGS_EACH:
            return json_error(503, "busy", "too many connections are being opened; try again", {"Retry-After": "2"})
        socket = web.WebSocketResponse(max_msg_size=MAX_FRAME_BYTES, compress=False, heartbeat=PING_SECONDS)
        limit_bytes(request, OPENING_BYTES)
        self._openings[origin.address] += 1
        try:
            await socket.prepare(request)
            opened = await self._open(request, PersonSocket(socket), origin)
        finally:
            self._openings[origin.address] -= 1
            if self._openings[origin.address] <= 0:
                del self._openings[origin.address]
        if opened is not None:
            limit_bytes(request, None)
            await self._converse(PersonSocket(socket), *opened)
        return socket

    def stop(self) -> None:
        """No new ones: the router goes."""
        self._closing = True

    async def _open(self, request: web.BaseRequest, client: PersonSocket, origin: Origin) -> tuple[Target, Opened] | None:
        nonce = str(uuid.uuid4())
        _, _, query = request.raw_path.partition("?")
        secure = origin.scheme == "https"
        presented = read_presented(query, request.headers.get("Authorization", ""), request.cookies, secure=secure)
        arrival = Arrival(origin.address, presented, cookie_ok=origin.is_own(request.headers.get("Origin", "")))
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                await client.send(serialise(challenge(nonce, self._now_ms())))
                text = await client.receive()
                if text is None:
                    return None
                target = self._find_target(origin.host)
                opened = await self._opening.run(text, nonce=nonce, arrival=arrival, target=target)
        except OpeningError as error:
            await client.send(serialise(refuse(error.request_id, error.error)))
            await client.close(error.close, error.error.message)
            return None
        except TimeoutError:
            await client.close(CloseCode.POLICY, "handshake timeout")
            return None
        except ConnectionError:
            return None
        assert target is not None
        return target, opened

    async def _converse(self, client: PersonSocket, target: Target, opened: Opened) -> None:
        conn_id = str(uuid.uuid4())
        key, device = target.key, opened.grant.device
        bound = log.bind(namespace=key.namespace, moltbot=key.name, device=device.device_id, connection=conn_id)
        try:
            await client.send(serialise(answer(opened.request_id, self._hello(target, opened, conn_id))))
        except ConnectionError:
            return
        session = Session(key, opened.grant, protocol=opened.protocol, conn_id=conn_id, client=client, services=self._services)
        bound.info("connected", client=opened.connect.client.id, protocol=opened.protocol, role=opened.grant.role)
        seen = asyncio.create_task(self._note_seen(key, device))
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            seen.cancel()
            bound.info("disconnected")

    def _hello(self, target: Target, opened: Opened, conn_id: str) -> dict[str, object]:
        grant, moltbot = opened.grant, target.moltbot
        token = make_device_token(target.ring, grant.device, grant.role)
        return build_hello(
            Hello(
                protocol=opened.protocol,
                version=self._version,
                conn_id=conn_id,
                grant=DeviceGrant(grant.role, grant.scopes, token, self._now_ms()),
                health=health(moltbot, self._now_ms()),
                uptime_ms=int((self._services.clock.monotonic() - self._started) * 1000),
                model_configured=bool(moltbot.model),
                boot_id=self._boot,
                name=moltbot.key.name,
            )
        )

    async def _note_seen(self, key: Key, device: DeviceFacts) -> None:
        try:
            await self._pairing.note_seen(key, device)
        except ClusterError as error:
            log.debug("last seen not written", moltbot=str(key), error=str(error))

    def _now_ms(self) -> int:
        return int(self._services.clock.epoch() * 1000)
