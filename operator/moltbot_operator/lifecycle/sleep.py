"""Whether the pod is to end now, why, and how hard it may be pressed (rules 2, 5, 12). Pure.

Sleeping (scale 1 → 0) and replacing the pod (restart, a changed template: delete it by uid) go through the same handshake.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import ActionDecision
from moltbot_operator.lifecycle.observed import Observed, PodFacts, Storage
from moltbot_operator.lifecycle.pod_watch import PodWatch, Reports, stalled_seconds
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState
from moltbot_operator.lifecycle.status import ActionKind, ConditionType, Reason, Truth

# Rule 5a: shorter and falling asleep would be most of what it does (seconds).
LEAST_IDLE_SECONDS = 10.0
# What counts as the next idle time of an assistant that never sleeps, for an upgrade of ours (seconds).
UPGRADE_IDLE_SECONDS = 600.0
# Rule 12: `busy` vetoes sleep for at most this long (seconds).
BUSY_LIMIT_SECONDS = 6 * 3600.0
# Rule 5: a turn is ended for a person's change of the spec only after this (seconds).
CHANGE_PATIENCE_SECONDS = 600.0
# Rule 5: what shows no progress for this long (seconds) may be ended without its consent where a person wants it ended.
STALLED_SECONDS = 30.0
# How soon to look again at something that is moving (seconds; rule 12).
MOVING_RECHECK_SECONDS = 1.0
# Rule 12: an open pod is asked this often at least (seconds).
AWAKE_REPORT_SECONDS = 60.0
# … and at a busy one whose end is waited for (seconds).
BUSY_RECHECK_SECONDS = 5.0


class SleepCause(StrEnum):
    """Why the pod ends; the value is for people."""

    DELETED = "the Moltbot is being deleted"
    SUSPENDED = "it is Suspended"
    REQUESTED = "a person put it to sleep"
    RESTART = "a person asked for a restart"
    CHANGED = "its spec or Secrets changed"
    UPGRADED = "a new version of the operator describes it differently"
    IDLE = "nothing happened for sleepAfter"
    SPARED = "it was wanted again before its pod had ended"

    @property
    def reason(self) -> Reason:
        """Reason of condition Sleeping."""
        match self:
            case SleepCause.SUSPENDED:
                return Reason.SUSPENDED
            case SleepCause.REQUESTED:
                return Reason.REQUESTED
            case SleepCause.DELETED:
                return Reason.DELETING
            case SleepCause.RESTART | SleepCause.CHANGED | SleepCause.UPGRADED | SleepCause.SPARED:
                return Reason.ROLLING
            case SleepCause.IDLE:
                return Reason.IDLE

    @property
    def replaces(self) -> bool:
        """Whether another pod follows at once."""
        return self in (SleepCause.RESTART, SleepCause.CHANGED, SleepCause.UPGRADED, SleepCause.SPARED)

    @property
    def insists(self) -> bool:
        """Whether the gateway's consent may be done without when it shows no progress (rule 5)."""
        return self not in (SleepCause.REQUESTED, SleepCause.IDLE, SleepCause.UPGRADED, SleepCause.SPARED)


class Outdated(StrEnum):
    """Whether the pod is of an older template than the StatefulSet's, and by whose doing."""

    NO = "no"
    PERSON = "person"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Sleep:
    """End the pod now. `force`: a running turn is ended as SIGTERM does. `consent` false: without the gateway's part of the handshake.

    `keep` false: there is nothing of the state that could be lost (the pod never opened it), so no last snapshot is asked for.
    """

    cause: SleepCause
    force: bool = False
    consent: bool = True
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Stay:
    """Do not. `reason` and `message` are condition Sleeping's; `recheck_after`: seconds until time alone may change it, `None`: never."""

    reason: Reason
    message: str
    recheck_after: float | None = None


def decide_outdated(observed: Observed) -> Outdated:
    """Compare the pod's revision with the StatefulSet's. A revision that is not known yet is not outdated."""
    statefulset, pod = observed.statefulset, observed.pod
    if statefulset is None or pod is None or statefulset.revision is None or pod.revision in (None, statefulset.revision):
        return Outdated.NO
    if statefulset.inputs is not None and pod.inputs is not None and statefulset.inputs != pod.inputs:
        return Outdated.PERSON
    return Outdated.OURS


def idle_since(pod: PodFacts, report: GatewayReport, watch: PodWatch, now: datetime) -> datetime:
    """From when idleness counts: the later of opening and last activity (rule 5a), never before the pod, never after now."""
    opened = report.opened_at or watch.open_seen_at or now
    return min(now, max(opened, report.last_activity or opened, pod.created_at))


@dataclass(frozen=True, slots=True)
class View:
    """What a decision about sleep looks at. `watch` is of the observed pod, `None` without one; `now` and `monotonic` are one moment.

    `ended`: this operator scaled that very pod's StatefulSet to 0 already.
    """

    observed: Observed
    actions: ActionDecision
    reports: Reports
    watch: PodWatch | None
    now: datetime
    monotonic: float
    ended: bool = False


def decide_sleep(view: View) -> Sleep | Stay:
    """Of a StatefulSet at 1."""
    observed, pod, watch = view.observed, view.observed.pod, view.watch
    cause = _wanted(observed, view.actions)
    if pod is None or watch is None:
        if cause in (SleepCause.SUSPENDED, SleepCause.REQUESTED, SleepCause.DELETED):
            # nobody there to ask; the resourceVersion notices a pod that is made meanwhile
            return Sleep(cause, force=True, consent=False, keep=False)
        return Stay(Reason.AWAKE, "It is waking.")
    if pod.terminating:
        return Stay(Reason.DRAINING, "Its pod is ending.")
    report = view.reports.gateway
    opened = report is not None and report.opened
    if cause in (SleepCause.CHANGED, SleepCause.UPGRADED) and not opened and not pod.ready and observed.status.instance != pod.uid:
        # rule 2: an old revision that was never ready
        return Sleep(cause, force=True, consent=False, keep=False)
    obstacle = observed.moltbot.sleep_obstacle
    if obstacle is not None and cause is not SleepCause.DELETED and not (_on_volume(observed) and cause is not None and cause.replaces):
        return Stay(Reason.AWAKE, f"It cannot sleep: {obstacle.message}")
    if cause is not None and (cause.insists or (cause is SleepCause.UPGRADED and not opened)):
        return _insist(cause, view, pod, watch)
    if report is None or not report.opened:
        return Stay(Reason.AWAKE, "It is waking.", MOVING_RECHECK_SECONDS)
    if cause is SleepCause.REQUESTED:
        return Sleep(cause, force=True)
    if view.ended and report.state is GatewayState.COMMITTED:
        # A router wrote 1 before the controller had looked at the 0. It never serves again and would end by itself in 15 s: end it now.
        return Sleep(SleepCause.SPARED, force=True)
    return _when_idle(cause, view, report, idle_since(pod, report, watch, view.now), _busy_since(pod, report, watch, view.now))


def _wanted(observed: Observed, actions: ActionDecision) -> SleepCause | None:
    """What asks for the pod's end apart from idleness, the strongest first."""
    moltbot = observed.moltbot
    if moltbot.deleting:
        return SleepCause.DELETED
    if moltbot.mode is OperatingMode.SUSPENDED:
        return SleepCause.SUSPENDED
    if actions.current is not None and actions.current.action is ActionKind.SLEEP:
        return SleepCause.REQUESTED
    if actions.current is not None and actions.current.action is ActionKind.RESTART:
        return SleepCause.RESTART
    match decide_outdated(observed):
        case Outdated.PERSON:
            return SleepCause.CHANGED
        case Outdated.OURS:
            return SleepCause.UPGRADED
        case Outdated.NO:
            return None


def _insist(cause: SleepCause, view: View, pod: PodFacts, watch: PodWatch) -> Sleep | Stay:
    """It must end: with the gateway's consent when it can give it, without only when it shows no progress."""
    report = view.reports.gateway
    stalled = stalled_seconds(watch, view.monotonic) >= STALLED_SECONDS
    if report is not None and report.opened:
        changed_for = (view.now - _changed_since(view.observed, view.now)).total_seconds()
        force = cause is not SleepCause.CHANGED or changed_for >= CHANGE_PATIENCE_SECONDS
        refused = watch.refusing_since is not None and view.monotonic - watch.refusing_since >= STALLED_SECONDS
        return Sleep(cause, force=force, consent=not (force and stalled and refused))
    if not stalled:
        return Stay(Reason.AWAKE, f"It is to end ({cause.value}), and is still starting.", MOVING_RECHECK_SECONDS)
    never_opened = view.observed.status.instance != pod.uid and watch.open_seen_at is None and not pod.ready
    return Sleep(cause, force=True, consent=False, keep=not never_opened)


def _changed_since(observed: Observed, now: datetime) -> datetime:
    progressing = observed.status.condition(ConditionType.PROGRESSING)
    if progressing is not None and progressing.status is Truth.TRUE and progressing.reason is Reason.ROLLING:
        return progressing.since
    return now


def _when_idle(cause: SleepCause | None, view: View, report: GatewayReport, idle: datetime, busy: datetime) -> Sleep | Stay:
    """`idle`, `busy`: since when it counts as that."""
    sleep_after = view.observed.moltbot.sleep_after
    if sleep_after is None and cause is not SleepCause.UPGRADED:
        return Stay(Reason.NEVER, "It never sleeps: sleepAfter is never.")
    wanted = UPGRADE_IDLE_SECONDS if sleep_after is None else max(LEAST_IDLE_SECONDS, sleep_after)
    # asleep it takes the new template anyway: only one that never sleeps is replaced while awake
    end = SleepCause.UPGRADED if sleep_after is None else SleepCause.IDLE
    if report.busy:
        left = BUSY_LIMIT_SECONDS - (view.now - busy).total_seconds()
        if left <= 0:
            return Sleep(end, force=True)
        return Stay(Reason.BUSY, f"It is busy: {', '.join(report.busy)}.", min(left, BUSY_RECHECK_SECONDS))
    left = (idle + timedelta(seconds=wanted) - view.now).total_seconds()
    if left > 0:
        return Stay(Reason.AWAKE, "It was used less than sleepAfter ago.", left)
    return Sleep(end)


def _busy_since(pod: PodFacts, report: GatewayReport, watch: PodWatch, now: datetime) -> datetime:
    said = max(report.busy_since, pod.created_at) if report.busy_since is not None else now
    return min(said, watch.busy_since or now)


def _on_volume(observed: Observed) -> bool:
    return observed.moltbot.storage is Storage.VOLUME


def decide_report_interval(observed: Observed, reports: Reports, stay: Sleep | Stay | None) -> float | None:
    """Seconds until the pod is asked again (rule 12): every second while it is not open, when idleness could have been reached, else 60 s.

    `None`: there is no pod to ask.
    """
    if observed.pod is None:
        return None
    report = reports.gateway
    if report is None or report.state is not GatewayState.OPEN or observed.pod.terminating:
        return MOVING_RECHECK_SECONDS
    if isinstance(stay, Stay) and stay.recheck_after is not None:
        return min(AWAKE_REPORT_SECONDS, max(MOVING_RECHECK_SECONDS, stay.recheck_after))
    return AWAKE_REPORT_SECONDS
