"""The workspace as the rest of the gateway has it: made ready once, then prompt, memory and skills over the same folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from moltbot_gateway.agent_config import AgentConfig
from moltbot_gateway.conditions import Condition
from moltbot_gateway.errors import WorkspaceError
from moltbot_gateway.store.database import Database
from moltbot_gateway.workspace import files, stamps
from moltbot_gateway.workspace.memory import Memory
from moltbot_gateway.workspace.prompts import Prompts
from moltbot_gateway.workspace.skills import Host, Skills, Source
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.workspace")

SKILLS_READY = "SkillsReady"


class Workspace:
    """`current`: the state's folder; `name` of the assistant. `path`: the confined child's PATH. `tell` gets
    SkillsReady, `None` where nobody installed any."""

    def __init__(
        self,
        current: Path,
        config: AgentConfig,
        *,
        name: str,
        database: Database,
        clock: Clock,
        path: str,
        tell: Callable[[Condition | None], None] = lambda condition: None,
    ) -> None:
        self.root = current / "workspace"
        host = Host(path, frozenset(variable.name for variable in config.env))
        self.skills = Skills(self.root, current / "skills", config.skills, host)
        zone = stamps.zone(config.time_zone)
        self.prompts = Prompts(self.root, name, self.skills, lambda: datetime.fromtimestamp(clock.epoch(), zone).date(), self._loaded)
        self.memory = Memory(self.root, database)
        # What of the resource's files could not be written, in sentences.
        self.problems: tuple[str, ...] = ()
        self._given, self._tell = config.workspace, tell
        self._preparing: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Make the files ready, beside whatever else is done. Once; what failed is logged, and begun again by the next one who asks."""
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare())
        return self._preparing

    async def ready(self) -> None:
        """Until the files are there. Never raises; one who is cancelled leaves the work to the others."""
        await asyncio.shield(self.begin())

    async def for_session(self, private: bool, heartbeat: bool = False) -> tuple[str, ...]:
        """The system prompt's parts for a conversation."""
        await self.ready()
        return await self.prompts.for_session(private, heartbeat)

    async def close(self) -> None:
        """Waits for a write that is under way."""
        if self._preparing is not None:
            await asyncio.wait({self._preparing})

    async def _prepare(self) -> None:
        try:
            self.problems = tuple(await asyncio.to_thread(files.prepare, self.root, self._given))
            await asyncio.to_thread(self.skills.install)
        except (OSError, WorkspaceError) as error:
            log.error("workspace not made", reason=str(error))  # noqa: TRY400 - the reason says it all
            self._preparing = None
        for problem in self.problems:
            log.warning("workspace file not written", reason=problem)
        self._loaded()

    def _loaded(self) -> None:
        self._tell(build_condition(self.skills))


def build_condition(skills: Skills) -> Condition | None:
    """`None` where there are only ours."""
    if skills.problems:
        return Condition(SKILLS_READY, "False", "SkillInvalid", f"Left out: {'; '.join(skills.problems)}")
    if unmet := skills.unmet():
        return Condition(SKILLS_READY, "False", "SkillRequirementsMissing", f"Not offered: {'; '.join(unmet)}")
    if any(skill.source is not Source.BUNDLED for skill in skills.all()):
        return Condition(SKILLS_READY, "True", "SkillsAvailable", "All of its skills can be used.")
    return None
