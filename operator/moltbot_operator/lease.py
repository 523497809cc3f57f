"""The operator's Lease (coordination.k8s.io): one at a time, also in the moment in which an old one still ends.

As client-go's leader election: the holder renews; who finds it not renewed for its duration by the *own* clock takes it over; who cannot
renew ends its process. The same identity takes its own Lease over at once (a restarted container, `moltbot up` after a crash).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from moltbot_api.names import FIELD_MANAGER, OPERATOR_LEASE
from moltbot_kube import AlreadyExists, Conflict, Kube, KubeError, Object
from moltbot_kube.resources import LEASES
from moltbot_operator.metrics import LEADING
from moltbot_trust.clock import Clock, format_micro_time
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.lease")

# client-go's defaults (seconds). https://pkg.go.dev/k8s.io/client-go/tools/leaderelection#LeaderElectionConfig
DURATION_SECONDS = 15
RENEW_SECONDS = 5.0
RETRY_SECONDS = 2.0
# Without a renewal for so long the holder stops, before anybody else may begin.
GIVE_UP_SECONDS = 10.0


class LeaseLost(Exception):
    """Another process holds it, or it could not be renewed in time: this one must end."""


@dataclass(slots=True)
class _Seen:
    """What another one's Lease said, and since when by our own clock."""

    mark: tuple[object, ...]
    since: float


class Lease:
    """`acquire`, then `hold` for as long as the process lives, then `release`."""

    def __init__(self, kube: Kube, clock: Clock, namespace: str, identity: str) -> None:
        self._kube, self._clock, self._namespace, self._identity = kube, clock, namespace, identity
        self._seen: _Seen | None = None
        self._version = ""
        self._transitions = 0

    async def acquire(self) -> None:
        """Wait until it is ours. Safe to cancel."""
        waiting = False
        while not await self._try():
            if not waiting:
                waiting = True
                log.info("waiting for the lease", holder=self._seen.mark[0] if self._seen else None)
            await self._clock.sleep(RETRY_SECONDS)
        LEADING.set(1)
        log.info("lease acquired", identity=self._identity)

    async def _try(self) -> bool:
        try:
            live = await self._kube.get(LEASES, OPERATOR_LEASE, self._namespace)
            if live is None:
                body = self._body()
                made = await self._kube.create(LEASES, body, field_manager=FIELD_MANAGER)
                self._version = str(made["metadata"]["resourceVersion"])
                return True
            spec = live.get("spec") or {}
            holder = str(spec.get("holderIdentity") or "")
            if holder not in ("", self._identity) and not self._expired(live, spec):
                return False
            self._transitions = int(spec.get("leaseTransitions") or 0) + (1 if holder != self._identity else 0)
            await self._write(str(live["metadata"]["resourceVersion"]))
        except (AlreadyExists, Conflict):
            return False
        except KubeError as error:
            log.warning("lease not readable", error=str(error))
            return False
        return True

    def _expired(self, live: Object, spec: Object) -> bool:
        mark = (spec.get("holderIdentity"), spec.get("renewTime"), live["metadata"].get("uid"))
        now = self._clock.monotonic()
        if self._seen is None or self._seen.mark != mark:
            self._seen = _Seen(mark, now)
        return now - self._seen.since >= float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    async def hold(self) -> None:
        """Renew until cancelled. Raises LeaseLost."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._write(self._version)
                renewed = self._clock.monotonic()
            except Conflict as error:
                if not await self._still_ours():
                    LEADING.set(0)
                    raise LeaseLost("another operator has taken the Lease over") from error
            except (KubeError, TimeoutError) as error:
                if self._clock.monotonic() - renewed >= GIVE_UP_SECONDS:
                    LEADING.set(0)
                    raise LeaseLost("the Lease could not be renewed in time") from error
                log.warning("lease not renewed", error=str(error))

    async def _still_ours(self) -> bool:
        """After a conflict: somebody may merely have annotated it. Learns its version."""
        live = await self._kube.get(LEASES, OPERATOR_LEASE, self._namespace)
        if live is None or (live.get("spec") or {}).get("holderIdentity") != self._identity:
            return False
        self._version = str(live["metadata"]["resourceVersion"])
        return True

    async def release(self) -> None:
        """Give it back, so that the next one need not wait. Never fails."""
        LEADING.set(0)
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._write(self._version, holder="")
        except (KubeError, TimeoutError) as error:
            log.warning("lease not released", error=str(error))

    def _spec(self, holder: str) -> Object:
        now = format_micro_time(self._clock.now())
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": self._transitions,
        }

    def _body(self) -> Object:
        metadata = {"name": OPERATOR_LEASE, "namespace": self._namespace}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": self._spec(self._identity)}

    async def _write(self, resource_version: str, holder: str | None = None) -> None:
        spec = self._spec(self._identity if holder is None else holder)
        del spec["acquireTime"]
        made = await self._kube.patch(
            LEASES, OPERATOR_LEASE, self._namespace, {"spec": spec}, field_manager=FIELD_MANAGER, resource_version=resource_version
        )
        self._version = str(made["metadata"]["resourceVersion"])
