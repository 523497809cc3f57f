"""Who writes 1, when it is the operator: the first start, leaving Suspended, `sleepAfter: never`, the next due time, a schedule to
read, a person's wake (rules 1 and 2). Traffic is the router's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import ActionDecision
from moltbot_operator.lifecycle.observed import Observed
from moltbot_operator.lifecycle.status import ActionKind, ConditionType, LifecycleStatus, Phase, Reason

# A scheduled wake comes no sooner than this after sleep (seconds; rule 12) …
LEAST_SLEEP_SECONDS = 60.0
# … and after scheduled wakes that did nothing at most this late (seconds).
MOST_SLEEP_SECONDS = 6 * 3600.0
# It begins this much before the due time (seconds), so that the assistant is open when it is due: what the last wake took, within these.
LEAST_AHEAD_SECONDS, MOST_AHEAD_SECONDS = 5.0, 60.0


class WakeCause(StrEnum):
    """Why the operator writes 1, or has a pod made anew. The value goes into the history, in words."""

    FIRST_START = "first start"
    RESUMED = "no longer Suspended"
    NEVER = "sleepAfter is never"
    PERSON = "asked to wake"
    DUE = "something is due"
    SCHEDULE = "its schedule has a new time"
    REPLACED = "its pod was replaced"

    @property
    def word(self) -> str:
        """`status.lastWake.reason`."""
        match self:
            case WakeCause.FIRST_START | WakeCause.NEVER:
                return "start"
            case WakeCause.RESUMED | WakeCause.PERSON | WakeCause.REPLACED:
                return "person"
            case WakeCause.DUE:
                return "job"
            case WakeCause.SCHEDULE:
                return "schedule"


@dataclass(frozen=True, slots=True)
class Wake:
    """Write 1 now."""

    cause: WakeCause


@dataclass(frozen=True, slots=True)
class Rest:
    """Write nothing. `recheck_after`: seconds until time alone may change that, `None`: never."""

    recheck_after: float | None = None


def decide_wake(observed: Observed, actions: ActionDecision, now: datetime) -> Wake | Rest:
    """Whether the operator writes 1 over a 0. `actions`: what persons asked for, as decided from the same observation."""
    moltbot, statefulset, status = observed.moltbot, observed.statefulset, observed.status
    if statefulset is None or not statefulset.hashed or statefulset.replicas != 0:
        return Rest()
    if moltbot.deleting or moltbot.mode is OperatingMode.SUSPENDED or moltbot.start_obstacle is not None:
        return Rest()
    if actions.current is not None and actions.current.action is ActionKind.WAKE:
        return Wake(WakeCause.PERSON)
    sleeping = status.condition(ConditionType.SLEEPING)
    reason = sleeping.reason if sleeping is not None else None
    if reason is Reason.SUSPENDED:
        return Wake(WakeCause.RESUMED)
    if not status.started:
        return Wake(WakeCause.FIRST_START)
    if moltbot.sleep_after is None and reason is not Reason.REQUESTED and not actions.slept:
        return Wake(WakeCause.NEVER)
    begin: datetime | None = None
    if status.next_wake is not None:
        begin = status.next_wake - timedelta(seconds=ahead_seconds(status))
        if begin <= now:
            return Wake(WakeCause.DUE)
    if has_new_times(observed):
        return Wake(WakeCause.SCHEDULE)
    return Rest((begin - now).total_seconds() if begin is not None else None)


def has_new_times(observed: Observed) -> bool:
    """Whether the resource has a job's time that the assistant has not read: added or changed while it slept, and only the gateway knows
    when it is due. A job that went is no reason: at worst the time that was its is woken for once, in vain."""
    known, template = observed.status.jobs, observed.statefulset.jobs if observed.statefulset is not None else None
    return known is not None and template is not None and not set(template) <= set(known)


def ahead_seconds(status: LifecycleStatus) -> float:
    """How long before a due time the wake begins."""
    took = status.last_wake.seconds if status.last_wake is not None else 0.0
    return min(MOST_AHEAD_SECONDS, max(LEAST_AHEAD_SECONDS, 1.5 * took))


def decide_next_wake(next_due: datetime | None, status: LifecycleStatus, now: datetime) -> datetime | None:
    """`status.nextWakeTime` of an assistant that falls asleep `now`; `None`: nothing is due.

    A scheduled wake that did nothing doubles the wait of the next one: the wait before it stands in the history.
    """
    if next_due is None:
        return None
    return max(next_due, now + timedelta(seconds=_least_sleep(status)))


def _least_sleep(status: LifecycleStatus) -> float:
    wake = status.last_wake
    if wake is None or wake.reason != WakeCause.DUE.word:
        return LEAST_SLEEP_SECONDS
    slept_at = next((entry.time for entry in status.history if entry.phase is Phase.ASLEEP and entry.time < wake.time), None)
    if slept_at is None:
        return LEAST_SLEEP_SECONDS
    if status.last_activity is not None and status.last_activity > slept_at:
        return LEAST_SLEEP_SECONDS  # it did something
    waited = (wake.time - slept_at).total_seconds()
    return min(MOST_SLEEP_SECONDS, max(LEAST_SLEEP_SECONDS, 2 * waited))
