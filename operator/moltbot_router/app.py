"""The router as a whole: what is made of what, in which order it starts, and in which it stops."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from moltbot_router.edge.admin import AdminEdge, AdminServices
from moltbot_router.edge.events import EventStreams
from moltbot_router.edge.gateways import GatewayConnections
from moltbot_router.edge.listener import Listener
from moltbot_router.edge.proxy import Proxy
from moltbot_router.edge.public import PublicEdge, PublicServices
from moltbot_router.edge.sockets import Sockets
from moltbot_router.edge.statics import Statics
from moltbot_router.keystore import KeyStore
from moltbot_router.locks.ed25519 import verify_ed25519
from moltbot_router.locks.limit import AttemptLimit
from moltbot_router.locks.pairing import Pairing
from moltbot_router.metrics import Metrics
from moltbot_router.pages import ON_CLUSTER, WITHOUT_A_CLUSTER
from moltbot_router.path.administration import Administration
from moltbot_router.path.device_methods import DeviceMethods
from moltbot_router.path.facts import Key, MoltbotFacts
from moltbot_router.path.forwarded import parse_networks
from moltbot_router.path.hosts import HostTable
from moltbot_router.path.housekeeping import Housekeeping
from moltbot_router.path.opening import Opening, Target
from moltbot_router.path.ports import ClusterView, ClusterWrites
from moltbot_router.path.session import SessionServices
from moltbot_router.path.sessions import Sessions
from moltbot_router.path.touch import Presence
from moltbot_router.path.wake import HoldLimits, Waker
from moltbot_router.settings import Settings
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger
from moltbot_trust.settings import split_address
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, GATEWAY_PORT

# What is held or under way gets this long at a stop (seconds), the last of them to be told that it will not be served here; the chart's
# grace period is longer.
STOP_SECONDS, FAREWELL_SECONDS = 8.0, 1.0

log = get_logger("moltbot_router.app")


class Hosts:
    """The host table, made anew when a Moltbot comes, goes, or claims another host."""

    def __init__(self, view: ClusterView, base_domain: str) -> None:
        self._view, self._base_domain = view, base_domain
        self._table: HostTable | None = None
        self._known: dict[Key, tuple[str, str] | None] = {}
        view.subscribe(self._changed)

    def find(self, host: str) -> MoltbotFacts | None:
        """The Moltbot of a Host header."""
        if self._table is None:
            moltbots = list(self._view.moltbots())
            self._known = {moltbot.key: (moltbot.uid, moltbot.host) for moltbot in moltbots}
            self._table = HostTable(moltbots, self._base_domain)
        key = self._table.find(host)
        instance = self._view.instance(key) if key is not None else None
        return instance.moltbot if instance is not None else None

    def _changed(self, key: Key) -> None:
        instance = self._view.instance(key)
        now = (instance.moltbot.uid, instance.moltbot.host) if instance is not None else None
        if self._known.get(key) != now:
            self._table = None


class Router:
    """One router process. `start` listens; `close` stops in the order that loses nothing."""

    def __init__(
        self,
        settings: Settings,
        view: ClusterView,
        writes: ClusterWrites,
        clock: Clock,
        *,
        gateway_ports: tuple[int, int] = (GATEWAY_PORT, GATEWAY_CONTROL_PORT),
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._stop_seconds = stop_seconds
        self._view, self._clock = view, clock
        self.metrics = Metrics()
        self.keys = KeyStore(Path(settings.keys_dir) / "keys.json", Path(settings.admin_key_file), clock)
        self.gateways = GatewayConnections(self.keys.ring_of, clock, gateway_ports)
        limits = HoldLimits(settings.hold_limit, settings.hold_total, settings.hold_seconds)
        self.waker = Waker(view, writes, self.gateways, clock, limits, observe=self._observe_wake)
        self._hosts = Hosts(view, settings.base_domain)
        pairing = Pairing(view, writes, clock)
        self._housekeeping = Housekeeping(view, pairing, clock)
        self.sessions = Sessions(view, clock)
        self._presence = Presence(view, self.waker, self.gateways, clock)
        self._streams = EventStreams(clock)
        limit = AttemptLimit()
        statics = Statics(Path(settings.static_dir) if settings.static_dir else Path(__file__).parent / "static")
        methods = DeviceMethods(view, pairing, clock, self.keys.ring_of)
        self._sockets = Sockets(
            opening=Opening(pairing, limit, clock, verify_ed25519),
            pairing=pairing,
            sessions=self.sessions,
            services=SessionServices(view, self.waker, self.gateways, clock, methods),
            find_target=self._find_target,
            version=_version(),
        )
        public = PublicEdge(
            PublicServices(
                view=view,
                waker=self.waker,
                proxy=Proxy(view, self.waker, self.gateways, clock),
                sockets=self._sockets,
                presence=self._presence,
                streams=self._streams,
                statics=statics,
                limit=limit,
                clock=clock,
                metrics=self.metrics,
                find_target=self._find_target,
                ready=lambda: self.keys.ready and view.synced,
                trusted=parse_networks(settings.trusted_proxies),
                admin_url=settings.admin_url or None,
                command=ON_CLUSTER if settings.on_cluster else WITHOUT_A_CLUSTER,
            )
        )
        administration = Administration(view, writes, pairing, clock, self.sessions.connected)
        admin = AdminEdge(
            AdminServices(
                administration=administration,
                view=view,
                sessions=self.sessions,
                streams=self._streams,
                keys=self.keys,
                statics=statics,
                limit=AttemptLimit(attempts=30, block=60),
                clock=clock,
            )
        )
        self.public = Listener(public.handle, *split_address(settings.listen), grace=stop_seconds)
        self.admin = Listener(admin.handle, *split_address(settings.admin_listen), grace=1.0)
        self.metrics_listener = (
            Listener(self.metrics.handle, *split_address(settings.metrics_listen), grace=1.0) if settings.metrics_listen else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def start(self) -> None:
        """Listen. Until keys and cluster are there, people are told to come back in a moment. Raises OSError that names a taken port."""
        await self.gateways.start()
        self.keys.look()
        self._tasks = [
            asyncio.create_task(self.keys.run(), name="keys"),
            asyncio.create_task(self._housekeeping.run(), name="housekeeping"),
            asyncio.create_task(self._gauges(), name="gauges"),
        ]
        await self.public.start()
        await self.admin.start()
        if self.metrics_listener is not None:
            await self.metrics_listener.start()
        log.info("listening", port=self.public.port, administration=self.admin.port)

    async def close(self) -> None:
        """Sockets are told and closed with 1012; streams end; what is held or under way gets its answer within a few seconds, or a 503;
        then the rest goes."""
        if self._closed:
            return
        self._closed = True
        self._sockets.stop()
        await self.sessions.close()
        self._streams.close()
        await asyncio.gather(self.public.close(), self._end_holding(), self.admin.close())
        await self._presence.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.metrics_listener is not None:
            await self.metrics_listener.close()
        await self.gateways.close()
        log.info("stopped")

    async def _end_holding(self) -> None:
        """Whoever still waits for a wake shortly before the end gets a 503 instead of a cut connection."""
        await self.waker.drained(max(0.0, self._stop_seconds - FAREWELL_SECONDS))
        await self.waker.close()

    def _find_target(self, host: str) -> Target | None:
        moltbot = self._hosts.find(host)
        ring = self.keys.ring_of(moltbot.uid) if moltbot is not None else None
        if moltbot is None or ring is None:
            return None
        return Target(moltbot, ring, self._view.devices(moltbot.key))

    def _observe_wake(self, seconds: float | None) -> None:
        if seconds is None:
            self.metrics.wake_failed()
        else:
            self.metrics.woke(seconds)

    async def _gauges(self) -> None:
        while True:
            self.metrics.held.set(self.waker.held)
            self.metrics.connections.set(len(self.sessions))
            await self._clock.sleep(5.0)


def _version() -> str:
    try:
        return version("moltbot-operator")
    except PackageNotFoundError:
        return "0"
