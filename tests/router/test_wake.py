"""The wake as a machine: tables for its decisions, and every interleaving that a random walk finds (rules 2, 3 and 5f)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moltbot_router.path.facts import Instance, PodFacts, StatefulSetFacts
from moltbot_router.path.ports import Denied, Unavailable
from moltbot_router.path.readiness import Readiness, decide_state, explain, wants_one
from moltbot_router.path.wake import HoldLimits, WakeError, Waker
from moltbot_router.path.wake_step import Memory, Step, decide_step
from tests.fakes.clock import FakeClock, settle
from tests.router.cluster import ADA, MemoryCluster
from tests.router.world import moltbot

SLEEPING = StatefulSetFacts("sts", 10, 0, hashed=True)
SCALED = StatefulSetFacts("sts", 11, 1, hashed=True)
POD = PodFacts("pod-1", "10.0.0.7", "0" * 64)


@pytest.mark.parametrize(
    ("name", "instance", "open_pod", "expected"),
    [
        ("asleep", Instance(moltbot(), SLEEPING), None, Readiness.ASLEEP),
        ("operator has made nothing yet", Instance(moltbot()), None, Readiness.UNBUILT),
        ("not hashed yet: rule 2", Instance(moltbot(), replace(SLEEPING, hashed=False)), None, Readiness.UNBUILT),
        ("scaled, no pod", Instance(moltbot(), SCALED), None, Readiness.STARTING),
        ("pod without an address", Instance(moltbot(), SCALED, replace(POD, address="")), None, Readiness.STARTING),
        ("pod without a pin", Instance(moltbot(), SCALED, replace(POD, fingerprint="")), None, Readiness.STARTING),
        ("pod not asked yet", Instance(moltbot(), SCALED, POD), None, Readiness.OPENING),
        ("another pod was open", Instance(moltbot(), SCALED, POD), "pod-0", Readiness.OPENING),
        ("open", Instance(moltbot(), SCALED, POD), "pod-1", Readiness.AWAKE),
        ("terminating is never awake: rule 3", Instance(moltbot(), SCALED, replace(POD, terminating=True)), "pod-1", Readiness.GOING),
        ("suspended wins", Instance(moltbot(suspended=True), SCALED, POD), "pod-1", Readiness.SUSPENDED),
        ("deleting wins", Instance(moltbot(deleting=True), SCALED, POD), "pod-1", Readiness.DELETING),
    ],
)
def test_where_a_moltbot_is(name: str, instance: Instance, open_pod: str | None, expected: Readiness) -> None:
    state = decide_state(instance, open_pod)
    assert state.readiness is expected, name
    assert (state.pod is not None) == (expected in (Readiness.AWAKE, Readiness.OPENING))
    assert explain(instance, state).message


@pytest.mark.parametrize(
    ("name", "instance", "memory", "now", "expected"),
    [
        ("first write", Instance(moltbot(), SLEEPING), Memory(0.0), 0.0, Step.WRITE),
        ("own write not seen yet", Instance(moltbot(), SLEEPING), Memory(0.0, 11, True), 9.0, Step.WAIT),
        ("newer 0 than ours: 5f", Instance(moltbot(), replace(SLEEPING, version=12)), Memory(0.0, 11, True), 0.0, Step.WRITE),
        ("no version: by time, too early", Instance(moltbot(), SLEEPING), Memory(0.0, None, True, 5.0), 4.0, Step.WAIT),
        ("no version: by time", Instance(moltbot(), SLEEPING), Memory(0.0, None, True, 5.0), 5.0, Step.WRITE),
        ("after a failed write: pause", Instance(moltbot(), SLEEPING), Memory(0.0, None, False, 5.0), 4.0, Step.WAIT),
        ("terminating pod and 0: written", Instance(moltbot(), SLEEPING, replace(POD, terminating=True)), Memory(0.0), 0.0, Step.WRITE),
        ("terminating pod and 1", Instance(moltbot(), SCALED, replace(POD, terminating=True)), Memory(0.0), 0.0, Step.WAIT),
        ("not hashed: never written", Instance(moltbot(), replace(SLEEPING, hashed=False)), Memory(0.0), 0.0, Step.WAIT),
        ("pod to ask", Instance(moltbot(), SCALED, POD), Memory(0.0), 0.0, Step.PROBE),
        ("suspended meanwhile", Instance(moltbot(suspended=True), SLEEPING), Memory(0.0), 0.0, Step.FAIL),
        ("gone meanwhile", None, Memory(0.0), 0.0, Step.FAIL),
        ("status of the wake before", Instance(moltbot(phase="Failed"), SCALED), Memory(0.0), 1.0, Step.WAIT),
        ("failed", Instance(moltbot(phase="Failed"), SCALED), Memory(0.0), 4.0, Step.FAIL),
        ("failed before, not written yet", Instance(moltbot(phase="Failed"), SLEEPING), Memory(0.0), 4.0, Step.WRITE),
    ],
)
def test_what_a_wake_does_next(name: str, instance: Instance | None, memory: Memory, now: float, expected: Step) -> None:
    assert decide_step(instance, None, memory, now) is expected, name


class Pods:
    """A prober over what a test says is open."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.hang: set[str] = set()
        self.asked = 0
        self.most = 0
        self._now = 0

    async def probe(self, pod: PodFacts) -> bool:
        self.asked += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if pod.uid in self.hang:
                await asyncio.Event().wait()
            return pod.uid in self.open
        finally:
            self._now -= 1


class Stage:
    """A waker over memory, a fake clock and pods."""

    def __init__(self, limits: HoldLimits | None = None) -> None:
        self.clock = FakeClock()
        self.cluster = MemoryCluster(self.clock)
        self.pods = Pods()
        self.cluster.add(moltbot())
        self.waker = Waker(self.cluster, self.cluster, self.pods, self.clock, limits or HoldLimits())
        self._tasks: list[asyncio.Task[PodFacts]] = []

    def hold(self, reason: str = "request") -> asyncio.Task[PodFacts]:
        task = asyncio.create_task(self.waker.wait_open(ADA, reason=reason))
        self._tasks.append(task)
        return task

    async def end(self) -> None:
        await self.waker.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_wake_is_single_flight() -> None:
    """Rule 2: scale 0 → 1 once for all waiters, although the answer is slow."""
    stage = Stage()
    waiters = [stage.hold() for _ in range(20)]
    await stage.clock.advance(1)
    assert stage.cluster.scale_writes == [1]
    stage.pods.open.add("pod-1")
    stage.cluster.set_pod(ADA, POD)
    await stage.clock.advance(0.1)
    assert {(await waiter).uid for waiter in waiters} == {"pod-1"}
    assert not stage.waker.is_waking(ADA)
    assert stage.waker.held == 0
    assert stage.clock.sleepers == 0
    await stage.end()


async def test_a_hanging_question_does_not_delay_the_next() -> None:
    """A lost SYN must not be a back-off: another question goes out 25 ms later, and not without bound."""
    stage = Stage()
    waiter = stage.hold()
    stage.pods.hang.add("pod-1")
    await stage.clock.advance(0.1)
    stage.cluster.set_pod(ADA, POD)
    await stage.clock.advance(0.2)
    assert 2 <= stage.pods.most <= 4
    stage.pods.hang.clear()
    stage.pods.open.add("pod-1")
    stage.cluster.set_pod(ADA, replace(POD, uid="pod-2"))
    stage.pods.open.add("pod-2")
    await stage.clock.advance(0.1)
    assert (await waiter).uid == "pod-2"
    await stage.end()


async def test_deadline_tells_why_and_leaves_nothing_behind() -> None:
    stage = Stage(HoldLimits(seconds=50))
    waiter = stage.hold()
    await stage.clock.advance(49)
    assert not waiter.done()
    await stage.clock.advance(2)
    with pytest.raises(WakeError) as error:
        await waiter
    assert error.value.why.reason == "Starting"
    assert not error.value.failed
    await stage.clock.advance(5)
    assert not stage.waker.is_waking(ADA)
    await stage.end()


async def test_holding_is_bounded_for_each_and_in_all() -> None:
    stage = Stage(HoldLimits(each=2, total=100))
    first, second, third = stage.hold(), stage.hold(), stage.hold()
    await settle()
    with pytest.raises(WakeError) as error:
        await third
    assert error.value.why.reason == "TooManyWaiting"
    assert not first.done()
    assert not second.done()
    await stage.end()


async def test_leaving_does_not_disturb_the_others_and_the_last_ends_the_flight() -> None:
    stage = Stage()
    first, second = stage.hold(), stage.hold()
    await settle()
    first.cancel()
    await stage.clock.advance(0.1)
    assert stage.waker.is_waking(ADA)
    second.cancel()
    await stage.clock.advance(2)
    assert not stage.waker.is_waking(ADA)
    assert stage.waker.held == 0
    await stage.end()


async def test_a_wake_written_one_over_one_is_written_again() -> None:
    """Rule 5f: the watch was behind and another router had written 1 already; ours changed no version, so the operator's 0 went through."""
    stage = Stage()
    stage.cluster.lagging = True
    stage.cluster.set_replicas(ADA, 1)
    waiter = stage.hold()
    await stage.clock.advance(0.01)
    assert stage.cluster.scale_writes == [1]
    stage.cluster.set_replicas(ADA, 0)
    await stage.clock.advance(3)
    assert stage.cluster.scale_writes == [1]
    stage.cluster.catch_up()
    await stage.clock.advance(0.01)
    assert stage.cluster.scale_writes == [1, 1]
    stage.pods.open.add("pod-2")
    stage.cluster.set_pod(ADA, replace(POD, uid="pod-2"))
    await stage.clock.advance(0.1)
    assert (await waiter).uid == "pod-2"
    await stage.end()


async def test_a_committed_pod_is_waited_out_and_then_one_is_written() -> None:
    """Rules 5d and 5f: the pod is there, counts as lost, and says that it is not open until the operator has written 0."""
    stage = Stage()
    stage.cluster.set_replicas(ADA, 1)
    stage.cluster.set_pod(ADA, replace(POD, ready=True))
    stage.waker.state(ADA)
    stage.waker.mark_lost(ADA, "pod-1")
    waiter = stage.hold()
    await stage.clock.advance(1)
    assert stage.cluster.scale_writes == []
    stage.cluster.set_pod(ADA, replace(POD, terminating=True))
    stage.cluster.set_replicas(ADA, 0)
    await stage.clock.advance(0.1)
    assert stage.cluster.scale_writes == [1]
    stage.cluster.set_pod(ADA, replace(POD, uid="pod-2"))
    stage.pods.open.add("pod-2")
    await stage.clock.advance(0.1)
    assert (await waiter).uid == "pod-2"
    await stage.end()


async def test_a_lost_answer_is_written_again() -> None:
    stage = Stage()
    stage.cluster.lagging = True
    stage.cluster.fail_next = [Unavailable("lost after"), Unavailable("lost before"), Denied("before: no rights yet")]
    waiter = stage.hold()
    await stage.clock.advance(5)
    assert stage.cluster.scale_writes == [1, 1]
    stage.cluster.catch_up()
    stage.pods.open.add("pod-1")
    stage.cluster.set_pod(ADA, POD)
    await stage.clock.advance(0.1)
    assert (await waiter).uid == "pod-1"
    await stage.end()


async def test_a_router_behind_a_lagging_watch_does_not_write_in_a_loop() -> None:
    stage = Stage()
    stage.cluster.lagging = True
    stage.hold()
    await stage.clock.advance(20)
    assert len(stage.cluster.scale_writes) == 1
    await stage.end()


async def test_failed_wake_is_told_as_failed() -> None:
    stage = Stage()
    waiter = stage.hold()
    await stage.clock.advance(0.5)
    stage.cluster.change(ADA, phase="Failed")
    await stage.clock.advance(4)
    with pytest.raises(WakeError) as error:
        await waiter
    assert error.value.failed
    await stage.end()


async def test_kubelets_readiness_counts_until_we_know_better() -> None:
    """A router that has just started believes Ready; after a lost connection it believes only an answer, or the kubelet's next word."""
    stage = Stage()
    stage.cluster.set_replicas(ADA, 1)
    stage.cluster.set_pod(ADA, replace(POD, ready=True))
    assert stage.waker.state(ADA).readiness is Readiness.AWAKE  # type: ignore[union-attr]
    stage.waker.mark_lost(ADA, "pod-1")
    stage.cluster.set_pod(ADA, replace(POD, ready=True, trouble="x"))
    assert stage.waker.state(ADA).readiness is Readiness.OPENING  # type: ignore[union-attr]
    stage.cluster.set_pod(ADA, replace(POD, ready=False))
    stage.cluster.set_pod(ADA, replace(POD, ready=True))
    assert stage.waker.state(ADA).readiness is Readiness.AWAKE  # type: ignore[union-attr]
    await stage.end()


EVENTS = (
    "hold",
    "leave",
    "sleep",
    "pod",
    "open",
    "terminate",
    "lag",
    "catch up",
    "lost",
    "fail write",
    "wait",
    "late router",
    "operator pauses",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(EVENTS), max_size=25))
def test_whatever_happens_held_work_is_answered_by_an_open_pod(events: list[str]) -> None:
    """Rules 2 and 5f as a property: after any interleaving of operator, kubelet, watch and router, once the world behaves, who waits is
    served; nobody is served by a pod that is not open; and at the end nobody is held and nothing is under way."""
    asyncio.run(_walk(events))


async def _walk(events: list[str]) -> None:
    stage = Stage(HoldLimits(seconds=10_000))
    waiters: list[asyncio.Task[PodFacts]] = []
    paused = False
    number = 0

    def kubelet() -> None:
        """What a behaving world does: a pod for 1, none for 0."""
        nonlocal number
        truth = stage.cluster.truth[ADA]
        assert truth.statefulset is not None
        if truth.pod is not None and truth.pod.terminating:
            stage.cluster.set_pod(ADA, None)
        elif truth.statefulset.replicas == 1 and truth.pod is None:
            number += 1
            stage.cluster.set_pod(ADA, replace(POD, uid=f"pod-{number}"))
        elif truth.statefulset.replicas == 0 and truth.pod is not None:
            stage.pods.open.discard(truth.pod.uid)
            stage.cluster.set_pod(ADA, replace(truth.pod, terminating=True))
        elif truth.pod is not None:
            stage.pods.open.add(truth.pod.uid)

    actions: dict[str, Callable[[], None]] = {
        "hold": lambda: waiters.append(stage.hold()),
        "leave": lambda: waiters.pop().cancel() if waiters else None,  # type: ignore[dict-item]
        "pod": kubelet,
        "open": kubelet,
        "catch up": stage.cluster.catch_up,
        "fail write": lambda: stage.cluster.fail_next.append(Unavailable("lost after")),
    }
    for event in events:
        truth = stage.cluster.truth[ADA]
        if event in actions:
            actions[event]()
        elif event == "sleep" and not paused:
            stage.pods.open.clear()
            stage.cluster.set_replicas(ADA, 0)
        elif event == "operator pauses":
            paused = not paused
        elif event == "terminate" and truth.pod is not None:
            stage.pods.open.discard(truth.pod.uid)
            stage.cluster.set_pod(ADA, replace(truth.pod, terminating=True))
        elif event == "lag":
            stage.cluster.lagging = True
        elif event == "lost" and truth.pod is not None:
            stage.waker.mark_lost(ADA, truth.pod.uid)
        elif event == "late router":
            await stage.end()
            waiters = [waiter for waiter in waiters if not waiter.done()]
            stage.waker = Waker(stage.cluster, stage.cluster, stage.pods, stage.clock, HoldLimits(seconds=10_000))
            waiters = [stage.hold()]
        elif event == "wait":
            await stage.clock.advance(0.3)
        await settle(3)
    stage.cluster.fail_next.clear()
    stage.cluster.catch_up()
    for _ in range(12):
        kubelet()
        await stage.clock.advance(1.5)
    for waiter in waiters:
        if waiter.cancelled():
            continue
        assert waiter.done(), events
        served = waiter.result()
        assert not served.terminating
    assert stage.waker.held == 0
    assert not stage.waker.is_waking(ADA)
    assert set(stage.cluster.scale_writes) <= {1}
    await stage.end()


def test_suspended_and_deleting_are_never_scaled() -> None:
    assert not wants_one(Instance(moltbot(suspended=True), SLEEPING))
    assert not wants_one(Instance(moltbot(deleting=True), SLEEPING))
    assert wants_one(Instance(moltbot(), SLEEPING))
