"""All tools together, and which of them a conversation is offered. The order never changes while the tools do not: it is part of what the
provider's cache keeps.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from moltbot_gateway.tools.base import Tool


class Offered(StrEnum):
    """To what kind of conversation."""

    ALL = "all"
    TASK = "task"  # what a conversation began with sessions_spawn gets: it speaks to nobody and begins no others
    JOB = "job"  # a job's own conversation: the owner's, and nobody is there
    GUEST = "guest"  # others than the owner may write or read there


# A task answers whoever began it, so it neither speaks outward nor plans nor begins tasks of its own.
NOT_IN_TASKS = frozenset({"message", "cron", "sessions_spawn", "sessions_send", "subagents"})
# What refuses there anyway (memory is for private conversations), and what would let a job plan jobs.
NOT_IN_JOBS = frozenset({"memory_search", "memory_get", "message", "cron", "sessions_list", "sessions_history", "sessions_send"})
# Everything else reaches what is the owner's: files hold USER.md and MEMORY.md, and who may neither begin conversations nor plan jobs there
# cannot have one with more rights do it for them. A list of what is allowed, so that a new tool is not offered by oversight.
FOR_GUESTS = frozenset({"web_fetch", "web_search", "session_status"})


class Toolbox:
    """`sources` are asked each time: what they give may grow (a server that came late) and shrink (one that broke). `denied`: names, in
    which `*` stands for any letters (`mcp_notes_*`: all of a server's)."""

    def __init__(self, sources: Sequence[Callable[[], Iterable[Tool]]], denied: Iterable[str] = ()) -> None:
        self._sources, self._denied = sources, tuple(denied)

    def offered(self, kind: Offered = Offered.ALL) -> tuple[Tool, ...]:
        """Sorted by name; of two with one name the first source's."""
        found: dict[str, Tool] = {}
        for source in self._sources:
            for tool in source():
                if not self._is_denied(tool.name) and is_offered(tool.name, kind):
                    found.setdefault(tool.name, tool)
        return tuple(found[name] for name in sorted(found))

    def _is_denied(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._denied)


def is_offered(name: str, kind: Offered) -> bool:
    match kind:
        case Offered.ALL:
            return True
        case Offered.TASK:
            return name not in NOT_IN_TASKS
        case Offered.JOB:
            return name not in NOT_IN_JOBS
        case Offered.GUEST:
            return name in FOR_GUESTS


def nearest(name: str, tools: Iterable[Tool]) -> str:
    """For a name that no tool has: a sentence for the model."""
    names = [tool.name for tool in tools]
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"There is no tool {name[:64]!r}; did you mean {near[0]}?"
    return f"There is no tool {name[:64]!r}. There are: {', '.join(names) or 'none'}."
