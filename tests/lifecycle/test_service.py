"""The service on a model of cluster, pod and router: each way into and out of sleep from end to end (rules 1, 2, 5, 12)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.observed import Observed, SnapshotFacts, Storage
from moltbot_operator.lifecycle.status import ActionKind, ActionResult, ConditionType, Phase, Reason, Truth
from tests.lifecycle.driving import Operator, awake, run_for, settle
from tests.lifecycle.world import Killed, World


async def started(storage: Storage = Storage.EPHEMERAL, sleep_after: float | None = 60.0) -> tuple[World, Operator]:
    world = World(storage, sleep_after)
    operator = Operator(world)
    await awake(world, operator)
    await run_for(world, operator, 3.0)
    return world, operator


def ask(world: World, kind: str) -> None:
    when = world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    world.moltbot = replace(world.moltbot, annotations={**world.moltbot.annotations, f"moltbot.dev/{kind}": when})


def suspend(world: World, *, off: bool = False) -> None:
    mode = OperatingMode.AUTO if off else OperatingMode.SUSPENDED
    world.moltbot = replace(world.moltbot, mode=mode, generation=world.moltbot.generation + 1)


def result(world: World, kind: ActionKind) -> ActionResult | None:
    record = world.status.action(kind)
    return record.result if record is not None else None


def sleeping(world: World) -> tuple[Truth, Reason]:
    condition = world.status.condition(ConditionType.SLEEPING)
    assert condition is not None
    return condition.status, condition.reason


def phase(world: World) -> Phase:
    return world.status.phase


def phases(world: World) -> list[Phase]:
    return [entry.phase for entry in reversed(world.status.history)]


async def test_the_first_start_is_the_operator_s_and_every_phase_is_told() -> None:
    world, operator = await started()
    assert phases(world) == [Phase.WAKING, Phase.AWAKE]
    await run_for(world, operator, 70.0)
    assert phases(world) == [Phase.WAKING, Phase.AWAKE, Phase.DRAINING, Phase.ASLEEP]
    assert sleeping(world) == (Truth.TRUE, Reason.IDLE)
    world.send()
    await run_for(world, operator, 5.0)
    assert phases(world)[-2:] == [Phase.WAKING, Phase.AWAKE]
    assert world.status.last_wake is not None
    assert world.status.last_wake.reason == "message"
    assert {"Woke", "FellAsleep"} <= {reason for reason, _ in world.events}


async def test_one_that_never_sleeps_does_not() -> None:
    world, operator = await started(sleep_after=None)
    await run_for(world, operator, 3600.0)
    assert world.scaled_down == 0


async def test_when_nothing_happens_nothing_is_written() -> None:
    """Rule 1: asleep, ten looks and a restart of the operator write nothing."""
    world, operator = await started()
    await run_for(world, operator, 80.0)
    assert phase(world) is Phase.ASLEEP
    before, version = world.status, world.version
    writes: list[str] = []

    async def note(where: str) -> None:
        writes.append(where)

    world.interleave = note
    for fresh in (operator, Operator(world)):
        for _ in range(10):
            await fresh.step()
            world.pass_time(30.0)
    assert writes == []
    assert world.status is before
    assert world.version == version


async def test_an_open_pod_is_asked_every_minute_whatever_else_happens_and_at_each_of_its_events() -> None:
    """Rule 12: events in between neither put it off nor ask more often, but an event of the pod asks at once."""
    world, operator = await started(sleep_after=None)
    asked: list[float] = []

    async def note(where: str) -> None:
        if where == "before report":
            asked.append(world.clock.monotonic())

    world.interleave = note
    begun = world.clock.monotonic()
    for _ in range(40):
        world.bump()
        await operator.step()
        world.pass_time(10.0)
    assert 6 <= len(asked) <= 7
    assert asked[0] - begun <= 60
    before = len(asked)
    world.restart_gateway()
    await operator.step()
    assert len(asked) == before + 1


async def test_a_person_s_sleep_wakes_for_traffic_and_not_for_never() -> None:
    """Rule 1."""
    world, operator = await started(sleep_after=None)
    world.send()
    world.router()  # a turn runs: it is ended
    ask(world, "sleep")
    await run_for(world, operator, 10.0)
    assert result(world, ActionKind.SLEEP) is ActionResult.DONE
    assert sleeping(world) == (Truth.TRUE, Reason.REQUESTED)
    operator = Operator(world)  # restarted: it does not forget
    await run_for(world, operator, 600.0)
    assert world.replicas == 0
    world.send()
    await run_for(world, operator, 10.0)
    assert phase(world) is Phase.AWAKE
    assert world.accepted == {1, 2}


@pytest.mark.parametrize("killed_at", ["after scale 0", "checkpoint sleep.scaled"])
async def test_a_person_s_sleep_survives_an_operator_that_ends_right_after_it(killed_at: str) -> None:
    """The request stands as running in the status: `never` writes no 1, and the sleep is not repeated either."""
    world, operator = await started(sleep_after=None)

    async def kill(where: str) -> None:
        if where == killed_at:
            raise Killed

    ask(world, "sleep")
    world.interleave = kill
    assert await operator.step() is None
    world.interleave = _quiet
    assert world.replicas == 0
    await run_for(world, operator, 20.0)
    assert world.replicas == 0
    assert sleeping(world) == (Truth.TRUE, Reason.REQUESTED)
    world.send()
    await settle(world, operator)
    await run_for(world, operator, 20.0)
    assert world.replicas == 1


async def test_a_person_s_wake() -> None:
    world, operator = await started()
    await run_for(world, operator, 80.0)
    ask(world, "wake")
    await run_for(world, operator, 5.0)
    assert phase(world) is Phase.AWAKE
    assert result(world, ActionKind.WAKE) is ActionResult.DONE
    assert world.status.last_wake is not None
    assert world.status.last_wake.reason == "person"


async def test_a_restart_replaces_the_pod_and_keeps_everything() -> None:
    world, operator = await started()
    world.send()
    world.router()
    ask(world, "restart")
    first = world.pod.uid if world.pod else ""
    await run_for(world, operator, 10.0)
    assert world.pod is not None
    assert world.pod.uid != first
    assert result(world, ActionKind.RESTART) is ActionResult.DONE
    assert phase(world) is Phase.AWAKE
    assert world.pods_made == 2
    assert world.pod.messages == {1}


async def test_a_restart_is_told_as_one_and_its_seconds_are_its_own() -> None:
    """Also while the informer still shows the pod as it was."""
    world, operator = await started()
    await run_for(world, operator, 20.0)
    before = world.observed()
    ask(world, "restart")
    await operator.step()
    assert world.pod is not None
    stale = replace(world.observed(), pod=before.pod)
    outcome = await operator.service.step(stale)
    world.status = outcome.status
    assert phase(world) is Phase.DRAINING
    await run_for(world, operator, 10.0)
    assert phases(world)[-3:] == [Phase.DRAINING, Phase.WAKING, Phase.AWAKE]
    assert len(phases(world)) == 5
    assert world.status.last_wake is not None
    assert world.status.last_wake.seconds < 5
    assert world.status.last_wake.reason == "person"


async def test_a_wake_asked_for_just_after_the_zero_is_not_taken_for_done() -> None:
    """Also while the informer still shows the 1 that was there before."""
    world, operator = await started()
    world.pass_time(61.0)
    before = world.observed()
    await operator.step()
    assert world.replicas == 0
    world.pass_time(0.1)
    ask(world, "wake")
    outcome = await operator.service.step(replace(world.observed(), statefulset=before.statefulset, pod=before.pod))
    world.status = outcome.status
    await run_for(world, operator, 10.0)
    assert world.replicas == 1
    assert phase(world) is Phase.AWAKE
    assert result(world, ActionKind.WAKE) is ActionResult.DONE


async def test_a_pod_that_was_spared_is_replaced_at_once() -> None:
    """A router wrote 1 before the controller had looked at the 0: nobody waits for the committed process to end by itself."""
    world, operator = await started()
    world.pass_time(61.0)
    await operator.step()
    assert world.replicas == 0
    world.send()
    world.router()
    assert world.replicas == 1
    await run_for(world, operator, 6.0)
    assert world.pods_made == 2
    assert phase(world) is Phase.AWAKE
    assert world.accepted == {1}


async def test_a_changed_spec_replaces_the_pod_as_soon_as_nobody_is_busy() -> None:
    """Rule 2."""
    world, operator = await started(sleep_after=None)
    world.send()
    world.router()
    world.template += 1
    world.moltbot = replace(world.moltbot, generation=2)
    world.bump()
    await run_for(world, operator, 30.0)
    assert world.pods_made == 1
    progressing = world.status.condition(ConditionType.PROGRESSING)
    assert progressing is not None
    assert progressing.reason is Reason.ROLLING
    world.end_turns()
    await run_for(world, operator, 15.0)
    assert world.pods_made == 2
    assert world.forced_turns == 0
    assert phase(world) is Phase.AWAKE


async def test_a_changed_spec_ends_a_turn_after_ten_minutes() -> None:
    world, operator = await started(sleep_after=None)
    world.send()
    world.router()
    world.template += 1
    world.bump()
    await run_for(world, operator, 590.0)
    assert world.pods_made == 1
    await run_for(world, operator, 30.0)
    assert world.pods_made == 2
    assert world.forced_turns == 1


async def test_suspended_sleeps_at_once_and_wakes_when_it_is_lifted() -> None:
    world, operator = await started()
    suspend(world)
    await run_for(world, operator, 5.0)
    assert phase(world) is Phase.SUSPENDED
    world.send()
    await run_for(world, operator, 100.0)
    assert world.replicas == 0
    suspend(world, off=True)
    await run_for(world, operator, 5.0)
    assert phase(world) is Phase.AWAKE
    assert world.accepted == {1}


async def test_a_wake_of_a_suspended_one_is_refused_with_an_event() -> None:
    """Rule 1."""
    world, operator = await started()
    suspend(world)
    await run_for(world, operator, 5.0)
    ask(world, "wake")
    await run_for(world, operator, 5.0)
    assert result(world, ActionKind.WAKE) is ActionResult.REFUSED
    assert "ActionRefused" in {reason for reason, _ in world.events}
    assert world.replicas == 0


async def test_a_turn_that_runs_keeps_it_awake() -> None:
    world, operator = await started()
    world.send()
    world.router()
    await run_for(world, operator, 600.0)
    assert world.scaled_down == 0
    world.end_turns()
    await run_for(world, operator, 10.0)
    assert world.scaled_down == 1


async def test_something_due_wakes_it_in_time() -> None:
    """Rules 2 and 12."""
    world, operator = await started()
    due = world.clock.now() + timedelta(seconds=400)
    world.next_due = due
    await run_for(world, operator, 80.0)
    assert phase(world) is Phase.ASLEEP
    assert world.status.next_wake == due
    world.next_due = None
    await run_for(world, Operator(world), 318.0)
    assert phase(world) is Phase.AWAKE
    assert world.status.last_wake is not None
    assert world.status.last_wake.reason == "job"
    assert world.status.next_wake is None


async def test_one_whose_memory_cannot_be_kept_stays_awake_and_says_so() -> None:
    """Rule 5c; on a volume the same bucket stops nothing."""
    world, operator = await started()
    world.send()
    world.router()
    world.end_turns()
    world.bucket.broken = True
    await run_for(world, operator, 300.0)
    assert world.scaled_down == 0
    assert sleeping(world) == (Truth.FALSE, Reason.BACKUP_FAILED)
    assert sum(reason == "BackupFailed" for reason, _ in world.events) <= 8  # it backs off
    world.bucket.broken = False
    await run_for(world, operator, 300.0)
    assert phase(world) is Phase.ASLEEP
    assert world.bucket.messages == {1}

    world, operator = await started(Storage.VOLUME)
    world.bucket.broken = True
    await run_for(world, operator, 80.0)
    assert phase(world) is Phase.ASLEEP


async def test_what_a_person_wants_does_not_wait_for_what_failed_before() -> None:
    world, operator = await started()
    world.send()
    world.router()
    world.end_turns()
    world.bucket.broken = True
    world.pass_time(61.0)
    for _ in range(8):
        await run_for(world, operator, 60.0)
    world.bucket.broken = False
    suspend(world)
    await run_for(world, operator, 4.0)
    assert phase(world) is Phase.SUSPENDED


async def test_a_broken_gateway_can_be_suspended_once_it_shows_no_progress() -> None:
    """Rule 5: no answer counts only while the kubelet's readiness is false as long."""
    world, operator = await started(Storage.VOLUME)
    assert world.pod is not None
    world.pod.unreachable = True
    suspend(world)
    await run_for(world, operator, 120.0)
    assert world.replicas == 1, "the kubelet still finds it ready"
    world.pod.ready = False
    world.bump()
    world.controllers = lambda: None if world.replicas == 1 else World.controllers(world)  # type: ignore[method-assign]
    await run_for(world, operator, 25.0)
    assert world.replicas == 1
    world.check_end = lambda: None  # type: ignore[method-assign]  # there is nobody to consent
    await run_for(world, operator, 15.0)
    assert world.replicas == 0


async def test_a_backup_that_a_person_asks_for_is_taken_for_all_that_wait() -> None:
    world, operator = await started()
    world.send()
    world.router()
    requests = tuple(SnapshotFacts(f"ask-{n}", f"u-{n}", world.clock.now(), requested=True, done=False) for n in (1, 2))
    await operator.service.step(replace(world.observed(), snapshots=requests))
    assert {name: outcome.complete for name, outcome in world.finished.items()} == {"ask-1": True, "ask-2": True}
    assert world.bucket.messages == {1}


async def test_a_cancelled_step_leaves_nothing_that_the_next_one_cannot_go_on_from() -> None:
    """Cancellation at every point: the gateway's ttl and the next attempt see to it."""
    cancelled = 0
    for place in range(40):
        world, operator = await started()
        world.pass_time(61.0)
        points = iter(range(1000))

        async def cancel(where: str, points: object = points, place: int = place) -> None:
            del where
            if next(points) == place:  # type: ignore[call-overload]
                raise asyncio.CancelledError

        world.interleave = cancel
        try:
            await operator.step()
        except asyncio.CancelledError:
            cancelled += 1
        world.interleave = _quiet
        await run_for(world, operator, 90.0)
        assert phase(world) is Phase.ASLEEP
        world.send()
        await settle(world, operator)
    assert cancelled > 20


async def test_forgetting_one_that_is_gone_keeps_nothing() -> None:
    world, operator = await started()
    operator.service.forget(world.moltbot.uid)
    operator.service.forget("unknown")
    observed: Observed = replace(world.observed(), moltbot=replace(world.moltbot, deleting=True), pod=None)
    outcome = await operator.service.step(replace(observed, statefulset=None))
    assert outcome.status.phase is Phase.DRAINING


async def _quiet(where: str) -> None:
    del where
