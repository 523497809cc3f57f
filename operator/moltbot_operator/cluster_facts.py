"""What is true of the whole cluster: its version, whether it has a default StorageClass, where its API server is."""

from __future__ import annotations

import ipaddress

from moltbot_kube import Forbidden, Kube, NotFound
from moltbot_kube.resources import ENDPOINT_SLICES, STORAGE_CLASSES
from moltbot_operator.storage import default_class_exists
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.cluster")
# Restartable init containers are on by default since 1.29 and the admission policies of the chart are stable since 1.30.
OLDEST = (1, 30)
CLASS_SECONDS = 60.0


class ClusterFacts:
    """One for the process; `read` once at start."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube, self._clock = kube, clock
        self._asked = float("-inf")
        self._default_class: bool | None = None
        self.too_old: str | None = None
        self.api_ranges: tuple[str, ...] = ()

    async def read(self) -> None:
        """Ask once. Raises KubeError."""
        version = await self._kube.version()
        if version < OLDEST:
            self.too_old = (
                f"this cluster is Kubernetes {version[0]}.{version[1]}, and at least {OLDEST[0]}.{OLDEST[1]} is needed "
                "(the state container is a restartable init container): upgrade the cluster"
            )
            log.error("kubernetes too old", version=f"{version[0]}.{version[1]}")
        self.api_ranges = await self._public_endpoints()

    async def _public_endpoints(self) -> tuple[str, ...]:
        """The API server's own addresses where they are public: gateways may not reach them (rule 11)."""
        try:
            found = await self._kube.get(ENDPOINT_SLICES, "kubernetes", "default")
        except Forbidden:
            log.warning("the API server's addresses cannot be read", hint="name them in network.deniedCIDRs where they are public")
            return ()
        ranges = []
        for endpoint in (found or {}).get("endpoints") or ():
            for text in endpoint.get("addresses") or ():
                try:
                    address = ipaddress.ip_address(text)
                except ValueError:
                    continue
                if address.is_global:
                    ranges.append(f"{address}/{address.max_prefixlen}")
        return tuple(sorted(set(ranges)))

    async def has_default_class(self) -> bool | None:
        """Whether there is a default StorageClass; None when that cannot be asked. At most a minute old."""
        now = self._clock.monotonic()
        if now - self._asked >= CLASS_SECONDS:
            try:
                listing = await self._kube.list(STORAGE_CLASSES)
                self._default_class = default_class_exists(listing.items)
            except (Forbidden, NotFound):
                self._default_class = None
            self._asked = now
        return self._default_class
