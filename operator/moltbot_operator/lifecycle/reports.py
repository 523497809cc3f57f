"""What gateway and state say of themselves, made harmless (rule 12): bounded, typed, and never an exception.

A pod's words are hostile input. A bad value is dropped and named in `problems`, which becomes a condition; what depends on it falls to the
side that keeps the assistant awake and its data where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

TEXT_LENGTH = 256
MESSAGE_LENGTH = 1024
LIST_LENGTH = 16
# Counters of a pod: larger than any honest one, small enough for JSON numbers everywhere.
COUNT_LIMIT = 2**53
# A pod's clock may be ahead of ours by this much (seconds); later times are bad values.
CLOCK_AHEAD_SECONDS = 60.0
# A due time further away is as good as none (seconds): ten years.
DUE_LIMIT_SECONDS = 10 * 366 * 86400.0


class GatewayState(StrEnum):
    RESTORING = "restoring"
    OPEN = "open"
    QUIESCED = "quiesced"
    COMMITTED = "committed"


class StatePhase(StrEnum):
    """State of the state container."""

    RESTORING = "restoring"
    WAITING = "waiting"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class ReportedCondition:
    """A condition that the pod reports (ModelReady, BackupReady …), its texts bounded."""

    type: str
    status: bool | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """A snapshot in the bucket, as the state container describes it."""

    id: str
    time: datetime
    bytes: int
    files: int
    lineage: str
    sequence: int
    parent: str | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What rule 8's function chose: kind `local | head | snapshot | empty | wait`."""

    kind: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """`GET /report` of the gateway. `problems`: words for people, one for each value that was dropped."""

    pod_uid: str
    state: GatewayState
    progress: int = 0
    busy: tuple[str, ...] = ()
    busy_since: datetime | None = None
    opened_at: datetime | None = None
    last_activity: datetime | None = None
    first_activity: str | None = None
    next_due: datetime | None = None
    lineage: str | None = None
    sequence: int | None = None
    changed: bool = True
    quiesce_id: str | None = None
    conditions: tuple[ReportedCondition, ...] = ()
    listening_ms: int | None = None
    restored_ms: int | None = None
    open_ms: int | None = None
    tokens: int = 0
    problems: tuple[str, ...] = ()

    @property
    def opened(self) -> bool:
        """Whether its state is, or was, open in this pod."""
        return self.state is not GatewayState.RESTORING


@dataclass(frozen=True, slots=True)
class StateReport:
    """`GET /report` of the state container."""

    pod_uid: str
    state: StatePhase
    progress: int = 0
    choice: Choice | None = None
    lineage: str | None = None
    sequence: int | None = None
    changed: bool = True
    last_snapshot: SnapshotReport | None = None
    last_equal: datetime | None = None
    conditions: tuple[ReportedCondition, ...] = ()
    problems: tuple[str, ...] = ()


class NotAReport(ValueError):
    """The answer is not a report at all (no object, no known state): it counts as no answer."""
