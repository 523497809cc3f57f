"""Which process of a pod starts, which is asked to stop, which is killed, and whether the pod is done: pure.

`decide_pod` is asked again after everything that happens, with what is true then; it remembers nothing.

The order (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/ and …/pod-lifecycle/):

1. init containers one after the other; a classic one must have ended with 0, a *sidecar* (restartPolicy Always) must have started,
   that is run and passed its startup probe. Sidecars that end are started again at any time.
2. then the main containers, all at once;
3. stopping: main containers and a running classic init container get SIGTERM together; when they are gone the sidecars, the last
   declared first, one after the other; all within one grace, at whose end what still runs is killed. A sidecar whose turn comes
   only then has still `SIDECAR_SECONDS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .backoff import Backoff
from .podspec import Container, PodSpec

# kuberuntime_container.go: minimumGracePeriodInSeconds
SIDECAR_SECONDS = 2.0


@dataclass(frozen=True)
class Ended:
    code: int
    at: float


@dataclass(frozen=True)
class Facts:
    """What is true of one container now.

    `runs`: a process exists. `started`: it passed its startup probe, or has none. `ended`: how the latest process ended (None while
    one runs, or none ever ran). `asked`: when it got SIGTERM. `unhealthy`: since when a probe wants it stopped, with the grace that
    the probe allows. `blocked`: it cannot start (image, configuration); until that changes it is not tried.
    """

    runs: bool = False
    started: bool = False
    ended: Ended | None = None
    backoff: Backoff = field(default_factory=Backoff)
    asked: float | None = None
    killed: bool = False
    unhealthy: float | None = None
    blocked: bool = False


class Phase(Enum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class Stopping:
    """The whole pod is to end: since when, within how many seconds."""

    since: float
    grace: float


@dataclass(frozen=True)
class Decision:
    start: tuple[str, ...] = ()
    terminate: tuple[str, ...] = ()
    kill: tuple[str, ...] = ()
    initialized: bool = False
    # Nothing runs and nothing will: how the pod ends.
    done: Phase | None = None
    # Ask again at this time at the latest, though nothing happens.
    again: float | None = None


NOTHING = Facts()


class _Plan:
    def __init__(self, now: float) -> None:
        self.now = now
        self.start: list[str] = []
        self.terminate: list[str] = []
        self.kill: list[str] = []
        self.times: list[float] = []

    def decision(self, *, initialized: bool, done: Phase | None = None) -> Decision:
        return Decision(
            tuple(self.start), tuple(self.terminate), tuple(self.kill), initialized, done, min(self.times) if self.times else None
        )

    def start_when_due(self, name: str, facts: Facts) -> None:
        if facts.blocked:
            return
        due = facts.backoff.until(facts.ended.at) if facts.ended is not None else self.now
        if due <= self.now:
            self.start.append(name)
        else:
            self.times.append(due)

    def stop(self, name: str, facts: Facts, deadline: float) -> None:
        """SIGTERM once, SIGKILL once at the deadline."""
        if facts.killed:
            return
        if self.now >= deadline:
            self.kill.append(name)
        else:
            if facts.asked is None:
                self.terminate.append(name)
            self.times.append(deadline)


def is_over(spec: PodSpec, container: Container, facts: Facts) -> bool:
    """It ended and is not started again."""
    return not facts.runs and facts.ended is not None and not spec.restarts(container, facts.ended.code)


def _code(facts: Facts) -> int:
    return facts.ended.code if facts.ended is not None else 0


def decide_pod(spec: PodSpec, observed: Mapping[str, Facts], stopping: Stopping | None, now: float) -> Decision:
    def of(container: Container) -> Facts:
        return observed.get(container.name, NOTHING)

    plan = _Plan(now)
    # Once a main container ran, initialisation is behind us and is not looked at again.
    past_init = any(of(c).runs or of(c).ended is not None for c in spec.main)
    if stopping is not None:
        return _decide_stopping(spec, observed, stopping, plan, past_init)

    # A container that a probe gave up is stopped by its own grace and then started again like any other.
    for container in spec.containers:
        facts = of(container)
        if facts.runs and facts.unhealthy is not None:
            # A probe may have a grace of its own; the startup probe counts until it passed, the liveness probe from then on.
            probe = container.liveness if facts.started else container.startup
            grace = spec.grace if probe is None or probe.grace is None else probe.grace
            plan.stop(container.name, facts, facts.unhealthy + grace)

    if not past_init and any(not c.sidecar and is_over(spec, c, of(c)) and _code(of(c)) != 0 for c in spec.init):
        # restartPolicy Never, and an init container failed: nothing is started any more.
        return _end_sidecars(spec, observed, plan, Phase.FAILED, initialized=False)

    initialized = True
    for container in spec.init:
        facts = of(container)
        if container.sidecar:
            if not facts.runs:
                plan.start_when_due(container.name, facts)
            if not past_init and not (facts.runs and facts.started):
                initialized = False
                break
        elif past_init:
            continue
        elif facts.runs:
            initialized = False
            break
        elif facts.ended is None or facts.ended.code != 0:
            plan.start_when_due(container.name, facts)
            initialized = False
            break
    if not initialized:
        return plan.decision(initialized=False)

    if all(is_over(spec, c, of(c)) for c in spec.main):
        failed = any(_code(of(c)) != 0 for c in spec.main)
        plan.start.clear()
        return _end_sidecars(spec, observed, plan, Phase.FAILED if failed else Phase.SUCCEEDED, initialized=True)
    for container in spec.main:
        facts = of(container)
        if not facts.runs and not is_over(spec, container, facts):
            plan.start_when_due(container.name, facts)
    return plan.decision(initialized=True)


def _end_sidecars(spec: PodSpec, observed: Mapping[str, Facts], plan: _Plan, phase: Phase, *, initialized: bool) -> Decision:
    """The work is done: sidecars end in reverse order, each with the pod's grace."""
    for container in reversed(spec.init):
        facts = observed.get(container.name, NOTHING)
        if facts.runs:
            plan.stop(container.name, facts, (plan.now if facts.asked is None else facts.asked) + spec.grace)
            return plan.decision(initialized=initialized)
    return plan.decision(initialized=initialized, done=phase)


def _decide_stopping(spec: PodSpec, observed: Mapping[str, Facts], stopping: Stopping, plan: _Plan, past_init: bool) -> Decision:
    deadline = stopping.since + stopping.grace
    working = [c for c in spec.containers if not c.sidecar and observed.get(c.name, NOTHING).runs]
    for container in working:
        plan.stop(container.name, observed[container.name], deadline)
    if working:
        return plan.decision(initialized=past_init)
    for container in reversed(spec.init):
        facts = observed.get(container.name, NOTHING)
        if facts.runs:
            # Its turn began when it was asked; with no grace at all nobody is asked.
            turn = plan.now if facts.asked is None else facts.asked
            plan.stop(container.name, facts, max(deadline, turn + SIDECAR_SECONDS) if stopping.grace > 0 else deadline)
            return plan.decision(initialized=past_init)
    ended = [observed.get(c.name, NOTHING).ended for c in spec.main]
    fine = bool(ended) and all(e is not None and e.code == 0 for e in ended)
    return plan.decision(initialized=past_init, done=Phase.SUCCEEDED if fine else Phase.FAILED)
