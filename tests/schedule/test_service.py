"""Jobs are run when they are due: once, one after the other, at most two at once, and what is missed by policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moltbot_gateway.agent_config import Missed, ScheduledJob
from moltbot_gateway.errors import InvalidRequest, StateError, Unavailable
from moltbot_gateway.schedule.service import LATE_MS, MAX_JOBS, RunOutcome, Schedule
from moltbot_gateway.store import jobs as store
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.jobs import RunState, Source
from tests.schedule.world import World, job_params, main_texts

MINUTE = 60_000
EVERY = ScheduledJob("check", "look", every_ms=10 * MINUTE)
DAILY = ScheduledJob("brief", "what is new?", cron="0 7 * * *", time_zone="Europe/Berlin")  # 06:00 UTC; the clock begins at 08:00 UTC


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "moltbot.sqlite")


async def find(schedule: Schedule, name: str) -> store.Job:
    (job,) = [job for job, _ in await schedule.jobs() if job.name == name]
    return job


async def test_a_due_job_runs_once_and_moves_on(world: World) -> None:
    async with world.opened([EVERY]) as schedule:
        first = world.now_ms + 10 * MINUTE
        assert schedule.next_due_ms == first
        await world.pass_time(schedule, 599)
        assert world.runner.ran == []
        await world.pass_time(schedule, 2)
        assert world.runner.ran == [("check", first)]
        assert schedule.next_due_ms == first + 10 * MINUTE
        job = await find(schedule, "check")
        assert await world.ended(schedule, job.id) == [(first, "ok")]
        assert [(event["action"], event.get("status")) for event in world.told] == [("started", None), ("finished", "ok")]
        assert world.told[1]["sessionKey"] == "agent:main:cron:spec-check"
        await world.pass_time(schedule, 600)
        assert len(world.runner.ran) == 2


async def test_due_times_hold_in_the_zone_of_the_job_the_assistant_or_utc(world: World) -> None:
    own = ScheduledJob("own", "x", cron="0 12 * * *")
    async with world.opened([DAILY, own], zone="America/New_York") as schedule:
        due = {job.name: (job.next_ms or 0) - world.now_ms for job, _ in await schedule.jobs()}
    assert due == {"brief": 22 * 60 * MINUTE, "own": 9 * 60 * MINUTE}


async def test_a_reminder_is_removed_once_it_was_run(world: World) -> None:
    async with world.opened() as schedule:
        await schedule.add(job_params({"kind": "at", "atMs": world.now_ms + MINUTE}), Source.ASSISTANT)
        await world.pass_time(schedule, 61)
        assert [name for name, _ in world.runner.ran] == ["tea"]
        assert await schedule.jobs() == []
        kept = await schedule.add(job_params({"kind": "at", "atMs": world.now_ms + MINUTE}, deleteAfterRun=False), Source.PERSON)
        await world.pass_time(schedule, 61)
        ((job, last),) = await schedule.jobs()
        assert (job.id, job.next_ms) == (kept.id, None)
        assert last is not None
        assert last.status is RunState.OK


async def test_a_look_that_broke_is_not_the_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []

    def admits(_: World) -> bool:
        looks.append(True)
        if len(looks) == 1:
            raise RuntimeError("nobody thought of it")
        return True

    monkeypatch.setattr(World, "admits", property(admits, lambda *given: None))
    async with world.opened([EVERY]) as schedule:
        await world.pass_time(schedule, 601)
        assert (len(looks), world.runner.ran) == (1, [])
        await world.pass_time(schedule, 31)
        assert [name for name, _ in world.runner.ran] == ["check"]


async def test_a_reminder_that_failed_is_kept(world: World) -> None:
    world.runner.outcome = RunOutcome(RunState.ERROR, error="The model is not set.")
    async with world.opened() as schedule:
        job = await schedule.add(job_params({"kind": "at", "atMs": world.now_ms + MINUTE}), Source.ASSISTANT)
        await world.pass_time(schedule, 61)
        assert await world.ended(schedule, job.id) == [(world.now_ms - 1000, "error")]
        assert world.noted[-1].text == "The job “tea” failed: The model is not set."


async def test_runs_of_one_job_never_overlap(world: World) -> None:
    world.runner.at_once = False
    async with world.opened([replace(EVERY, every_ms=MINUTE)]) as schedule:
        await world.pass_time(schedule, 150)
        assert len(world.runner.ran) == 1
        world.runner.let_go("check")
        await world.rest(schedule)
        assert len(world.runner.ran) == 2, "what came due meanwhile is run once, then"
        world.runner.let_go("check")
        await world.rest(schedule)
        assert len(world.runner.ran) == 2
    assert world.runner.most_together == 1


async def test_at_most_two_jobs_run_at_once_and_the_earliest_begin(world: World) -> None:
    world.runner.at_once = False
    async with world.opened([replace(EVERY, name=name) for name in "abc"]) as schedule:
        await world.pass_time(schedule, 601)
        assert [name for name, _ in world.runner.ran] == ["a", "b"]
        with pytest.raises(Unavailable, match="2 jobs run already"):
            await schedule.run("spec-c")
        world.runner.let_go("b")
        await world.rest(schedule)
        assert [name for name, _ in world.runner.ran] == ["a", "b", "c"]
        for name in "ac":
            world.runner.let_go(name)
        await world.rest(schedule)
    assert world.runner.most_together == 2


async def test_a_job_that_fails_is_told_and_comes_again(world: World) -> None:
    world.runner.failure = RuntimeError("a bug")
    async with world.opened([EVERY]) as schedule:
        await world.pass_time(schedule, 601)
        assert "a bug" not in str(world.told)
        world.runner.failure = None
        await world.pass_time(schedule, 600)
        assert [event["status"] for event in world.told if event["action"] == "finished"] == ["error", "ok"]


@pytest.mark.parametrize(
    ("isolated", "outcome", "expected"),
    [
        (True, RunOutcome(RunState.OK, "Two letters came."), ["Two letters came."]),
        (True, RunOutcome(RunState.OK, "NO_REPLY"), []),
        (True, RunOutcome(RunState.OK, " \n"), []),
        (True, RunOutcome(RunState.SKIPPED, "x"), []),
        (True, RunOutcome(RunState.ERROR, "", error="It is too much."), ["The job “check” failed: It is too much."]),
        (False, RunOutcome(RunState.OK, "stands there already"), []),
    ],
)
async def test_what_a_conversation_of_its_own_brings_is_put_into_the_main_one(
    world: World, isolated: bool, outcome: RunOutcome, expected: list[str]
) -> None:
    world.runner.outcome = outcome
    async with world.opened([replace(EVERY, isolated=isolated)]) as schedule:
        await world.pass_time(schedule, 601)
    assert [note.text for note in world.noted] == expected
    assert [note.detail for note in world.noted] == [{"job": {"id": "spec-check", "name": "check"}}] * len(expected)


# the resource


async def test_jobs_of_the_resource_are_followed(world: World) -> None:
    async with world.opened([EVERY, DAILY]) as schedule:
        mine = await schedule.add(job_params({"kind": "every", "everyMs": 3_600_000}), Source.PERSON)
        due = {job.name: job.next_ms for job, _ in await schedule.jobs()}
        await world.pass_time(schedule, 60)
    changed = replace(EVERY, every_ms=5 * MINUTE)
    async with world.opened([changed, replace(DAILY, prompt="another")]) as schedule:
        after = {job.name: job for job, _ in await schedule.jobs()}
        assert after["check"].next_ms == world.now_ms + 5 * MINUTE, "a changed schedule counts from now"
        assert (after["brief"].next_ms, after["brief"].prompt) == (due["brief"], "another")
        assert after["tea"].next_ms == mine.next_ms
        assert world.runner.ran == []
    async with world.opened([]) as schedule:
        assert [job.name for job, _ in await schedule.jobs()] == ["tea"]


async def test_an_unchanged_state_stays_unchanged(world: World) -> None:
    """Rule 8: a wake that does nothing leaves nothing to back up."""
    async with world.opened([EVERY, DAILY]):
        pass
    world.clock.set(30)
    database = await Database.open(world.path)
    before = database.change
    schedule = Schedule(database, world.clock, world.ports())
    assert await schedule.open([EVERY, DAILY]) == ()
    assert database.change == before
    await database.close()


async def test_a_job_that_cannot_be_is_told_and_costs_only_itself(world: World) -> None:
    bad = [
        ScheduledJob("five", "x", cron="0 7 * *"),
        ScheduledJob("zone", "x", cron="0 7 * * *", time_zone="Europe/Berln"),
        ScheduledJob("both", "x", cron="0 7 * * *", every_ms=MINUTE),
        ScheduledJob("often", "x", every_ms=1000),
        EVERY,
        replace(EVERY, name="Check"),
    ]
    async with world.opened(bad) as schedule:
        assert [job.name for job, _ in await schedule.jobs()] == ["check"]
    for word in ("'five' is left out: cron needs 5 fields", "did you mean Europe/Berlin?", "'both'", "once a minute", "'Check'"):
        assert any(word in problem for problem in world.problems), word
    assert len(world.problems) == 5


async def test_a_time_that_was_past_when_first_seen_is_told(world: World) -> None:
    async with world.opened([ScheduledJob("once", "x", at_ms=world.now_ms - 1000)]) as schedule:
        ((job, last),) = await schedule.jobs()
        assert (job.next_ms, last is not None and last.status) == (None, RunState.SKIPPED)
        assert last is not None
        assert "past" in last.error
        assert world.runner.ran == []


async def test_a_job_of_the_resource_can_only_be_run_here(world: World) -> None:
    async with world.opened([EVERY]) as schedule:
        with pytest.raises(InvalidRequest, match=r"spec\.schedule"):
            await schedule.update("spec-check", {"enabled": False})
        with pytest.raises(InvalidRequest, match=r"spec\.schedule"):
            await schedule.remove("spec-check")
        assert await schedule.run("spec-check")
        await world.rest(schedule)
        assert world.runner.ran == [("check", world.now_ms)]
        assert schedule.next_due_ms == world.now_ms + 10 * MINUTE, "running it by hand moves nothing"


# missed


@pytest.mark.parametrize(("missed", "expected"), [(Missed.RUN, ["check"]), (Missed.SKIP, [])])
async def test_what_was_missed_is_run_once_or_skipped(world: World, missed: Missed, expected: list[str]) -> None:
    job = replace(EVERY, missed=missed)
    async with world.opened([job]):
        first = world.now_ms + 10 * MINUTE
    world.clock.set(3 * 3600 + 420)  # 18 due times, the last of which is 7 minutes ago
    async with world.opened([job]) as schedule:
        await world.rest(schedule)
        assert [name for name, _ in world.runner.ran] == expected
        assert await world.ended(schedule, "spec-check") == [(first, "ok" if expected else "skipped")]
        assert schedule.next_due_ms == world.now_ms + 3 * MINUTE
        await world.pass_time(schedule, 181)
        assert [name for name, _ in world.runner.ran] == [*expected, "check"]


async def test_a_little_late_is_not_missed(world: World) -> None:
    """A wake takes a while; the job for which it was made is not skipped for it."""
    job = replace(EVERY, missed=Missed.SKIP)
    async with world.opened([job]):
        pass
    world.clock.set(600 + LATE_MS / 1000 - 1)
    async with world.opened([job]) as schedule:
        await world.rest(schedule)
        assert [name for name, _ in world.runner.ran] == ["check"]


# going to sleep


async def test_a_job_that_is_due_soon_keeps_it_awake(world: World) -> None:
    async with world.opened([EVERY]) as schedule:
        await world.pass_time(schedule, 539)
        assert (schedule.busy, schedule.busy_since) == (False, None)
        await world.pass_time(schedule, 1)
        assert schedule.busy
        assert schedule.busy_since == world.clock.now()
        await world.pass_time(schedule, 60)
        assert len(world.runner.ran) == 1
        assert not schedule.busy


async def test_nothing_begins_while_new_work_is_refused(world: World) -> None:
    """Rule 5b. What comes due meanwhile stays due."""
    async with world.opened([EVERY]) as schedule:
        world.admits = False
        await world.pass_time(schedule, 650)
        assert world.runner.ran == []
        assert schedule.next_due_ms == world.now_ms - 50_000
        world.admits = True
        await world.pass_time(schedule, 1)
        assert len(world.runner.ran) == 1


async def test_it_is_busy_from_the_moment_it_was_admitted(world: World) -> None:
    """Rule 5b: between being admitted and being busy there is no await."""
    busy: list[bool] = []
    async with world.opened([EVERY]) as schedule:

        def admit() -> bool:
            asyncio.get_running_loop().call_soon(lambda: busy.append(schedule.running))
            return True

        schedule._ports = replace(world.ports(), admit=admit)
        await world.pass_time(schedule, 601)
    assert busy == [True]


async def test_a_clock_that_went_back_makes_nothing_twice_and_loses_nothing(world: World) -> None:
    async with world.opened([EVERY]) as schedule:
        start = world.now_ms
        await world.pass_time(schedule, 601)
        world.clock._now = world.clock.now().fromtimestamp(start / 1000, world.clock.now().tzinfo)
        await world.pass_time(schedule, 1300)
        assert [due - start for _, due in world.runner.ran] == [10 * MINUTE, 20 * MINUTE]


async def test_a_clock_that_was_far_ahead_is_mended(world: World) -> None:
    start = world.clock.now()
    world.clock.set(365 * 86400)
    async with world.opened([replace(EVERY, name="far"), DAILY]) as schedule:
        assert (schedule.next_due_ms or 0) > start.timestamp() * 1000 + 300 * 86_400_000
    world.clock._now = start
    async with world.opened([replace(EVERY, name="far"), DAILY]) as schedule:
        assert (await find(schedule, "brief")).next_ms == world.now_ms + 22 * 60 * MINUTE


async def test_a_suspended_machine_runs_what_it_missed_when_it_looks_again(world: World) -> None:
    async with world.opened([EVERY]) as schedule:
        await world.rest(schedule)
        world.clock._now = world.clock.now().fromtimestamp(
            world.clock.epoch() + 7200, world.clock.now().tzinfo
        )  # only the wall clock moved
        await world.pass_time(schedule, 31)
        assert len(world.runner.ran) == 1


async def test_what_runs_at_the_end_gets_its_time_then_is_interrupted(world: World) -> None:
    world.runner.at_once = False
    async with world.opened([EVERY], grace=0) as schedule:
        await world.pass_time(schedule, 601)
        assert len(world.runner.ran) == 1
    async with world.opened([EVERY]) as schedule:
        await world.pass_time(schedule, 10)
        assert len(world.runner.ran) == 1, "not run again"
        assert [status for _, status in await world.ended(schedule, "spec-check")] == ["interrupted"]
        assert await schedule._database.read(main_texts) == [
            "The job “check” did not finish. The assistant was restarted while it ran; it was not run again."
        ]


# what persons do


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (job_params({"kind": "cron", "expr": "0 7 * *"}), "cron needs 5 fields"),
        (job_params({"kind": "cron", "expr": "0 7 * * *", "tz": "Mars"}), "no time zone 'Mars'"),
        (job_params({"kind": "every", "everyMs": 1000}), "at most once a minute"),
        (job_params({"kind": "at", "atMs": 1000}), "that time is past"),
        (job_params({"kind": "at"}), "needs atMs"),
        ({**job_params({"kind": "every", "everyMs": MINUTE}), "name": "  "}, "needs a name"),
        ({**job_params({"kind": "every", "everyMs": MINUTE}), "payload": {"kind": "agentTurn", "message": " "}}, "told what to do"),
        (
            {**job_params({"kind": "every", "everyMs": MINUTE}), "payload": {"kind": "agentTurn", "message": "x", "deliver": True}},
            "payload.deliver is not served",
        ),
    ],
)
async def test_a_job_that_cannot_be_is_refused_in_words(world: World, params: dict[str, object], words: str) -> None:
    async with world.opened() as schedule:
        with pytest.raises(InvalidRequest, match=words):
            await schedule.add(params, Source.PERSON)
        assert await schedule.jobs() == []


async def test_a_changed_job_is_due_from_now_on(world: World) -> None:
    async with world.opened() as schedule:
        job = await schedule.add(job_params({"kind": "every", "everyMs": 10 * MINUTE}), Source.PERSON)
        await world.pass_time(schedule, 300)
        renamed = await schedule.update(job.id, {"name": "coffee", "payload": {"message": "make coffee", "kind": "agentTurn"}})
        assert (renamed.name, renamed.prompt, renamed.next_ms) == ("coffee", "make coffee", job.next_ms)
        off = await schedule.update(job.id, {"enabled": False})
        assert off.next_ms is None
        await world.pass_time(schedule, 600)
        assert world.runner.ran == []
        on = await schedule.update(job.id, {"enabled": True})
        assert on.next_ms == world.now_ms + 5 * MINUTE, "still by its anchor"
        moved = await schedule.update(job.id, {"schedule": {"kind": "every", "everyMs": 20 * MINUTE}})
        assert moved.next_ms == world.now_ms + 20 * MINUTE
        assert await schedule.remove(job.id)
        assert not await schedule.remove(job.id)
        assert [event["action"] for event in world.told] == ["added", "updated", "updated", "updated", "updated", "removed"]
        with pytest.raises(InvalidRequest, match="there is no job"):
            await schedule.update(job.id, {"name": "x"})


async def test_run_now(world: World) -> None:
    world.runner.at_once = False
    async with world.opened() as schedule:
        job = await schedule.add(job_params({"kind": "every", "everyMs": 10 * MINUTE}), Source.PERSON)
        assert not await schedule.run(job.id, only_due=True)
        assert await schedule.run(job.id)
        assert schedule.busy
        assert not await schedule.run(job.id), "it runs already"
        world.runner.let_go("tea")
        await world.rest(schedule)
        assert await world.ended(schedule, job.id) == [(world.now_ms, "ok")]
        with pytest.raises(InvalidRequest, match="there is no job"):
            await schedule.run("nobody")


async def test_a_removed_job_that_runs_is_ended_without_a_trace(world: World) -> None:
    world.runner.at_once = False
    async with world.opened() as schedule:
        job = await schedule.add(job_params({"kind": "every", "everyMs": 10 * MINUTE}), Source.PERSON)
        await schedule.run(job.id)
        await schedule.remove(job.id)
        world.runner.let_go("tea")
        await world.rest(schedule)
        assert await schedule.jobs() == []
        assert not schedule.busy


async def test_there_is_an_end_to_the_number_of_jobs(world: World) -> None:
    async with world.opened() as schedule:
        for _ in range(MAX_JOBS):
            await schedule.add(job_params({"kind": "every", "everyMs": 3_600_000}), Source.ASSISTANT)
        with pytest.raises(InvalidRequest, match="remove one first"):
            await schedule.add(job_params({"kind": "every", "everyMs": 3_600_000}), Source.ASSISTANT)


async def test_a_job_due_for_two_callers_runs_once(world: World) -> None:
    """The timer and a person at once: the key (job, due time) decides."""
    async with world.opened([EVERY]) as schedule:
        await world.pass_time(schedule, 590)
        world.admits = False
        await world.pass_time(schedule, 10)
        world.admits = True
        answers = await asyncio.gather(*(schedule.run("spec-check", only_due=True) for _ in range(5)))
        await world.pass_time(schedule, 20)
        assert sorted(answers) == [False, False, False, False, True]
        assert len(world.runner.ran) == 1


async def test_a_failing_database_is_not_asked_all_the_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.opened([EVERY]) as schedule:
        write, tries = schedule._database.write, 0

        async def full(job: Callable[[Any], Any]) -> Any:
            nonlocal tries
            tries += 1
            raise StateError("the volume is full")

        monkeypatch.setattr(schedule._database, "write", full)
        await world.pass_time(schedule, 660)
        assert 1 <= tries <= 3
        assert world.runner.ran == []
        monkeypatch.setattr(schedule._database, "write", write)
        await world.pass_time(schedule, 60)
        assert len(world.runner.ran) == 1


# whatever happens


STEPS = st.lists(st.sampled_from(["time", "long", "restart", "away", "refuse", "admit", "run"]), min_size=1, max_size=14)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_no_due_time_is_run_twice_whatever_happens(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    async def live() -> None:
        world = World(tmp_path_factory.mktemp("jobs") / "moltbot.sqlite")
        left = list(steps)
        spec = [EVERY, replace(EVERY, name="other", every_ms=7 * MINUTE, missed=Missed.SKIP)]
        while left:
            async with world.opened(spec) as schedule:
                while left and (step := left.pop(0)) not in ("restart", "away"):
                    match step:
                        case "time":
                            await world.pass_time(schedule, 200)
                        case "long":
                            world.clock.set(5000)
                            await world.pass_time(schedule, 31)
                        case "refuse" | "admit":
                            world.admits = step == "admit"
                        case _:
                            await schedule.run("spec-check", only_due=True)
                            await world.rest(schedule)
            world.clock.set(3000 if step == "away" else 1)
        assert len(world.runner.ran) == len(set(world.runner.ran))
        assert world.runner.most_together <= 2

    asyncio.run(live())
