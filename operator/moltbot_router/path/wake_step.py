"""What a wake does next: the pure half of `wake`, as a table can test it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from moltbot_api.conditions import Phase
from moltbot_router.path.facts import Instance
from moltbot_router.path.readiness import Readiness, decide_state, wants_one

# The first pause between writes whose outcome is unknown (seconds); it doubles.
FIRST_WRITE_PAUSE = 0.1
# A wake that the operator calls failed is told as such after this long (seconds): the status may still be of the wake before.
FAILED_GRACE_SECONDS = 3.0


class Step(Enum):
    """What a flight does next."""

    DONE = auto()
    WRITE = auto()
    PROBE = auto()
    WAIT = auto()
    FAIL = auto()


@dataclass(slots=True)
class Memory:
    """What a flight remembers between steps. Times are monotonic seconds."""

    started: float
    written_version: int | None = None
    written: bool = False
    write_after: float = 0.0
    pause: float = FIRST_WRITE_PAUSE


def decide_step(instance: Instance | None, open_pod: str | None, memory: Memory, now: float) -> Step:
    """Pure: the whole order of a wake."""
    if instance is None:
        return Step.FAIL
    state = decide_state(instance, open_pod)
    match state.readiness:
        case Readiness.SUSPENDED | Readiness.DELETING:
            return Step.FAIL
        case Readiness.AWAKE:
            return Step.DONE
        case _:
            pass
    if wants_one(instance) and _may_write(instance, memory, now):
        return Step.WRITE
    if instance.moltbot.phase == Phase.FAILED and now - memory.started >= FAILED_GRACE_SECONDS and not wants_one(instance):
        return Step.FAIL
    return Step.PROBE if state.readiness is Readiness.OPENING else Step.WAIT


def _may_write(instance: Instance, memory: Memory, now: float) -> bool:
    """Whether the cached 0 is newer than what was written, or that cannot be known and the pause is over."""
    if not memory.written:
        return now >= memory.write_after
    seen = instance.statefulset.version if instance.statefulset is not None else None
    if seen is not None and memory.written_version is not None:
        return seen > memory.written_version or (seen == memory.written_version and now >= memory.write_after)
    return now >= memory.write_after
