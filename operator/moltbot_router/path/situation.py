"""What people are told of a Moltbot's state: `/api/status` in moltworker's shape, the phase of `/api/events` and of the waiting page.
Pure."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_api.conditions import Phase
from moltbot_router.path.facts import Instance
from moltbot_router.path.readiness import Readiness, State, decide_phase, explain


@dataclass(frozen=True, slots=True)
class Situation:
    """`estimate`: seconds that remain, None when unknown; `reason` a word of the conditions' catalogue."""

    phase: str
    message: str
    estimate: float | None
    reason: str

    def to_wire(self) -> dict[str, object]:
        """The data of `event: phase`."""
        return {"phase": self.phase, "message": self.message, "estimateSeconds": self.estimate, "reason": self.reason}


def describe(instance: Instance, state: State, *, waking_for: float | None) -> Situation:
    """Where it is, in words. `waking_for`: seconds since this router began to wake it, None while nobody waits."""
    waking = waking_for is not None
    whole = instance.moltbot.wake_seconds
    remaining = max(0.0, round(whole - (waking_for or 0.0), 1)) if whole is not None else None
    phase = decide_phase(instance, state, waking=waking)
    why = explain(instance, state)
    match phase:
        case Phase.AWAKE:
            return Situation(phase, "It is awake.", None, "Serving")
        case Phase.ASLEEP:
            return Situation(phase, "It is asleep. Your next message wakes it.", whole, "Asleep")
        case Phase.WAKING if state.readiness is Readiness.ASLEEP:
            return Situation(phase, "Waking it.", remaining, "Waking")
        case Phase.WAKING:
            return Situation(phase, why.message, remaining, why.reason)
        case _:
            return Situation(phase, why.message, None, why.reason)


def status_answer(instance: Instance, state: State, *, waking_for: float | None, admin_url: str | None) -> dict[str, object]:
    """`GET /api/status`: always 200 for who passed lock 2, and it never wakes."""
    situation = describe(instance, state, waking_for=waking_for)
    answer: dict[str, object] = {"ok": False}
    if state.readiness is Readiness.AWAKE and state.pod is not None:
        answer = {"ok": True, "status": "running", "processId": state.pod.uid}
    elif situation.phase == Phase.FAILED:
        answer |= {"status": "error", "error": situation.message}
    elif state.readiness in (Readiness.OPENING, Readiness.STARTING):
        answer["status"] = "not_responding"
    else:
        answer["status"] = "not_running"
    return answer | {
        "name": instance.moltbot.key.name,
        "namespace": instance.moltbot.key.namespace,
        "phase": situation.phase,
        "message": situation.message,
        "adminUrl": admin_url,
    }
