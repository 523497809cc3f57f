"""The lifecycle's part of the status, composed: conditions, history, last wake, usage, what is recorded (rules 1, 8, 12). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from moltbot_operator.lifecycle.actions import ActionDecision
from moltbot_operator.lifecycle.backups import decide_last_backup, decide_recorded
from moltbot_operator.lifecycle.observed import Observed
from moltbot_operator.lifecycle.phases import Says, Told
from moltbot_operator.lifecycle.reports import GatewayReport, ReportedCondition, SnapshotReport
from moltbot_operator.lifecycle.sleep import View, idle_since
from moltbot_operator.lifecycle.status import (
    HISTORY_LENGTH,
    Condition,
    ConditionType,
    HistoryEntry,
    LastWake,
    LifecycleStatus,
    Phase,
    Reason,
    Truth,
    Usage,
)
from moltbot_operator.lifecycle.wake import WakeCause

# What the gateway says of the assistant's parts: none of them once it is open means that there is nothing to say any more.
GATEWAYS_OWN = (ConditionType.TOOLS_READY, ConditionType.SKILLS_READY, ConditionType.MCP_READY, ConditionType.SCHEDULE_READY)
# What a pod may say of itself beside Ready, which is ours.
REPORTED_TYPES = (ConditionType.MODEL_READY, ConditionType.BACKUP_READY, ConditionType.STORAGE_READY, *GATEWAYS_OWN)
# The operator says these too, from the spec alone and each time anew: what stands in the status may be its own, and is not kept.
_SAID_ANEW = (Reason.SCHEDULE_INVALID, Reason.AGENT_CONFIG_TOO_LARGE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a step has found and done, beside the view. `why`: the history's words when the phase is new, else `told.why`.

    `taken`: a snapshot that was made in this step. `next_wake` counts only where a handshake set it (`slept`).
    """

    told: Told
    actions: ActionDecision
    taken: SnapshotReport | None = None
    next_wake: datetime | None = None
    slept: bool = False
    wake: WakeCause | None = None


def compose_status(view: View, facts: Facts) -> LifecycleStatus:
    """How the lifecycle's part of the status should stand now."""
    observed, old, now, told = view.observed, view.observed.status, view.now, facts.told
    gateway, state, pod = view.reports.gateway, view.reports.state, observed.pod
    phase = Phase.WAKING if facts.wake is not None and told.phase in (Phase.PENDING, Phase.ASLEEP, Phase.SUSPENDED) else told.phase
    why = facts.wake.value if facts.wake is not None else told.why
    opened_now = pod is not None and not pod.terminating and gateway is not None and gateway.opened and old.instance != pod.uid
    last_activity = old.last_activity
    if pod is not None and view.watch is not None and gateway is not None and gateway.opened:
        seen = idle_since(pod, gateway, view.watch, now) if gateway.last_activity is not None else None
        last_activity = max(filter(None, (seen, last_activity)), default=None)
    next_wake = facts.next_wake if facts.slept else old.next_wake
    if phase is Phase.AWAKE:
        next_wake = gateway.next_due if gateway is not None else next_wake
    return replace(
        old,
        phase=phase,
        conditions=_conditions(view, told),
        instance=pod.uid if opened_now and pod is not None else old.instance,
        last_activity=last_activity,
        next_wake=None if phase is Phase.SUSPENDED else next_wake,
        last_backup=decide_last_backup(old.last_backup, state, facts.taken, now),
        last_wake=_last_wake(view, gateway) if opened_now and gateway is not None else old.last_wake,
        history=decide_history(old.history, phase, why, now),
        actions=facts.actions.records,
        usage=decide_usage(view),
        recorded=decide_recorded(old.recorded, observed.moltbot, view.reports, facts.taken),
        jobs=_known_jobs(observed, facts.wake, opened_now=opened_now),
    )


def _known_jobs(observed: Observed, wake: WakeCause | None, *, opened_now: bool) -> tuple[str, ...] | None:
    """What the pod that opens has read; and what it is woken for, so that it is woken once: one that does not open, and that a person
    puts to sleep again, stays asleep."""
    if opened_now and observed.pod is not None:
        return observed.pod.jobs
    if wake is WakeCause.SCHEDULE and observed.statefulset is not None:
        return observed.statefulset.jobs
    return observed.status.jobs


def decide_history(history: tuple[HistoryEntry, ...], phase: Phase, why: str, now: datetime) -> tuple[HistoryEntry, ...]:
    """Newest first; an entry only when the phase is another one."""
    if history and history[0].phase is phase:
        return history
    return (HistoryEntry(phase, now, why), *history)[:HISTORY_LENGTH]


def decide_usage(view: View) -> Usage:
    """Time with a pod counts as awake, in whole seconds up to `counted_at`; what happened while the operator was down counts too."""
    old, pod = view.observed.status.usage, view.observed.pod
    gateway = view.reports.gateway
    tokens = max(old.tokens, gateway.tokens) if gateway is not None else old.tokens
    begin = old.counted_at or (min(pod.created_at, view.now) if pod is not None else None)
    if begin is None:
        return replace(old, tokens=tokens)
    whole = max(0, int((view.now - begin).total_seconds()))
    counted_at = begin + timedelta(seconds=whole) if pod is not None else None
    return Usage(awake_seconds=old.awake_seconds + whole, tokens=tokens, counted_at=counted_at)


def _last_wake(view: View, gateway: GatewayReport) -> LastWake:
    """Times are our own clock at each watch event (rule 12), by which the pod cannot make a wake look faster or slower."""
    times, pod, watch, now = view.observed.wake_times, view.observed.pod, view.watch, view.now
    opened = watch.open_seen_at if watch is not None and watch.open_seen_at is not None else now
    before = view.observed.status.last_wake
    if times.scaled_at is not None and before is not None and times.scaled_at <= before.time:
        times = replace(times, scaled_at=None)  # the pod was replaced: that scale is of an earlier wake
    begin = times.scaled_at or times.pod_at or (pod.created_at if pod is not None else opened)
    breakdown: dict[str, int] = {}
    if times.scaled_at is not None and times.pod_at is not None:
        breakdown["pod"] = _milliseconds(times.scaled_at, times.pod_at)
    if times.pod_at is not None and times.address_at is not None:
        breakdown["address"] = _milliseconds(times.pod_at, times.address_at)
    said = {"listening": gateway.listening_ms, "restored": gateway.restored_ms, "open": gateway.open_ms}
    breakdown |= {name: value for name, value in said.items() if value is not None}
    return LastWake(
        time=opened,
        reason=_wake_reason(view.observed.status, gateway),
        seconds=round(max(0.0, (opened - begin).total_seconds()), 3),
        breakdown=breakdown,
    )


def _wake_reason(status: LifecycleStatus, gateway: GatewayReport) -> str:
    """What the operator itself woke it for stands in the history; else the gateway says what came first."""
    newest = next((entry for entry in status.history if entry.phase is Phase.WAKING), None)
    for cause in WakeCause:
        if newest is not None and newest.reason == cause.value:
            return cause.word
    return gateway.first_activity or "request"


def _milliseconds(begin: datetime, end: datetime) -> int:
    return max(0, int((end - begin).total_seconds() * 1000))


def _conditions(view: View, told: Told) -> tuple[Condition, ...]:
    said: dict[ConditionType, Says] = {
        ConditionType.READY: told.ready,
        ConditionType.SLEEPING: told.sleeping,
        ConditionType.PROGRESSING: told.progressing,
    }
    status = view.observed.status
    for type_ in REPORTED_TYPES:  # what the last pod said stands until another one says something else
        known = status.condition(type_)
        if known is not None and known.reason not in _SAID_ANEW:
            said[type_] = Says(known.status, known.reason, known.message)
    gateway, state = view.reports.gateway, view.reports.state
    if gateway is not None and gateway.opened:
        reported = {found[0] for one in gateway.conditions if (found := _reported(one)) is not None}
        for type_ in {ConditionType.STORAGE_READY, *GATEWAYS_OWN} - reported:
            said.pop(type_, None)
    for condition in (*(gateway.conditions if gateway is not None else ()), *(state.conditions if state is not None else ())):
        found = _reported(condition)
        if found is not None:
            said[found[0]] = found[1]
    if _asks_another_model(view.observed):
        said.pop(ConditionType.MODEL_READY, None)
    return tuple(
        decide_condition(status.condition(type_), type_, says, view.observed.moltbot.generation, view.now) for type_, says in said.items()
    )


def _asks_another_model(observed: Observed) -> bool:
    """Whether the pod still has another key, address or model than the next one will: what it says of it is not so any more, and until
    the next one has asked nothing is known."""
    pod, statefulset = observed.pod, observed.statefulset
    if pod is None or statefulset is None or pod.model is None or statefulset.model is None:
        return False
    return pod.model != statefulset.model


def _reported(condition: ReportedCondition) -> tuple[ConditionType, Says] | None:
    """A pod's condition of the closed catalogue, `None` for anything else."""
    try:
        type_, reason = ConditionType(condition.type), Reason(condition.reason)
    except ValueError:
        return None
    if type_ not in REPORTED_TYPES:
        return None
    truth = {True: Truth.TRUE, False: Truth.FALSE, None: Truth.UNKNOWN}[condition.status]
    return type_, Says(truth, reason, condition.message)


def decide_condition(known: Condition | None, type_: ConditionType, says: Says, generation: int, now: datetime) -> Condition:
    """`since` moves only with the status, as the Kubernetes API conventions have it."""
    since = known.since if known is not None and known.status is says.status else now
    return Condition(type_, says.status, says.reason, says.message, since, generation)
