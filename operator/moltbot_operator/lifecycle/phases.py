"""What people are told: the phase, and conditions Ready, Sleeping and Progressing with their reasons (api.md, rule 3). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.handshake import Stopped, StopReason
from moltbot_operator.lifecycle.observed import Observed, PodFacts
from moltbot_operator.lifecycle.reports import GatewayState, StatePhase
from moltbot_operator.lifecycle.sleep import Outdated, Sleep, SleepCause, Stay, View, decide_outdated
from moltbot_operator.lifecycle.status import ConditionType, Phase, Reason, Truth
from moltbot_operator.lifecycle.wake import WakeCause

# A pod that is Terminating this long past its grace is stuck (seconds): the kubelet needs a moment after SIGKILL.
STUCK_SECONDS = 15.0
# A router holds a request for 50 s by default: a wake that takes longer does not answer it (seconds).
HOLD_SECONDS = 50.0
# The kubelet's and the scheduler's words for what no waiting mends.
IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
CRASH_REASONS = frozenset({"CrashLoopBackOff"})
# A kubelet says so only when it looks at the pod again, which may be as late as the next start (seen: 40 s of back-off without the
# word): a container that failed after so many restarts is in a loop whatever it is called.
CRASHES = 2
# A scheduler that finds no node may be waiting for a new one: told as a failure only after this (seconds).
UNSCHEDULABLE_SECONDS = 30.0
UNREACHABLE_SECONDS = 30.0
# Words of the history and of conditions that several places say.
ANSWERS = "it answers"
PUT_TO_SLEEP = "A person put it to sleep; traffic, a wake or something due wakes it."


@dataclass(frozen=True, slots=True)
class Says:
    """One condition without its times."""

    status: Truth
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """`why`: the history's words when the phase is new."""

    phase: Phase
    why: str
    ready: Says
    sleeping: Says
    progressing: Says


@dataclass(frozen=True, slots=True)
class Ending:
    """The pod is on its way out by our doing: `cause`; `done` once the scale is 0 or the pod deleted."""

    cause: SleepCause
    done: bool


def decide_told(view: View, verdict: Sleep | Stay | None, ending: Ending | None, stopped: Stopped | None, *, slept: bool) -> Told:
    """`verdict`: of `decide_sleep`, `None` at scale 0. `stopped`: why the last attempt failed. `slept`: a person's sleep came about."""
    observed = view.observed
    phase, why, ready = _phase(view, ending)
    return Told(phase, why, ready, _sleeping(view, phase, verdict, ending, stopped, slept=slept), _progressing(observed, ending))


def waking_since_seconds(view: View) -> float:
    """For how long it has been waking, by what was seen of it."""
    times, pod = view.observed.wake_times, view.observed.pod
    since = times.scaled_at or (pod.created_at if pod is not None else None)
    newest = view.observed.status.history[0] if view.observed.status.history else None
    if since is None and newest is not None and newest.phase is Phase.WAKING:
        since = newest.time
    return max(0.0, (view.now - since).total_seconds()) if since is not None else 0.0


def _phase(view: View, ending: Ending | None) -> tuple[Phase, str, Says]:
    observed, pod = view.observed, view.observed.pod
    moltbot, statefulset, status = observed.moltbot, observed.statefulset, observed.status
    if moltbot.deleting:
        return Phase.DRAINING, "being deleted", Says(Truth.FALSE, Reason.DELETING, "It is being deleted.")
    if pod is not None and pod.deletion_at is not None and view.now > pod.deletion_at + timedelta(seconds=STUCK_SECONDS):
        return Phase.FAILED, "the previous pod is stuck", Says(Truth.FALSE, Reason.PREVIOUS_POD_STUCK, _stuck(observed, pod))
    if statefulset is None or not statefulset.hashed:
        if moltbot.start_obstacle is not None:
            return Phase.PENDING, "waiting", _obstacle(observed)
        return Phase.PENDING, "being set up", Says(Truth.FALSE, Reason.NOT_CREATED, "Its objects are being made.")
    suspended = moltbot.mode is OperatingMode.SUSPENDED
    if statefulset.replicas == 0:
        if pod is not None:
            ready = _suspended() if suspended else Says(Truth.TRUE, Reason.DRAINING, "It is falling asleep; a request wakes it again.")
            return Phase.DRAINING, _ending_words(observed, ending), ready
        if suspended:
            return Phase.SUSPENDED, "operatingMode is Suspended", _suspended()
        if moltbot.start_obstacle is not None:
            return (Phase.ASLEEP if status.started else Phase.PENDING), "waiting", _obstacle(observed)
        if not status.started:
            return Phase.PENDING, "about to start", Says(Truth.FALSE, Reason.STARTING, "It is about to start for the first time.")
        return (
            Phase.ASLEEP,
            _ending_words(observed, ending),
            Says(Truth.TRUE, Reason.ASLEEP, "It is asleep; a request or message wakes it."),
        )
    if pod is not None and (pod.terminating or (ending is not None and ending.done)):
        return (
            Phase.DRAINING,
            _ending_words(observed, ending),
            Says(Truth.TRUE, Reason.DRAINING, "Its pod is being replaced; requests wait."),
        )
    report = view.reports.gateway
    if report is not None and report.state in (GatewayState.QUIESCED, GatewayState.COMMITTED):
        return (
            Phase.DRAINING,
            _ending_words(observed, ending),
            Says(Truth.TRUE, Reason.DRAINING, "It is falling asleep; a request resumes it."),
        )
    if report is not None and report.state is GatewayState.OPEN:
        problems = report.problems + (view.reports.state.problems if view.reports.state is not None else ())
        if problems:
            words = "It serves, but its pod reports what cannot be: " + "; ".join(problems) + "."
            return Phase.AWAKE, ANSWERS, Says(Truth.TRUE, Reason.BAD_REPORT, words)
        return Phase.AWAKE, ANSWERS, Says(Truth.TRUE, Reason.SERVING, "It answers.")
    return _not_open(view, pod)


def _not_open(view: View, pod: PodFacts | None) -> tuple[Phase, str, Says]:
    """At scale 1, and the gateway does not say that it is open."""
    status, state = view.observed.status, view.reports.state
    was_awake = pod is not None and status.instance == pod.uid
    why = _waking_words(view.observed)
    if pod is None:
        return Phase.WAKING, why, _waking(view, "Its pod is being made.")
    failure = _container_failure(view, pod)
    if failure is not None:
        return Phase.FAILED, failure.reason.value, failure
    if state is not None and state.state is StatePhase.WAITING:
        choice = state.choice
        message = choice.message if choice is not None and choice.message else "its state cannot be read from the bucket yet"
        return Phase.WAKING, why, Says(Truth.FALSE, Reason.STATE_WAITING, f"It waits before it opens its state: {message}")
    silent_since = view.watch.unanswered_since if view.watch is not None else None
    if silent_since is not None and view.monotonic - silent_since >= UNREACHABLE_SECONDS and pod.ip is not None:
        message = "Its gateway does not answer the operator: see the log of container gateway, and whether a NetworkPolicy is in the way."
        if pod.ready and was_awake:
            return Phase.AWAKE, ANSWERS, Says(Truth.TRUE, Reason.GATEWAY_UNREACHABLE, message + " The kubelet still finds it ready.")
        return Phase.FAILED, "the gateway does not answer", Says(Truth.FALSE, Reason.GATEWAY_UNREACHABLE, message)
    if was_awake and view.reports.gateway is None and status.phase is Phase.AWAKE:
        ready = status.condition(ConditionType.READY)
        if ready is not None:  # one report that did not come is no news
            return Phase.AWAKE, ANSWERS, Says(ready.status, ready.reason, ready.message)
    restoring = state is not None and state.state is StatePhase.RESTORING
    return (
        Phase.WAKING,
        why,
        _waking(view, "Its memory is being restored from the bucket." if restoring else "Its pod is starting.", restoring=restoring),
    )


def _waking_words(observed: Observed) -> str:
    """What woke it: the operator's own writes put it into the history before; a pod that was replaced comes by itself; else the router."""
    newest = observed.status.history[0] if observed.status.history else None
    if newest is not None and newest.phase is Phase.WAKING:
        return newest.reason
    sleeping = observed.status.condition(ConditionType.SLEEPING)
    slept = sleeping is None or sleeping.status is Truth.TRUE or sleeping.reason in (Reason.IDLE, Reason.REQUESTED, Reason.SUSPENDED)
    if not slept and newest is not None and newest.phase in (Phase.AWAKE, Phase.DRAINING, Phase.FAILED) and observed.status.started:
        return WakeCause.REPLACED.value  # by us, or by somebody who drained its node
    return "a request or message came"


def _waking(view: View, message: str, *, restoring: bool = False) -> Says:
    """A request sent now is answered by this wake, once it was ever open and unless it takes longer than a request is held."""
    in_time = view.observed.status.instance is not None and waking_since_seconds(view) <= HOLD_SECONDS
    if restoring:
        return Says(Truth.TRUE if in_time else Truth.FALSE, Reason.RESTORING, message)
    if view.observed.status.instance is None:
        return Says(Truth.FALSE, Reason.STARTING, message)
    return Says(Truth.TRUE if in_time else Truth.FALSE, Reason.WAKING, message)


def _container_failure(view: View, pod: PodFacts) -> Says | None:
    for container in pod.containers:
        reason, said = container.waiting_reason, container.waiting_message
        if reason in IMAGE_REASONS:
            words = f"The image of container {container.name} cannot be pulled ({reason}: {said})."
            return Says(Truth.FALSE, Reason.IMAGE_PULL_FAILED, words + " Check spec.gateway.image and imagePullSecrets.")
        if reason in CONFIG_REASONS:
            return Says(Truth.FALSE, Reason.CONTAINER_CONFIG, f"Container {container.name} cannot be made ({reason}: {said}).")
        if reason in CRASH_REASONS or (container.failed and container.restarts >= CRASHES):
            last = f", last: {container.last_exit}" if container.last_exit else ""
            words = f"Container {container.name} ends again and again ({container.restarts} restarts{last})"
            return Says(Truth.FALSE, Reason.CRASH_LOOP, words + "; see its log with kubectl logs --previous.")
    if pod.unschedulable is not None and (view.now - pod.created_at).total_seconds() >= UNSCHEDULABLE_SECONDS:
        return Says(Truth.FALSE, Reason.UNSCHEDULABLE, f"No node can run its pod: {pod.unschedulable}")
    return None


def _stuck(observed: Observed, pod: PodFacts) -> str:
    node = pod.node or "unknown"
    name = f"{observed.moltbot.key.name}-gateway-0"
    return (
        f"Pod {name} on node {node} does not end, so no new one may start (there is never a second writer). If the node is gone for good,"
        f" remove it (kubectl delete node {node}); if it hangs, restart it. Never delete the pod by force while it may still run."
    )


def _suspended() -> Says:
    return Says(Truth.FALSE, Reason.SUSPENDED, "It is Suspended and does not wake: set spec.operatingMode to Auto.")


def _obstacle(observed: Observed) -> Says:
    obstacle = observed.moltbot.start_obstacle
    assert obstacle is not None
    return Says(Truth.FALSE, obstacle.reason, obstacle.message)


def _ending_words(observed: Observed, ending: Ending | None) -> str:
    if ending is not None:
        return ending.cause.value
    sleeping = observed.status.condition(ConditionType.SLEEPING)
    match sleeping.reason if sleeping is not None else None:
        case Reason.SUSPENDED:
            return SleepCause.SUSPENDED.value
        case Reason.REQUESTED:
            return SleepCause.REQUESTED.value
        case Reason.ROLLING:
            return "its pod is replaced"
        case _:
            return SleepCause.IDLE.value


def _sleeping(
    view: View, phase: Phase, verdict: Sleep | Stay | None, ending: Ending | None, stopped: Stopped | None, *, slept: bool
) -> Says:
    known = view.observed.status.condition(ConditionType.SLEEPING)
    if phase in (Phase.ASLEEP, Phase.SUSPENDED):
        if phase is Phase.SUSPENDED:
            return Says(Truth.TRUE, Reason.SUSPENDED, "It is Suspended: spec.operatingMode says so.")
        if slept:
            return Says(Truth.TRUE, Reason.REQUESTED, PUT_TO_SLEEP)
        kept = {
            Reason.REQUESTED: PUT_TO_SLEEP,
            Reason.SUSPENDED: "It was Suspended.",
        }
        if known is not None and known.reason in kept:
            return Says(Truth.TRUE, known.reason, kept[known.reason])
        return Says(Truth.TRUE, Reason.IDLE, "Nothing happened for sleepAfter, so it fell asleep.")
    if phase is Phase.DRAINING:
        reason = ending.cause.reason if ending is not None else (known.reason if known is not None else Reason.DRAINING)
        return Says(Truth.FALSE, Reason.REQUESTED if slept else reason, "It is falling asleep.")
    if phase is Phase.PENDING:
        return Says(Truth.FALSE, Reason.STARTING, "It has not been started yet.")
    if stopped is not None and stopped.reason is StopReason.NO_BACKUP:
        return Says(Truth.FALSE, Reason.BACKUP_FAILED, f"It stays awake, for its memory could not be kept: {stopped.message}")
    if isinstance(verdict, Stay):
        return Says(Truth.FALSE, verdict.reason, verdict.message)
    if stopped is not None and stopped.reason is StopReason.BUSY:
        return Says(Truth.FALSE, Reason.BUSY, stopped.message)
    return Says(Truth.FALSE, Reason.AWAKE, stopped.message if stopped is not None else "It is awake.")


def _progressing(observed: Observed, ending: Ending | None) -> Says:
    if ending is not None and ending.cause.replaces:
        return Says(Truth.TRUE, Reason.ROLLING, f"The pod is being replaced: {ending.cause.value}.")
    match decide_outdated(observed):
        case Outdated.PERSON:
            return Says(
                Truth.TRUE,
                Reason.ROLLING,
                "The pod is older than the spec or its Secrets, and is replaced as soon as the assistant is not busy.",
            )
        case Outdated.OURS:
            return Says(
                Truth.FALSE,
                Reason.APPLIES_AT_NEXT_WAKE,
                "A new version of the operator describes the pod differently: it applies at the next wake.",
            )
        case Outdated.NO:
            return Says(Truth.FALSE, Reason.UP_TO_DATE, "Everything is as the spec says.")
