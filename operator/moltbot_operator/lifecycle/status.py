"""What the lifecycle reads from and writes to a Moltbot's status: one shape for both directions.

The edge turns it into `moltbot_api` models and back. Fields that the lifecycle does not decide (url, model, verifiers …) are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# Newest entries kept (internals.md).
HISTORY_KEPT = 12
ACTIONS_KEPT = 8


class Phase(StrEnum):
    """For people only; code reads conditions."""

    PENDING = "Pending"
    WAKING = "Waking"
    AWAKE = "Awake"
    DRAINING = "Draining"
    ASLEEP = "Asleep"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class Truth(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """`since` is lastTransitionTime: it moves only when the status (True, False) does. `generation` is observedGeneration."""

    type: str
    status: Truth
    reason: str
    message: str
    since: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A change of phase. `reason` is one CamelCase word."""

    phase: Phase
    time: datetime
    reason: str


class ActionKind(StrEnum):
    """What a person can ask for by an annotation `moltbot.dev/<kind>`."""

    WAKE = "wake"
    SLEEP = "sleep"
    RESTART = "restart"
    REFRESH = "refresh"


class ActionResult(StrEnum):
    """`Running` is written before anything is done, with the pod it is done to: a restarted operator neither forgets nor repeats it."""

    RUNNING = "Running"
    DONE = "Done"
    REFUSED = "Refused"
    SUPERSEDED = "Superseded"
    IGNORED = "Ignored"


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """What became of one annotation. `requested` is the annotation's text as it was; `time` is when this result was reached.

    `instance`: uid of the pod it is done to, `None` when there was none.
    """

    action: ActionKind
    requested: str
    result: ActionResult
    time: datetime
    message: str = ""
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class LastWake:
    """`breakdown`: step → milliseconds since the step before it."""

    time: datetime
    reason: str
    seconds: float
    breakdown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LastBackup:
    """`time`: when the bucket was last found equal to the state."""

    time: datetime
    snapshot: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """Lineage and sequence of a verified snapshot or an opened volume (rule 8): what a later pod must not fall behind."""

    lineage: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Usage:
    """`counted_at`: until when `awake_seconds` has been counted; `None` while no pod is there. `tokens` is what the pod says."""

    awake_seconds: float = 0.0
    tokens: int = 0
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LifecycleStatus:
    """The lifecycle's part of the status. `conditions` are the lifecycle's own types and those that the pod reports."""

    phase: Phase = Phase.PENDING
    conditions: tuple[Condition, ...] = ()
    instance: str | None = None  # uid of the pod that was last seen open
    last_activity: datetime | None = None
    next_wake: datetime | None = None
    last_backup: LastBackup | None = None
    last_wake: LastWake | None = None
    history: tuple[HistoryEntry, ...] = ()  # oldest first
    actions: tuple[ActionRecord, ...] = ()  # oldest first
    usage: Usage = Usage()
    recorded: Recorded | None = None

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, `None` when absent."""
        return next((condition for condition in self.conditions if condition.type == type_), None)
