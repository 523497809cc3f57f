"""The prompt of a conversation: reads the files it is made of, in a thread, and keeps them until they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from moltbot_gateway.errors import WorkspaceError
from moltbot_gateway.workspace import beneath, files
from moltbot_gateway.workspace.prompt import PromptFile, PromptInput, SkillLine, build_system_prompt, is_shown
from moltbot_gateway.workspace.skills import Skills
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.workspace")


class Prompts:
    """`name` of the assistant; `today` in its time zone, for the names of the notes. `loaded` is called when skills were loaded anew."""

    def __init__(
        self, workspace: Path, name: str, skills: Skills, today: Callable[[], date], loaded: Callable[[], None] = lambda: None
    ) -> None:
        self.workspace = workspace
        self._name, self._skills, self._today, self._loaded = name, skills, today, loaded
        self._kept: dict[str, tuple[beneath.Entry, str]] = {}
        self._one = asyncio.Lock()  # skills are loaded by one thread at a time

    async def for_session(self, private: bool, heartbeat: bool = False) -> tuple[str, ...]:
        """The system prompt's parts, the same bytes while the files are the same (and the day, where there are notes). Never raises: a file
        that cannot be read is left out and logged."""
        async with self._one:
            anew, parts = await asyncio.to_thread(self._build, private, heartbeat)
        if anew:
            self._loaded()
        return parts

    async def refresh_skills(self) -> None:
        """Load them anew where the workspace's changed."""
        async with self._one:
            anew = await asyncio.to_thread(self._refresh)
        if anew:
            self._loaded()

    def _build(self, private: bool, heartbeat: bool) -> tuple[bool, tuple[str, ...]]:
        anew = self._refresh()
        skills = tuple(SkillLine(skill.name, skill.description, skill.path) for skill in self._skills.for_prompt())
        today = self._today()
        notes = [f"{files.NOTES}/{day.isoformat()}.md" for day in (today - timedelta(days=1), today)]
        wanted = [path for path in (*files.KNOWN, *notes) if is_shown(path, private=private, heartbeat=heartbeat)]
        given = tuple(PromptFile(path, self._text(path)) for path in wanted)
        return anew, build_system_prompt(PromptInput(self._name, private, heartbeat, skills, given))

    def _refresh(self) -> bool:
        anew = self._skills.changed()
        if anew:
            self._skills.load()
        return anew

    def _text(self, path: str) -> str:
        try:
            entry = beneath.get_entry(self.workspace, path)
            if entry is None or entry.directory:
                self._kept.pop(path, None)
                return ""
            kept = self._kept.get(path)
            if kept is None or kept[0] != entry:
                kept = self._kept[path] = (entry, files.read_for_prompt(self.workspace, path))
                for old in [name for name in self._kept if name.startswith(f"{files.NOTES}/")][:-2]:
                    del self._kept[old]
        except WorkspaceError as error:
            log.warning("workspace file left out", path=path, reason=str(error))
            return ""
        return kept[1]
