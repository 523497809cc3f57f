"""What is seen of one Moltbot in the cluster, reduced to what sleeping and waking depend on.

Built at the edge (the operator's reconcile, from its informers) and never changed. Times are aware, in UTC; durations are seconds.
What a pod says about itself is not here but in `reports`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.status import LifecycleStatus, Reason


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which Moltbot."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Storage(StrEnum):
    """Where the state lives between pods."""

    VOLUME = "volume"
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something may not happen, for a condition: a reason of the catalogue and a sentence that says what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class MoltbotFacts:
    """The resource itself. `sleep_after`: the effective value (spec, else the Secret's key, else the default) in seconds, `None`: never."""

    key: Key
    uid: str
    generation: int
    created_at: datetime
    mode: OperatingMode
    sleep_after: float | None
    storage: Storage
    has_bucket: bool
    lose_on_restart: bool = False
    deleting: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    # A half-set bucket, a missing Secret …: it must not be started (it would begin empty), or not be put to sleep (it could not be kept).
    start_obstacle: Obstacle | None = None
    sleep_obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class StatefulSetFacts:
    """The StatefulSet as last seen.

    `hashed`: it bears our hash annotation, so its template is whole (rule 2: nobody writes 1 before). `revision`: `status.updateRevision`,
    `None` while the controller has not looked at the present template (`observedGeneration` behind `generation`).
    `model`: hash of how a pod of this template reaches the model; `None`: not known.
    `jobs`: a fingerprint for each job's time that a pod of this template reads (`agent_schedule.fingerprints`); `None`: not known.
    `inputs`: hash of what a person chose among all that shapes the template (spec, Secrets' values), from the template's annotation; a pod
    whose `inputs` differ is out of date by a person's doing, one that differs in revision only by ours. `None`: not known.
    """

    uid: str
    resource_version: str
    replicas: int
    hashed: bool
    revision: str | None = None
    inputs: str | None = None
    model: str | None = None
    jobs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """One container of the pod (init containers too): why it waits, as the kubelet says (`ErrImagePull`, `CrashLoopBackOff` …)."""

    name: str
    waiting_reason: str | None = None
    waiting_message: str = ""
    restarts: int = 0
    last_exit: str = ""  # reason and code of the last termination, for people
    failed: bool = False  # it has ended with an exit code other than 0, and is not running again yet


@dataclass(frozen=True, slots=True)
class PodFacts:
    """The pod `<name>-gateway-0`, only when its owner is the present StatefulSet.

    `deletion_at` is `deletionTimestamp`: the moment at which its grace is over.
    `certificate` is the fingerprint (hex) that connections to it are pinned to, `None`: no annotation, so it cannot be talked to.
    """

    uid: str
    created_at: datetime
    ip: str | None = None
    phase: str = "Pending"
    ready: bool = False
    deletion_at: datetime | None = None
    revision: str | None = None
    inputs: str | None = None
    model: str | None = None
    jobs: tuple[str, ...] | None = None
    node: str | None = None
    certificate: str | None = None
    unschedulable: str | None = None  # the scheduler's message while it finds no node
    containers: tuple[ContainerFacts, ...] = ()

    @property
    def terminating(self) -> bool:
        return self.deletion_at is not None


@dataclass(frozen=True, slots=True)
class WakeTimes:
    """The operator's own clock at each watch event of the present wake (rule 12); `None`: not seen (the operator was not there)."""

    scaled_at: datetime | None = None  # replicas seen to go from 0 to 1
    pod_at: datetime | None = None
    address_at: datetime | None = None
    ready_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A MoltbotSnapshot of this Moltbot. `requested`: a person asked for it, it is no mirror; `done`: Complete or Failed."""

    name: str
    uid: str
    created_at: datetime
    requested: bool
    done: bool
    bucket_id: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one step looks at, read at one moment. `statefulset` and `pod` are `None` when absent or not ours."""

    moltbot: MoltbotFacts
    statefulset: StatefulSetFacts | None
    pod: PodFacts | None
    status: LifecycleStatus
    wake_times: WakeTimes = WakeTimes()
    snapshots: tuple[SnapshotFacts, ...] = ()
