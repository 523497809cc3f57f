"""Connections into gateway pods: TLS pinned to the fingerprint of the very pod, every request under its seal (rule 3).

One session and one pool for all pods. The pin of a pod is one object, kept as long as the pod: aiohttp pools connections by its identity.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from moltbot_router.path.facts import MoltbotFacts, PodFacts
from moltbot_router.path.upstream import Committed, UpstreamLost, UpstreamRefused
from moltbot_trust.clock import Clock
from moltbot_trust.control import BadAnswer, ControlClient, Refused, Unreachable
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import HEADER as SEAL_HEADER
from moltbot_trust.seals import Seal, SealMaker, pod_audience
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, GATEWAY_PORT, parse_fingerprint, pod_url

NOT_ACCEPTED_HEADER = "Moltbot-Not-Accepted"
# One question `/readyz` (seconds). Short, and never a pause: the next one starts 25 ms after it, whatever became of it.
PROBE_SECONDS = 0.5
# Connecting for people's traffic: a pod that is there answers in milliseconds (seconds).
CONNECT_SECONDS = 1.5
CONTROL_SECONDS = 3.0
# Unused connections to a pod are closed before the gateway's own 75 s (seconds).
KEEPALIVE_SECONDS = 60.0
PING_SECONDS = 20.0
MAX_PODS = 4096
# Frames of the gateway may be as large as a history: 6 MiB and what is around it.
MAX_FRAME_BYTES = 32 * 1024 * 1024

log = get_logger("moltbot_router.gateways")


@dataclass(slots=True)
class _Pod:
    pin: aiohttp.Fingerprint
    control: ControlClient | None = None


class GatewayConnections:
    """Implements the path's `Gateways` and `Prober`, and sends HTTP for the proxy. Open with `start`, end with `close`."""

    def __init__(
        self, ring_of: Callable[[str], KeyRing | None], clock: Clock, ports: tuple[int, int] = (GATEWAY_PORT, GATEWAY_CONTROL_PORT)
    ) -> None:
        self._ring_of, self._clock, self._ports = ring_of, clock, ports
        self._seals = SealMaker()
        self._pods: OrderedDict[tuple[str, str, str], _Pod] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the pool."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, use_dns_cache=False)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def probe(self, pod: PodFacts) -> bool:
        """One `/readyz`; True when it answers 200."""
        limit = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with self._http.get(self._url(pod, "/readyz"), ssl=self._pod(pod).pin, timeout=limit, allow_redirects=False) as response:
                await response.content.read(64)
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def open_socket(self, moltbot: MoltbotFacts, pod: PodFacts, seal: Seal) -> GatewaySocket:
        """Raises UpstreamLost, UpstreamRefused."""
        headers = {SEAL_HEADER: self.make_seal(moltbot, pod, seal)}
        try:
            async with asyncio.timeout(CONNECT_SECONDS * 2):
                socket = await self._http.ws_connect(
                    self._url(pod, "/"),
                    ssl=self._pod(pod).pin,
                    headers=headers,
                    compress=0,
                    max_msg_size=MAX_FRAME_BYTES,
                    heartbeat=PING_SECONDS,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise UpstreamRefused(error.status, error.headers.get(NOT_ACCEPTED_HEADER) if error.headers else None) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamLost(type(error).__name__) from error
        return GatewaySocket(socket)

    async def resume(self, moltbot: MoltbotFacts, pod: PodFacts, quiesce_id: str) -> None:
        """Raises Committed, UpstreamLost."""
        await self._control(moltbot, pod, "/resume", {"id": quiesce_id})

    async def touch(self, moltbot: MoltbotFacts, pod: PodFacts) -> None:
        """Raises Committed, UpstreamLost."""
        await self._control(moltbot, pod, "/touch", {"kind": "page"})

    async def request(
        self,
        moltbot: MoltbotFacts,
        pod: PodFacts,
        seal: Seal,
        *,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        body: bytes | AsyncIterator[bytes] | None,
        expect: bool,
    ) -> aiohttp.ClientResponse:
        """Send one request of a person; the caller reads and closes the answer. `path` as it goes over the wire, beginning with `/`.
        Raises UpstreamLost."""
        sent = CIMultiDict(headers)  # several of one name stay several
        sent[SEAL_HEADER] = self.make_seal(moltbot, pod, seal)
        # No total: an answer may stream for hours. Connecting is bounded.
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            return await self._http.request(
                method,
                self._url(pod, path),
                ssl=self._pod(pod).pin,
                headers=sent,
                data=body,
                expect100=expect,
                timeout=limit,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamLost(type(error).__name__) from error

    def make_seal(self, moltbot: MoltbotFacts, pod: PodFacts, seal: Seal) -> str:
        """The seal's bytes, kept for 60 s. Raises UpstreamLost while there are no keys."""
        ring = self._ring_of(moltbot.uid)
        if ring is None:
            raise UpstreamLost("no keys")
        return self._seals.seal(ring, seal, pod_uid=pod.uid, now=self._clock.epoch())

    async def _control(self, moltbot: MoltbotFacts, pod: PodFacts, path: str, body: dict[str, object]) -> None:
        entry = self._pod(pod)
        ring = self._ring_of(moltbot.uid)
        if ring is None:
            raise UpstreamLost("no keys")
        if entry.control is None or entry.control.ring is not ring:
            entry.control = ControlClient(
                pod_url(pod.address, self._ports[1]),
                pod.fingerprint,
                ring,
                Purpose.ROUTER_GATEWAY,
                pod_audience(pod.uid),
                clock=self._clock,
                session=self._http,
            )
        try:
            await entry.control.post(path, body, timeout_seconds=CONTROL_SECONDS)
        except Refused as refused:
            if refused.status == 409:
                raise Committed(refused.message) from refused
            log.warning("gateway refused a control call", path=path, status=refused.status, error=refused.error)
            raise UpstreamLost(refused.error) from refused
        except (Unreachable, BadAnswer) as error:
            raise UpstreamLost(str(error)) from error

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "start() was not called"
        return self._session

    def _url(self, pod: PodFacts, path: str) -> URL:
        return URL(pod_url(pod.address, self._ports[0], path), encoded=True)

    def _pod(self, pod: PodFacts) -> _Pod:
        key = (pod.uid, pod.address, pod.fingerprint)
        entry = self._pods.get(key)
        if entry is None:
            entry = self._pods[key] = _Pod(aiohttp.Fingerprint(parse_fingerprint(pod.fingerprint)))
            while len(self._pods) > MAX_PODS:
                self._pods.popitem(last=False)
        else:
            self._pods.move_to_end(key)
        return entry


class GatewaySocket:
    """The path's `UpstreamSocket` over aiohttp."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        """Raises UpstreamLost."""
        if self._socket.closed:
            raise UpstreamLost("closed")
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            raise UpstreamLost(type(error).__name__) from error

    async def __aiter__(self) -> AsyncIterator[str]:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data
            elif message.type is aiohttp.WSMsgType.ERROR:
                return

    async def close(self) -> None:
        """Idempotent; bounded, for a pod that is gone answers no close frame."""
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            log.debug("upstream not closed in order", error=type(error).__name__)
