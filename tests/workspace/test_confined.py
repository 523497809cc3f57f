"""What the prompt tells of can be read by the confined child that carries out `read`."""

from __future__ import annotations

from pathlib import Path

from moltbot_gateway.agent_config import AgentConfig, SkillConfig
from moltbot_gateway.store.database import Database
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import ToolHost, child_environment
from moltbot_gateway.workspace.workspace import Workspace
from tests.fakes.clock import FakeClock
from tests.tools.calls import call, named


async def test_every_skill_that_is_told_of_is_read_from_inside_and_a_note_written_there_is_remembered(
    tmp_path: Path, database: Database
) -> None:
    config = AgentConfig(skills=(SkillConfig("brew", "---\nname: brew\ndescription: Make tea.\n---\nBoil water."),))
    path = child_environment(tmp_path)["PATH"]
    workspace = Workspace(tmp_path / "current", config, name="ada", database=database, clock=FakeClock(), path=path)
    prompt = "".join(await workspace.for_session(private=True))
    host = ToolHost(workspace.root, {})
    try:
        tools = file_tools(host)
        skills = workspace.skills.for_prompt()
        assert [skill.name for skill in skills] == ["brew", "notes", "schedule", "summarise", "weather"]
        for skill in skills:
            assert skill.path in prompt
            outcome = await call(named(tools, "read"), path=skill.path)
            assert not outcome.error, outcome.model
            assert skill.description in outcome.model
        outcome = await call(named(tools, "write"), path="memory/2026-11-24.md", content="Anna prefers figs.\n")
        assert not outcome.error, outcome.model
        (hit,) = await workspace.memory.search("figs", limit=3)
        assert (hit.path, hit.text) == ("memory/2026-11-24.md", "Anna prefers figs.")
        outcome = await call(named(tools, "read"), path=str(workspace.skills.managed / "brew" / "SKILL.md"))
        assert outcome.error  # only the copy is inside
    finally:
        await host.close()
