"""What the model is asked: the prompt, the tools that a conversation is offered, and what of it the model gets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moltbot_gateway.chat.blocks import newest_media
from moltbot_gateway.chat.context import MAX_MESSAGES, build_context
from moltbot_gateway.models.base import ModelRequest
from moltbot_gateway.store import conversations, media
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, Message, Session
from moltbot_gateway.tools.base import Tool
from moltbot_gateway.tools.toolbox import Offered, Toolbox


class Prompts(Protocol):
    """What the model is told about itself and its person, the stable part first."""

    def for_session(self, *, private: bool, heartbeat: bool) -> Coroutine[object, object, tuple[str, ...]]: ...


@dataclass(frozen=True)
class RequestSettings:
    """`private`: whether a conversation is the owner's own. `kind`: which tools it is offered. `stamp`: the time in front of a message."""

    default_model: str
    thinking: str | None = None
    private: Callable[[str], bool] = lambda key: True
    kind: Callable[[str], Offered] = lambda key: Offered.ALL
    stamp: Callable[[int], str] = lambda at_ms: ""


@dataclass(frozen=True)
class Frame:
    """What stays the same through a turn's steps, unless a server of tools comes or goes. `tools` by name, in the order in which they are
    offered."""

    system: tuple[str, ...]
    tools: Mapping[str, Tool]


class Requests:
    def __init__(self, database: Database, toolbox: Toolbox, prompts: Prompts, settings: RequestSettings) -> None:
        self._database, self._toolbox, self._prompts, self.settings = database, toolbox, prompts, settings

    def tools(self, session_key: str) -> Mapping[str, Tool]:
        return {tool.name: tool for tool in self._toolbox.offered(self.settings.kind(session_key))}

    async def system(self, session_key: str) -> tuple[str, ...]:
        """The same for everything that is asked in a conversation, heartbeats too: another prompt would make the provider read all of it
        anew, and refuse what was thought in it. May wait for what is being made ready at the start. Safe to cancel."""
        return await self._prompts.for_session(private=self.settings.private(session_key), heartbeat=False)

    async def build(self, session: Session, frame: Frame, *, run_id: str = "", options: Mapping[str, object] | None = None) -> ModelRequest:
        """The next step of that run; `options` are the run's own wishes, before the conversation's."""

        def read(db: Connection) -> tuple[str, Sequence[Message], Mapping[str, media.StoredMedia]]:
            upto, summary = conversations.get_compaction(db, session) or (0, "")
            messages = conversations.list_messages(db, session, limit=MAX_MESSAGES, after_id=upto)
            wanted = newest_media(messages)
            return summary, messages, media.get_many_media(db, wanted) if wanted else {}

        summary, messages, found = await self._database.read(read)
        wishes = options or {}
        return ModelRequest(
            _text(wishes.get("model")) or session.model or self.settings.default_model,
            frame.system,
            build_context(messages, found, run_id=run_id, summary=summary, stamp=self.settings.stamp),
            _text(wishes.get("thinking")) or session.thinking or self.settings.thinking,
            tuple(tool.for_model() for tool in frame.tools.values()),
        )

    async def as_it_stands(self, session: Session) -> ModelRequest:
        """Of a conversation in which nobody waits for an answer."""
        system = await self.system(session.key)
        return await self.build(session, Frame(system, self.tools(session.key)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
