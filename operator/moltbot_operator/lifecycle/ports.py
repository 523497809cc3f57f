"""What the lifecycle needs of the world. The operator's reconcile implements it with `moltbot_kube` and `moltbot_trust.control`.

Every call is bounded by `timeout` (seconds; the adapter enforces it) and may be cancelled: nothing here relies on having seen an answer,
since an answer can be lost after the call was carried out. Adapters raise the errors of this module and nothing else.

    PortError
    ├── Unavailable      no answer, or one that cannot be understood: the call may or may not have been carried out
    ├── Conflict         (Cluster) the object changed since it was read, or is another one by now
    └── Missing          (Cluster) the object does not exist
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from moltbot_operator.lifecycle.observed import Key, Observed, PodFacts
from moltbot_operator.lifecycle.reports import GatewayReport, SnapshotReport, StateReport
from moltbot_operator.lifecycle.status import LastBackup, LifecycleStatus
from moltbot_trust.clock import Clock


class PortError(Exception):
    """Base of what ports raise; the text is for people (no secrets, no addresses of ours needed)."""


class Unavailable(PortError):
    """No answer within the time, a refused connection, or an answer that cannot be understood."""


class Conflict(PortError):
    """The object is not the one that was read: another resourceVersion or uid."""


class Missing(PortError):
    """The object does not exist."""


class Checkpoint(StrEnum):
    """The named steps of sleep and wake, passed right *after* what they name: a log line in production, a place to kill in tests."""

    WAKE_DECIDED = "wake.decided"
    WAKE_SCALED = "wake.scaled"
    SLEEP_DECIDED = "sleep.decided"  # 1 idle, or asked for
    SLEEP_SNAPSHOT = "sleep.snapshot"  # 2 ordinary snapshot while awake
    SLEEP_QUIESCED = "sleep.quiesced"  # 3
    SLEEP_FINAL_SNAPSHOT = "sleep.final-snapshot"  # 4
    SLEEP_RECORDED = "sleep.recorded"  # status says what the next pod and the next operator must know
    SLEEP_VERSION_READ = "sleep.version-read"
    SLEEP_COMMITTED = "sleep.committed"  # 5
    SLEEP_SCALED = "sleep.scaled"  # 6, or the pod deleted for a restart


Checkpoints = Callable[[Key, Checkpoint], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ScaleFacts:
    """The StatefulSet read from the API itself (never from a cache)."""

    uid: str
    resource_version: str
    replicas: int


class SnapshotReason(StrEnum):
    """Why the state container is asked for a snapshot."""

    SCHEDULED = "scheduled"
    FINAL = "final"
    REQUESTED = "requested"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class SnapshotOutcome:
    """What becomes of a MoltbotSnapshot: complete with what it is, or failed with why."""

    complete: bool
    snapshot: SnapshotReport | None
    message: str
    time: datetime
    backup: LastBackup | None = None  # asleep: what the bucket holds, when nobody can describe the snapshot itself


class Cluster(Protocol):
    """What is read from and written to the Kubernetes API."""

    async def observe(self, key: Key) -> Observed | None:
        """The newest known state of this Moltbot, from the informers (may be a moment behind). `None`: the Moltbot is gone."""

    async def read_scale(self, key: Key, *, timeout: float) -> ScaleFacts | None:
        """The StatefulSet read from the API itself, never from a cache. `None`: it does not exist."""

    async def scale(self, key: Key, replicas: int, *, uid: str, resource_version: str | None, timeout: float) -> None:
        """Write `spec.replicas` (0 or 1) through the scale subresource, on that very object.

        `resource_version` (always given for 0) is a precondition. Writing the number that stands there already is fine.
        Raises Conflict, Missing, Unavailable.
        """

    async def delete_pod(self, key: Key, uid: str, *, timeout: float) -> None:
        """Delete the gateway's pod with that uid as precondition and its own grace, never forced. A pod that is gone is fine.

        Raises Conflict (another pod has the name now), Unavailable.
        """

    async def record(self, key: Key, moltbot_uid: str, status: LifecycleStatus, *, timeout: float) -> None:
        """Write the lifecycle's part of the status now, and `recorded` into ConfigMap `<name>-boot` first where it changed.

        Nothing that stands there already is written. Raises Conflict, Missing (the Moltbot is gone or another one), Unavailable.
        """

    async def finish_snapshot(self, key: Key, name: str, uid: str, outcome: SnapshotOutcome, *, timeout: float) -> None:
        """Write the status of a MoltbotSnapshot. Raises Conflict, Missing, Unavailable."""

    async def mirror_snapshot(self, key: Key, moltbot_uid: str, snapshot: SnapshotReport, *, timeout: float) -> None:
        """Make the MoltbotSnapshot, complete, that shows this one of the bucket; its name follows from the snapshot's id, so one that
        exists is fine. It must be recognisable as a mirror at once (SnapshotFacts.requested false), not only once its status is written.
        Raises Unavailable."""

    async def remove_mirror(self, key: Key, name: str, uid: str, *, timeout: float) -> None:
        """Delete the object, never what is in the bucket; one that is gone is fine. Raises Conflict, Unavailable."""

    def event(self, key: Key, moltbot_uid: str, *, warning: bool, reason: str, message: str) -> None:
        """Tell people by an Event, deduplicated by the adapter; never fails, never waits."""


@dataclass(frozen=True, slots=True)
class Quiesced:
    """New work is refused from here on (or for ever: `committed`)."""

    committed: bool
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Refused: these things are going on."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """The process never serves again."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Refused: this id was resumed, has run out or was never known."""


class GatewayControl(Protocol):
    """Port 18790 of a pod. All raise Unavailable; `pod` names address, pinned certificate and audience."""

    async def report(self, pod: PodFacts, *, timeout: float) -> GatewayReport:
        """`GET /report`, through `parse_gateway_report`."""

    async def quiesce(self, pod: PodFacts, handshake_id: str, *, ttl: float, force: bool, timeout: float) -> Quiesced | Busy | Resumed:
        """`POST /quiesce {"id", "ttlSeconds", "force"}`: with `force` a running turn is ended as SIGTERM does."""

    async def commit(self, pod: PodFacts, handshake_id: str, *, timeout: float) -> Committed | Resumed:
        """`POST /commit {"id"}`."""


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """A verified snapshot equal to the state; `created` is false when the bucket had it already."""

    created: bool
    snapshot: SnapshotReport


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """No snapshot: a reason of BackupReady (or `restoring`) and a sentence."""

    reason: str
    message: str


class StateControl(Protocol):
    """Port 18791 of a pod, where there is a bucket. All raise Unavailable."""

    async def report(self, pod: PodFacts, *, timeout: float) -> StateReport:
        """`GET /report`, through `parse_state_report`."""

    async def snapshot(
        self, pod: PodFacts, reason: SnapshotReason, *, handshake_id: str | None, timeout: float
    ) -> SnapshotTaken | SnapshotRefused:
        """`POST /snapshot {"reason", "id"?}`; takes as long as the upload does."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step leaves behind: the lifecycle's part of the status as it should stand now, and when to look again.

    `requeue_after`: seconds, `None`: only events matter. The edge writes `status` with its own parts: at once when something changed,
    mere counters and times (`last_activity`, `usage`, `last_backup.time`) at most every 5 minutes.
    """

    status: LifecycleStatus
    requeue_after: float | None


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a step may touch."""

    cluster: Cluster
    gateway: GatewayControl
    state: StateControl
    clock: Clock
    checkpoint: Checkpoints
