"""Step 3 of the wake path: is it awake, and if not, what stands between it and the next request. Pure; the wake itself is `wake`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from moltbot_api.conditions import ConditionType, Phase
from moltbot_router.path.facts import Instance, PodFacts


class Readiness(StrEnum):
    """Where a Moltbot is, from the request's point of view."""

    AWAKE = "awake"  # its pod answers
    OPENING = "opening"  # its pod is there and has not said that it is open
    STARTING = "starting"  # 1 is written, and there is no pod with an address yet
    GOING = "going"  # its pod is terminating: never awake (rule 3)
    ASLEEP = "asleep"  # 0, and no pod
    SUSPENDED = "suspended"
    DELETING = "deleting"
    UNBUILT = "unbuilt"  # the operator has not made (or not hashed) its StatefulSet yet


@dataclass(frozen=True, slots=True)
class State:
    """`pod` is set where there is one to talk to (AWAKE, OPENING)."""

    readiness: Readiness
    pod: PodFacts | None = None


def decide_state(instance: Instance, open_pod: str | None) -> State:
    """`open_pod`: uid of the pod that this router itself found open, so that nobody waits for the kubelet's once-a-second probe."""
    moltbot, statefulset, pod = instance.moltbot, instance.statefulset, instance.pod
    if moltbot.deleting:
        return State(Readiness.DELETING)
    if moltbot.suspended:
        return State(Readiness.SUSPENDED)
    if pod is not None and pod.terminating:
        return State(Readiness.GOING)
    if pod is not None and pod.address and pod.fingerprint:
        return State(Readiness.AWAKE if pod.uid == open_pod else Readiness.OPENING, pod)
    if statefulset is None or not statefulset.hashed:
        return State(Readiness.UNBUILT)
    if pod is not None or statefulset.replicas > 0:
        return State(Readiness.STARTING)
    return State(Readiness.ASLEEP)


def wants_one(instance: Instance) -> bool:
    """Rules 2 and 5f: whether a router that holds work writes 1 now."""
    statefulset = instance.statefulset
    return (
        not instance.moltbot.deleting
        and not instance.moltbot.suspended
        and statefulset is not None
        and statefulset.hashed
        and statefulset.replicas == 0
    )


def decide_phase(instance: Instance, state: State, *, waking: bool) -> str:
    """The phase that people are shown: the router's own knowledge first, for the operator's status may be behind or its writer down."""
    match state.readiness:
        case Readiness.AWAKE:
            return Phase.DRAINING if instance.moltbot.phase == Phase.DRAINING else Phase.AWAKE
        case Readiness.SUSPENDED:
            return Phase.SUSPENDED
        case Readiness.ASLEEP:
            return Phase.WAKING if waking else Phase.ASLEEP
        case Readiness.OPENING | Readiness.STARTING:
            return Phase.FAILED if instance.moltbot.phase == Phase.FAILED else Phase.WAKING
        case Readiness.GOING:
            return Phase.WAKING if waking else Phase.DRAINING
        case Readiness.UNBUILT:
            return Phase.FAILED if instance.moltbot.phase == Phase.FAILED else Phase.PENDING
        case Readiness.DELETING:
            return Phase.DRAINING


@dataclass(frozen=True, slots=True)
class Why:
    """Why it does not answer: a reason word of the catalogue (or ours) and a sentence for people."""

    reason: str
    message: str


def explain(instance: Instance | None, state: State | None) -> Why:
    """The reason of a 503, most telling first: what the operator found wrong, then what the pod itself shows, then where the wake is."""
    if instance is None or state is None:
        return Why("Gone", "This assistant does not exist any more.")
    if state.readiness is Readiness.SUSPENDED:
        return Why("Suspended", "This assistant is suspended and does not wake on traffic. Set spec.operatingMode to Auto to wake it.")
    if state.readiness is Readiness.DELETING:
        return Why("Deleting", "This assistant is being deleted.")
    ready = instance.moltbot.condition(ConditionType.READY)
    if ready is not None and ready.status == "False" and ready.message and _is_telling(instance, state):
        return Why(ready.reason, ready.message)
    if instance.pod is not None and instance.pod.trouble:
        return Why("PodTrouble", instance.pod.trouble)
    match state.readiness:
        case Readiness.GOING:
            return Why("Draining", "Its previous pod is still shutting down; the next one starts when it is gone.")
        case Readiness.UNBUILT:
            return Why(
                "NotCreated", "The operator has not made it ready yet. Look at: kubectl describe moltbot " + instance.moltbot.key.name
            )
        case Readiness.OPENING:
            return Why("Opening", "Its pod runs and is opening its memory.")
        case Readiness.STARTING:
            return Why("Starting", "Its pod is starting.")
        case Readiness.ASLEEP:
            return Why("Asleep", "It is asleep; waking it has not been possible yet.")
        case Readiness.AWAKE:
            return Why("Serving", "It is awake.")


def _is_telling(instance: Instance, state: State) -> bool:
    """A Ready condition from before this wake only says that it slept."""
    return instance.moltbot.phase in (Phase.FAILED, Phase.PENDING) or state.readiness in (
        Readiness.GOING,
        Readiness.OPENING,
        Readiness.STARTING,
    )
