"""The workspace as the gateway has it: made once, whoever asks first, and never a reason not to answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from moltbot_gateway.agent_config import AgentConfig, SkillConfig, WorkspaceFile
from moltbot_gateway.chat.requests import Prompts
from moltbot_gateway.conditions import Condition
from moltbot_gateway.store.database import Database
from moltbot_gateway.workspace.workspace import Workspace
from tests.fakes.clock import FakeClock


class Told:
    def __init__(self) -> None:
        self.reasons: list[str | None] = []

    def __call__(self, condition: Condition | None) -> None:
        self.reasons.append(None if condition is None else condition.reason)


@pytest.fixture
def told() -> Told:
    return Told()


def make(tmp_path: Path, database: Database, told: Told, config: AgentConfig | None = None) -> Workspace:
    return Workspace(
        tmp_path / "current", config or AgentConfig(), name="ada", database=database, clock=FakeClock(), path="/usr/bin:/bin", tell=told
    )


async def test_it_is_made_once_for_all_who_wait(tmp_path: Path, database: Database, told: Told) -> None:
    workspace = make(tmp_path, database, told)
    prompts: Prompts = workspace  # what a turn asks
    parts = await asyncio.gather(*(prompts.for_session(private=True, heartbeat=False) for _ in range(5)))
    assert len(set(parts)) == 1
    assert "First conversation" in parts[0][1]
    assert told.reasons == [None]
    await workspace.close()


async def test_one_who_gives_up_leaves_the_work_to_the_others(tmp_path: Path, database: Database, told: Told) -> None:
    workspace = make(tmp_path, database, told)
    gives_up = asyncio.create_task(workspace.ready())
    await asyncio.sleep(0)
    gives_up.cancel()
    await workspace.ready()
    assert gives_up.cancelled()
    assert (workspace.root / "AGENTS.md").exists()


async def test_without_a_workspace_it_still_answers_and_tries_again(tmp_path: Path, database: Database, told: Told) -> None:
    (tmp_path / "current" / "workspace").write_text("in the way")
    workspace = make(tmp_path, database, told)
    (identity,) = await workspace.for_session(private=True)
    assert "You are ada" in identity
    (tmp_path / "current" / "workspace").unlink()
    assert "First conversation" in (await workspace.for_session(private=True))[1]


async def test_the_notes_of_the_day_follow_the_persons_time_zone(tmp_path: Path, database: Database, told: Told) -> None:
    """08:00 UTC on the 24th is the evening of the 23rd in Honolulu."""
    workspace = make(tmp_path, database, told, AgentConfig(time_zone="Pacific/Honolulu"))
    await workspace.ready()
    for day in ("22", "23", "24"):
        (workspace.root / f"memory/2026-11-{day}.md").write_text(f"note {day}")
    part = (await workspace.for_session(private=True))[1]
    assert [day for day in ("22", "23", "24") if f"note {day}" in part] == ["22", "23"]


async def test_what_the_resource_gives_and_cannot_be_used_is_told(tmp_path: Path, database: Database, told: Told) -> None:
    config = AgentConfig(workspace=(WorkspaceFile("../x", "x"),), skills=(SkillConfig("brew", "---\nname: brew\n---\n"),))
    workspace = make(tmp_path, database, told, config)
    await workspace.ready()
    assert len(workspace.problems) == 1
    assert told.reasons == ["SkillInvalid"]
    (workspace.root / "skills/brew").mkdir(parents=True)
    (workspace.root / "skills/brew/SKILL.md").write_text("---\nname: brew\ndescription: Make tea.\n---\n")
    await workspace.for_session(private=True)
    assert told.reasons == ["SkillInvalid", "SkillInvalid"]  # the resource's is still broken, although the workspace's is used
    assert workspace.skills.find("brew") is not None
