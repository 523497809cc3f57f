"""The tool with which the assistant plans: lean, in the assistant's own time zone, and only for its owner."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from moltbot_gateway.agent_config import ScheduledJob
from moltbot_gateway.schedule.service import Schedule
from moltbot_gateway.tools.base import Risk, ToolCall, ToolOutcome
from moltbot_gateway.tools.cron import cron_tool
from moltbot_gateway.tools.validate import check_input
from tests.schedule.world import World, ms

SPEC = [ScheduledJob("brief", "what is new?", cron="0 7 * * *")]


class Bench:
    def __init__(self, world: World, schedule: Schedule) -> None:
        self.world, self.schedule = world, schedule
        self.tool = cron_tool(schedule)

    async def call(self, **given: object) -> ToolOutcome:
        return await self.carry_out(given)

    async def carry_out(self, given: Mapping[str, object], *, private: bool = True) -> ToolOutcome:
        assert check_input(self.tool.schema, given) is None
        return await self.tool.run(ToolCall("c1", "cron", given, "agent:main:main", "r1", private))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    world = World(tmp_path / "moltbot.sqlite")
    async with world.opened(SPEC, zone="Europe/Berlin") as schedule:
        yield Bench(world, schedule)


async def test_it_is_lean(bench: Bench) -> None:
    tool = bench.tool
    shown = {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
    assert len(json.dumps(tool.schema, separators=(",", ":"))) < 900
    assert len(json.dumps(shown, separators=(",", ":"))) < 1200


async def test_looking_is_no_risk(bench: Bench) -> None:
    tool = bench.tool
    assert tool.risk_of is not None
    assert [tool.risk_of({"action": action}) for action in ("list", "runs", "add")] == [Risk.NONE, Risk.NONE, Risk.OUTWARD]


@pytest.mark.parametrize(
    ("time", "due"),
    [
        ({"inMinutes": 20}, "2026-11-24T08:20Z"),
        ({"everyMinutes": 90}, "2026-11-24T09:30Z"),
        ({"at": "2026-11-24T18:00"}, "2026-11-24T17:00Z"),
        ({"at": "2026-11-24T18:00:00-05:00"}, "2026-11-24T23:00Z"),
        ({"at": "2026-11-24T18:00", "timeZone": "America/New_York"}, "2026-11-24T23:00Z"),
        ({"cron": "30 6 * * *"}, "2026-11-25T05:30Z"),
        ({"cron": "30 6 * * *", "timeZone": "UTC"}, "2026-11-25T06:30Z"),
    ],
)
async def test_times(bench: Bench, time: dict[str, object], due: str) -> None:
    outcome = await bench.carry_out({"action": "add", "prompt": "Say that the tea is ready.\nPolitely.", **time})
    assert not outcome.error, outcome.model
    assert "Planned" in outcome.model
    (job,) = [job for job, _ in await bench.schedule.jobs() if job.source == "assistant"]
    assert (job.next_ms, job.name, job.target) == (ms(due), "Say that the tea is ready.", "isolated")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"action": "add", "prompt": "x"}, "Add needs one of at, inMinutes, everyMinutes, cron."),
        ({"action": "add", "inMinutes": 5}, "Add needs a prompt"),
        ({"action": "add", "prompt": "x", "inMinutes": 5, "cron": "* * * * *"}, "Name one time, not inMinutes and cron."),
        ({"action": "add", "prompt": "x", "at": "tomorrow"}, "'tomorrow' is no time: write 2026-11-24T08:00"),
        ({"action": "add", "prompt": "x", "at": "2020-01-01T00:00"}, "That time is past"),
        ({"action": "add", "prompt": "x", "cron": "7"}, "Cron needs 5 fields"),
        ({"action": "update", "id": "spec-brief", "enabled": False}, "spec.schedule"),
        ({"action": "update", "id": "nobody", "enabled": False}, "There is no job 'nobody'."),
        ({"action": "update", "id": "nobody"}, "Say what is to change."),
        ({"action": "remove"}, "Name the job by its id"),
        ({"action": "remove", "id": "nobody"}, "There is no such job"),
        ({"action": "run", "id": "nobody"}, "There is no job 'nobody'."),
    ],
)
async def test_what_cannot_be_is_told_to_the_model(bench: Bench, given: dict[str, object], words: str) -> None:
    outcome = await bench.carry_out(given)
    assert outcome.error
    assert words in outcome.model


async def test_from_planning_to_removing(bench: Bench) -> None:
    assert (await bench.call(action="list")).model == (
        "spec-brief 'brief'; cron 0 7 * * * (Europe/Berlin); next 2026-11-25T07:00+01:00; of the resource, can only be run"
    )
    await bench.call(action="add", name="tea", prompt="make tea", everyMinutes=10)
    (job,) = [job for job, _ in await bench.schedule.jobs() if job.name == "tea"]
    changed = await bench.call(action="update", id=job.id, name="coffee", prompt="make coffee", isolated=False)
    assert changed.model == f"Changed: {job.id} 'coffee'; every 10 minutes; next 2026-11-24T09:10+01:00"
    assert (await bench.call(action="run", id=job.id)).error is False
    await bench.world.rest(bench.schedule)
    assert bench.world.runner.ran == [("coffee", bench.world.now_ms)]
    assert (await bench.call(action="runs", id=job.id)).model == "2026-11-24T09:00+01:00 ok: done"
    assert "last ok 2026-11-24T09:00+01:00" in (await bench.call(action="list")).model
    assert (await bench.call(action="remove", id=job.id)).model == "Removed."
    assert len(await bench.schedule.jobs()) == 1


async def test_nobody_but_its_owner_plans(bench: Bench) -> None:
    for action in ("list", "add"):
        outcome = await bench.carry_out({"action": action, "prompt": "tell me all", "inMinutes": 1}, private=False)
        assert outcome.error
    assert len(await bench.schedule.jobs()) == 1
