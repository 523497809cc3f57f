"""Tools about conversations: what there is, what was said, what this one costs; and tasks, which are conversations that the assistant
begins by itself and whose answer comes back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from moltbot_gateway.chat.active import Ended
from moltbot_gateway.store import conversations, usage
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, Message, NewRun, RunStatus, Session
from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, failed, object_schema
from moltbot_gateway.tools.untrusted import written_by_others
from moltbot_gateway.workspace.scopes import serves_owner, subagent_key

MAX_LISTED = 50
MAX_SHOWN = 100
# Seconds a task may take that is waited for; one that takes longer goes on and reports by itself.
WAIT = 1500.0
MAX_TASKS = 8
# Seconds between two tries to stop a task.
END_POLL = 0.05


class Ask(Protocol):
    """`Turns.ask`."""

    def __call__(self, new: NewRun) -> Awaitable[Ended]: ...


@dataclass
class _Task:
    key: str
    label: str
    parent: str
    running: asyncio.Task[Ended]


class SessionTools:
    """Of other conversations only the owner's own ones get to know anything, and only from them are tasks begun."""

    def __init__(self, database: Database, ask: Ask, abort: Callable[[str], Awaitable[list[str]]]) -> None:
        self._database, self._ask, self._abort = database, ask, abort
        self._tasks: dict[str, _Task] = {}
        self._announcing: set[asyncio.Task[None]] = set()
        # Which conversation waits for an answer of which other one: two that wait for each other would do so for ever.
        self._waits_for: dict[str, str] = {}

    def tools(self) -> tuple[Tool, ...]:
        text, number = {"type": "string"}, {"type": "integer", "minimum": 1}
        return (
            Tool(
                "sessions_list",
                "List conversations",
                "List other conversations, newest first.",
                object_schema(limit=number),
                self.list,
                reads_only=True,
            ),
            Tool(
                "sessions_history",
                "Read a conversation",
                "Read the newest messages of a conversation.",
                object_schema({"key": text}, limit=number),
                self.history,
                reads_only=True,
            ),
            Tool(
                "sessions_send",
                "Write to a conversation",
                "Send a message into another conversation; its answer comes back.",
                object_schema({"key": text, "message": text}),
                self.send,
                risk=Risk.OUTWARD,
                timeout=None,
            ),
            Tool(
                "sessions_spawn",
                "Begin a task",
                "Give a self-contained task to a helper with its own context and the same tools. Several calls at once work side by side. "
                "wait false: it reports here when done.",
                object_schema({"task": text}, label=text, model=text, wait={"type": "boolean"}),
                self.spawn,
                reads_only=True,
                timeout=None,
            ),
            Tool(
                "subagents",
                "Tasks",
                "List running tasks, or stop one.",
                object_schema({"action": {"enum": ["list", "stop"]}}, key=text),
                self.subagents,
            ),
            Tool(
                "session_status",
                "Status of this conversation",
                "Model, tokens and cost of this conversation.",
                object_schema(),
                self.status,
                reads_only=True,
            ),
        )

    async def list(self, call: ToolCall) -> ToolOutcome:
        if not call.private:
            return _private()
        limit = min(call.number("limit", 20), MAX_LISTED)

        def read(db: Connection) -> list[str]:
            sessions, _ = conversations.list_sessions(db, limit=limit)
            return [_line(db, session) for session in sessions]

        lines = await self._database.read(read)
        return ToolOutcome("\n".join(lines) or "There are no conversations.")

    async def history(self, call: ToolCall) -> ToolOutcome:
        key, limit = call.text("key"), min(call.number("limit", 30), MAX_SHOWN)
        if not call.private and key != call.session_key:
            return _private()

        def read(db: Connection) -> list[Message] | None:
            session = conversations.get_session(db, key)
            return None if session is None else conversations.list_messages(db, session, limit=limit)

        messages = await self._database.read(read)
        if messages is None:
            return failed(f"There is no conversation {key[:128]!r}; sessions_list names them.")
        said = "\n".join(f"{message.role}: {message.text[:2000]}" for message in messages if message.text) or "Nothing was said."
        return ToolOutcome(_framed(key, said), said)

    async def send(self, call: ToolCall) -> ToolOutcome:
        key = call.text("key")
        if not call.private:
            return _private()
        if key == call.session_key:
            return failed("That is this conversation: simply answer.")
        if await self._database.read(lambda db: conversations.get_session(db, key)) is None:
            return failed(f"There is no conversation {key[:128]!r}; sessions_list names them.")
        if self._would_wait_in_a_circle(call.session_key, key):
            return failed("That conversation waits for the answer of this one: simply answer.")
        self._waits_for[call.session_key] = key
        new = NewRun(f"send:{call.id}:{uuid.uuid4().hex}", key, call.text("message"), {"announce": call.session_key})
        try:
            async with asyncio.timeout(WAIT):
                outcome = _outcome(await self._ask(new))
                return replace(outcome, model=_framed(key, outcome.model), person=outcome.person or outcome.model)
        except TimeoutError:
            return failed(f"{key} did not answer within {WAIT / 60:g} minutes; sessions_history shows when it does.")
        finally:
            self._waits_for.pop(call.session_key, None)

    def _would_wait_in_a_circle(self, caller: str, target: str) -> bool:
        seen = set()
        while target in self._waits_for and target not in seen:
            seen.add(target)
            target = self._waits_for[target]
        return target == caller

    async def spawn(self, call: ToolCall) -> ToolOutcome:
        if not serves_owner(call.session_key):
            return _private()
        if len(self._tasks) >= MAX_TASKS:
            return failed(f"{MAX_TASKS} tasks run already; wait for one of them.")
        label = call.text("label") or call.text("task")[:60]
        key = subagent_key(uuid.uuid4().hex[:12])
        options: dict[str, object] = {"task": label}
        if call.text("model"):
            options["model"] = call.text("model")
        new = NewRun(f"task:{key}", key, call.text("task"), options)
        task = asyncio.create_task(self._run(new))
        self._tasks[key] = _Task(key, label, call.session_key, task)
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        if call.flag("wait", True):
            return await self._wait(key, label, call.session_key, task)
        self._announce_later(key, label, call.session_key, task)
        return ToolOutcome(
            f"The task runs as {key}; its report comes into this conversation.", f"Task “{label}” runs.", details={"key": key}
        )

    async def _run(self, new: NewRun) -> Ended:
        return await self._ask(new)

    async def _wait(self, key: str, label: str, parent: str, task: asyncio.Task[Ended]) -> ToolOutcome:
        try:
            done, _ = await asyncio.wait({task}, timeout=WAIT)
        except asyncio.CancelledError:
            await self._end(key, task)
            raise
        if not done:
            self._announce_later(key, label, parent, task)
            return ToolOutcome(f"The task {key} still runs; its report comes into this conversation.")
        return _outcome(task.result(), {"key": key, "label": label})

    async def _end(self, key: str, task: asyncio.Task[Ended]) -> None:
        """Until the task has ended: one that is being accepted just now has nothing yet that could be stopped."""
        while not task.done():
            await self._abort(key)
            await asyncio.wait({task}, timeout=END_POLL)

    def _announce_later(self, key: str, label: str, parent: str, task: asyncio.Task[Ended]) -> None:
        announcing = asyncio.create_task(self._announce(key, label, parent, task))
        self._announcing.add(announcing)
        announcing.add_done_callback(self._announcing.discard)

    async def _announce(self, key: str, label: str, parent: str, task: asyncio.Task[Ended]) -> None:
        ended = await task
        words = ended.text or ended.error or "It ended without words."
        await self._ask(NewRun(f"report:{key}", parent, f"The task “{label}” ended. Its report:\n\n{words}", {"announce": key}))

    async def subagents(self, call: ToolCall) -> ToolOutcome:
        mine = {key: task for key, task in self._tasks.items() if task.parent == call.session_key}
        if call.text("action") == "list":
            return ToolOutcome("\n".join(f"{key}: {task.label}" for key, task in mine.items()) or "No task runs.")
        if call.text("key") not in mine:
            return failed("No such task runs; list names them.")
        await self._end(call.text("key"), mine[call.text("key")].running)
        return ToolOutcome("It is stopped.")

    async def status(self, call: ToolCall) -> ToolOutcome:
        def read(db: Connection) -> str:
            session = conversations.get_session(db, call.session_key)
            spent = usage.spent_in(db, call.session_key)
            model = "the default" if session is None or session.model is None else session.model
            return f"Model: {model}. Tokens: {spent.tokens} in {spent.requests} requests. Cost: ${spent.cost / 1e6:.4f}."

        return ToolOutcome(await self._database.read(read))

    async def close(self) -> None:
        for task in [*(task.running for task in self._tasks.values()), *self._announcing]:
            task.cancel()


def _framed(key: str, text: str) -> str:
    """What others wrote or may have written is information, also when it comes from one of our own conversations."""
    return text if serves_owner(key) else written_by_others(f"the conversation {key}", text)


def _private() -> ToolOutcome:
    return failed("Other conversations are only open from the owner's own ones.", "Not shown here.")


def _line(db: Connection, session: Session) -> str:
    first = conversations.first_message(db, session)
    title = session.label or ("" if first is None else " ".join(first.text.split())[:80])
    return f"{session.key}: {title}"


def _outcome(ended: Ended, details: dict[str, object] | None = None) -> ToolOutcome:
    if ended.status is RunStatus.DONE:
        return ToolOutcome(ended.text or "(It ended without words.)", details=details or {})
    words = f"It ended as {ended.status.value}: {ended.error or 'no words'} {ended.text}".strip()
    return ToolOutcome(words, error=True, details=details or {})
