"""Rule 5 over every interleaving: whatever happens at whichever point of the handshake, nothing is lost, doubled or stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle import handshake as handshake_module
from moltbot_operator.lifecycle import sleep_service
from moltbot_operator.lifecycle.handshake import Answer, Handshake, Step
from moltbot_operator.lifecycle.observed import Observed, Storage
from moltbot_operator.lifecycle.ports import Committed, ScaleFacts
from moltbot_operator.lifecycle.status import LifecycleStatus, Phase
from tests.lifecycle import faults
from tests.lifecycle.driving import Operator, awake, run_for, settle
from tests.lifecycle.faults import FAULTS, Fault, at, at_each
from tests.lifecycle.world import Violation, World

# More points than any handshake has; a test below counts them.
POINTS = 40


async def idle_world(storage: Storage) -> tuple[World, Operator]:
    """Awake with one answered message, and idle for as long as it takes."""
    world = World(storage)
    operator = Operator(world)
    await awake(world, operator)
    world.send()
    world.router()
    world.end_turns()
    world.pass_time(61.0)
    return world, operator


async def one_sleep(storage: Storage, happening: dict[int, Fault]) -> World:
    """One step that puts to sleep, with `happening` in it, and then everything until it is at rest."""
    world, operator = await idle_world(storage)
    world.interleave = at_each(happening, world)
    await operator.step()
    await operator.step()
    world.interleave = at_each({}, world)
    await settle(world, operator)
    return world


async def count_points(storage: Storage) -> list[str]:
    world, operator = await idle_world(storage)
    places: list[str] = []

    async def note(where: str) -> None:
        places.append(where)

    world.interleave = note
    await operator.step()
    assert world.replicas == 0
    return places


@pytest.mark.parametrize("storage", list(Storage))
async def test_undisturbed_it_sleeps_and_wakes_with_everything(storage: Storage) -> None:
    """Rule 5: the plain path, so that the tests below are about something."""
    world, operator = await idle_world(storage)
    await run_for(world, operator, 5.0)
    assert world.status.phase is Phase.ASLEEP
    assert world.pod is None
    if storage is Storage.EPHEMERAL:
        assert world.bucket.messages == {1}
    world.send()
    await settle(world, operator)
    assert world.accepted == {1, 2}


@pytest.mark.parametrize("storage", list(Storage))
async def test_the_points_at_which_the_world_may_act_are_within_reach_of_these_tests(storage: Storage) -> None:
    places = await count_points(storage)
    assert len(places) < POINTS
    expected = [
        "sleep.decided",
        "sleep.snapshot",
        "sleep.quiesced",
        "sleep.recorded",
        "sleep.version-read",
        "sleep.committed",
        "sleep.scaled",
    ]
    if storage is Storage.EPHEMERAL:
        expected.insert(3, "sleep.final-snapshot")
    assert [place.removeprefix("checkpoint ") for place in places if place.startswith("checkpoint")] == expected


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("storage", list(Storage))
async def test_one_fault_at_every_point_loses_doubles_and_strands_nothing(storage: Storage, fault: Fault) -> None:
    """Rules 2, 4, 5, 7: exhaustive over the points of one handshake."""
    for place in range(POINTS):
        try:
            await one_sleep(storage, {place: fault})
        except Violation as violation:
            raise Violation(f"{fault.__name__} at point {place}: {violation}") from violation


@given(
    storage=st.sampled_from(list(Storage)),
    happening=st.dictionaries(st.integers(0, POINTS), st.sampled_from(FAULTS), min_size=2, max_size=5),
)
@settings(max_examples=250, deadline=None)
def test_several_faults_lose_double_and_strand_nothing(storage: Storage, happening: dict[int, Fault]) -> None:
    """Rules 2, 4, 5, 7: several at once, shrunk to the smallest that breaks."""
    asyncio.run(one_sleep(storage, happening))


# --- proofs that these tests can fail: take one part of rule 5 away, and some interleaving breaks


async def breaks(storage: Storage = Storage.EPHEMERAL) -> list[str]:
    """Which single faults show a violation."""
    found = []
    for fault in FAULTS:
        for place in range(POINTS):
            try:
                await one_sleep(storage, {place: fault})
            except Violation as violation:
                found.append(f"{fault.__name__} at {place}: {violation}")
                break
    return found


@contextmanager
def step_skipped(monkeypatch: pytest.MonkeyPatch, step: Step, answer: Answer) -> Iterator[None]:
    """The service does not make this call and goes on as if it had been granted."""
    original = sleep_service.SleepService._call

    async def call(
        self: sleep_service.SleepService, handshake: Handshake, observed: Observed, status: LifecycleStatus | None, left: float
    ) -> Answer:
        if handshake.step is step:
            return answer
        return await original(self, handshake, observed, status, left)

    with monkeypatch.context() as patch:
        patch.setattr(sleep_service.SleepService, "_call", call)
        yield


async def test_without_the_commit_something_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5d."""
    with step_skipped(monkeypatch, Step.COMMIT, Committed()):
        assert await breaks()


async def test_without_the_final_snapshot_something_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5c."""

    async def run() -> list[str]:
        original = handshake_module.begin_handshake

        def begin(handshake_id: str, sleep: object, *, has_bucket: bool, on_volume: bool) -> Handshake:
            del on_volume
            return original(handshake_id, sleep, has_bucket=has_bucket, on_volume=True)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(sleep_service, "begin_handshake", begin)
            return await breaks()

    assert await run()


async def test_without_the_resource_version_something_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5e: read right before the write instead of before the commit, it notices no gateway that restarted."""
    original = sleep_service.SleepService._end

    async def end(self: sleep_service.SleepService, handshake: Handshake, observed: Observed, timeout: float) -> Answer:
        world = self._ports.cluster._world  # type: ignore[attr-defined]
        await world.interleave("before a scale without precondition")
        version = ScaleFacts("s-1", str(world.version), world.replicas)
        world.interleave, kept = faults.at_each({}, world), world.interleave
        try:
            return await original(self, Handshake(**{**_fields(handshake), "version": version}), observed, timeout)  # type: ignore[arg-type]
        finally:
            world.interleave = kept

    monkeypatch.setattr(sleep_service.SleepService, "_end", end)
    assert any("gateway_restarts" in one for one in await breaks())


async def test_without_the_ten_seconds_something_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5e: a committed gateway that ended by itself and is back is not in the StatefulSet's version at once."""
    monkeypatch.setattr(sleep_service, "may_end", lambda handshake, now: True)
    assert any("pause_until_the_gateway_is_back" in one for one in await breaks())


async def test_a_router_that_never_writes_one_strands_its_message() -> None:
    """Rule 5f: the model's router must write 1, else the property about held work means nothing."""
    world, operator = await idle_world(Storage.VOLUME)
    await run_for(world, operator, 5.0, router=False)
    world.send()
    await run_for(world, operator, 60.0, router=False)
    with pytest.raises(Violation, match="held for ever"):
        world.check_settled()


def _fields(handshake: Handshake) -> dict[str, object]:
    return {name: getattr(handshake, name) for name in handshake.__dataclass_fields__}


@pytest.mark.parametrize("place", range(0, POINTS, 3))
async def test_a_suspended_one_stays_down_whatever_the_router_holds(place: int) -> None:
    """Rule 2: Suspended sleeps now and is not woken by the operator."""
    world, operator = await idle_world(Storage.EPHEMERAL)
    world.interleave = at(place, faults.suspended, world)
    await operator.step()
    faults.suspended(world)
    world.interleave = at_each({}, world)
    world.send()
    await run_for(world, operator, 60.0)
    assert world.moltbot.mode is OperatingMode.SUSPENDED
    assert world.pod is None
    assert world.status.phase is Phase.SUSPENDED
