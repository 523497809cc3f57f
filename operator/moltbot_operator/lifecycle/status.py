"""What the lifecycle reads from and writes to a Moltbot's status: one shape for both directions.

The edge turns it into `moltbot_api` models and back. Fields that the lifecycle does not decide (url, model, verifiers …) are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from moltbot_api.conditions import ConditionType, Phase, Reason
from moltbot_api.status import HISTORY_LENGTH

__all__ = ["HISTORY_LENGTH", "ConditionType", "Phase", "Reason"]


class Truth(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """`since` is lastTransitionTime: it moves only when the status (True, False) does. `generation` is observedGeneration."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str
    since: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A change of phase; `reason` in words."""

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
    """`running` is written before anything is done, with the pod it is done to: a restarted operator neither forgets nor repeats it."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """What became of the newest annotation of a kind. `requested` is the annotation's text as it was; `time` is when this was decided.

    `instance`: uid of the pod that it is asked of, `None` when there was none.
    """

    action: ActionKind
    requested: str
    result: ActionResult
    time: datetime
    message: str = ""
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class LastWake:
    """`reason`: page, request, message, job (also: woken for one), schedule, person or start. `seconds` from scale-up to open.

    `breakdown` in milliseconds: `pod` and `address` by the operator's clock, each since the one before; `listening`, `restored` and `open`
    as the gateway says, each since its own exec.
    """

    time: datetime
    reason: str
    seconds: float
    breakdown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LastBackup:
    """`time`: when the bucket was last found equal to the state."""

    time: datetime
    snapshot: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """Lineage and sequence of a verified snapshot or an opened volume (rule 8): what a later pod must not fall behind."""

    lineage: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Usage:
    """`counted_at`: until when `awake_seconds` has been counted; `None` while no pod is there. `tokens` is what the pod says."""

    awake_seconds: int = 0
    tokens: int = 0
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LifecycleStatus:
    """The lifecycle's part of the status.

    `conditions`: Ready, Sleeping and Progressing, and those that the pod reports (ModelReady, BackupReady, StorageReady) while it says so.
    """

    phase: Phase = Phase.PENDING
    conditions: tuple[Condition, ...] = ()
    instance: str | None = None  # uid of the pod that was last seen open
    last_activity: datetime | None = None
    next_wake: datetime | None = None
    last_backup: LastBackup | None = None
    last_wake: LastWake | None = None
    history: tuple[HistoryEntry, ...] = ()  # newest first, at most HISTORY_LENGTH
    actions: tuple[ActionRecord, ...] = ()  # one of each kind at most
    usage: Usage = Usage()
    recorded: Recorded | None = None
    jobs: tuple[str, ...] | None = None  # times of jobs that it has read, or was woken to read; `None`: not known

    def condition(self, type_: ConditionType) -> Condition | None:
        """The condition of that type, `None` when absent."""
        return next((condition for condition in self.conditions if condition.type is type_), None)

    def action(self, kind: ActionKind) -> ActionRecord | None:
        """What became of the newest request of that kind, `None` when there was none."""
        return next((record for record in self.actions if record.action is kind), None)

    @property
    def started(self) -> bool:
        """Whether it was ever started: the first start is the operator's to make (rule 2)."""
        never = (Phase.PENDING, Phase.SUSPENDED)
        return self.instance is not None or self.last_wake is not None or any(entry.phase not in never for entry in self.history)
