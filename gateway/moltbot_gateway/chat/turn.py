"""One turn: the model is asked, what it calls is carried out, until it has answered. The order:

    1  the message is on disk under its idempotency key (`turns.accept`), and only then is anybody told `started`
    2  it moves into the conversation: `running` is on disk before the model is asked
    3  text comes: told at most every 150 ms, kept on disk about every second
    4  a step that calls tools is on disk before the first of them is carried out, each result as it comes; then 3 again
    5  the answer is on disk, and only then is anybody told `final`

Killed before 2 it is answered after the restart; killed between 2 and 5 it is interrupted, with what had been kept, and can be continued.
What an abort cancels is only a wait, for the model or for a call; everything that is written is written by the session's worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from moltbot_gateway.chat.active import Active, Ended, Step
from moltbot_gateway.chat.asking import Asking
from moltbot_gateway.chat.blocks import media_ids, text_of, to_wire
from moltbot_gateway.chat.compaction import Compaction
from moltbot_gateway.chat.context import MAX_MESSAGES, build_context
from moltbot_gateway.chat.ledger import Ledger
from moltbot_gateway.chat.rounds import Rounds
from moltbot_gateway.chat.wire import INTERRUPTED_TEXT, message_to_wire, usage_to_wire
from moltbot_gateway.models.base import MAX_TOKENS, PAUSED, TOOL_USE, Block, Completed, ModelRequest, Text, ToolUse, Usage
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import conversations, media, runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Answer, Connection, Message, NewMessage, Run, RunStatus, Session
from moltbot_gateway.tools.base import Tool
from moltbot_gateway.tools.toolbox import Offered, Toolbox
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")

T = TypeVar("T")

# Seconds. A step that is not told a timeout gets the default; none goes on longer than the longest.
DEFAULT_TIMEOUT = 600.0
MAX_TIMEOUT = 3600.0
# Steps of one turn; a model that is still calling tools then has lost its way, or the person wants to know.
MAX_STEPS = 100
CUT_OFF = "The answer reached the length limit and stops here. Say “go on” to have the rest."


class Outcomes(Protocol):
    """Who wants to know how turns end (the condition ModelReady, metrics)."""

    def answered(self, tokens: int, seconds: float) -> None: ...

    def failed(self, failure: ModelFailure, seconds: float) -> None: ...


class Prompts(Protocol):
    """What the model is told about itself and its person, the stable part first."""

    async def for_session(self, *, private: bool, heartbeat: bool) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class TurnSettings:
    """`private`: whether a conversation is the owner's own. `kind`: which tools it is offered. `stamp`: the time in front of a message."""

    default_model: str
    provider: str
    thinking: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    private: Callable[[str], bool] = lambda key: True
    kind: Callable[[str], Offered] = lambda key: Offered.ALL
    stamp: Callable[[int], str] = lambda at_ms: ""


@dataclass(frozen=True)
class TurnParts:
    """What a turn needs of the gateway."""

    database: Database
    asking: Asking
    rounds: Rounds
    toolbox: Toolbox
    prompts: Prompts
    ledger: Ledger
    compaction: Compaction
    clock: Clock
    outcomes: Outcomes
    advance: Callable[[], None]


class Turn:
    """Runs one after the other for all sessions; has no state of its own."""

    def __init__(self, parts: TurnParts, settings: TurnSettings) -> None:
        self._parts, self._settings = parts, settings

    async def run(self, active: Active, join: Callable[[], Sequence[Run]]) -> Ended | None:
        """From the message to the answer. `join`: messages that came meanwhile and belong to this turn. `None`: it was not queued any
        more. Raises StateError."""
        session = await self._begin(active, active.run)
        if session is None:
            return None
        failure: ModelFailure | None = None
        completed = Completed()
        try:
            completed = await self._steps(active, session, join)
        except ModelFailure as error:
            failure = error
        except asyncio.CancelledError:
            if active.ending is None:
                raise
        await self._parts.asking.kept(active.step)
        return await self._conclude(active, session, completed, failure)

    # beginning

    async def _begin(self, active: Active, run: Run) -> Session | None:
        leader = None if run is active.run else active.run.id
        began = await self._write(lambda db, now_ms: runs.begin_run(db, run.id, now_ms, leader=leader))
        if began is None:
            return None
        session, message = began
        self._parts.advance()
        active.telling.message(message)
        if leader is None:
            active.telling.changed("started")
            active.telling.agent("lifecycle", {"phase": "start", "startedAt": self._now_ms()})
        return session

    async def _join(self, active: Active, waiting: Sequence[Run]) -> None:
        for run in waiting:
            if await self._begin(active, run) is not None:
                active.joined.append(run)

    # steps

    async def _steps(self, active: Active, session: Session, join: Callable[[], Sequence[Run]]) -> Completed:
        compacted = False
        kind = self._settings.kind(session.key)
        private = self._settings.private(session.key)
        system = await self._parts.prompts.for_session(private=private, heartbeat="heartbeat" in active.run.options)
        while active.steps < MAX_STEPS:
            if active.ending is not None:
                return Completed()
            await self._parts.ledger.check()
            await self._join(active, join())
            tools = {tool.name: tool for tool in self._parts.toolbox.offered(kind)}
            request = await self._request(active, session, system, tuple(tools.values()))
            if not compacted and self._parts.compaction.is_due(request):
                compacted = True
                if await self._compact(active, session, request):
                    continue
            try:
                completed = await self._ask(active, request)
            except ModelFailure as failure:
                if failure.kind is not ErrorKind.CONTEXT_LENGTH or compacted:
                    raise
                compacted = True
                if not await self._compact(active, session):
                    raise
                continue
            match completed.stop_reason:
                case stop if stop == TOOL_USE:
                    await self._step_with_calls(active, completed, tools, private=private)
                case stop if stop == PAUSED:
                    await self._append(active, _step_message(active, completed, "pause"))
                case stop if stop == MAX_TOKENS:
                    raise ModelFailure(ErrorKind.UNKNOWN, CUT_OFF)
                case _:
                    return completed
            active.step = Step()
        raise ModelFailure(
            ErrorKind.UNKNOWN, f"The assistant stopped after {MAX_STEPS} steps without an answer. Say “go on” to let it continue."
        )

    async def _request(self, active: Active, session: Session, system: tuple[str, ...], tools: tuple[Tool, ...]) -> ModelRequest:
        def read(db: Connection) -> tuple[str, list[Message], Mapping[str, media.StoredMedia]]:
            upto, summary = conversations.get_compaction(db, session) or (0, "")
            messages = conversations.list_messages(db, session, limit=MAX_MESSAGES, after_id=upto)
            wanted = [media_id for message in messages for media_id in media_ids(message.content)]
            return summary, messages, media.get_many_media(db, wanted) if wanted else {}

        summary, messages, found = await self._parts.database.read(read)
        options = active.run.options
        thinking, model = options.get("thinking"), options.get("model")
        return ModelRequest(
            str(model) if isinstance(model, str) and model else session.model or self._settings.default_model,
            system,
            build_context(messages, found, run_id=active.run.id, summary=summary, stamp=self._settings.stamp),
            str(thinking) if isinstance(thinking, str) and thinking else session.thinking or self._settings.thinking,
            tuple(tool.for_model() for tool in tools),
        )

    async def _ask(self, active: Active, request: ModelRequest) -> Completed:
        active.steps += 1
        asked = active.run.options.get("timeoutMs")
        seconds = min(asked / 1000, MAX_TIMEOUT) if isinstance(asked, int) and asked > 0 else self._settings.timeout
        usage_model = request.model
        try:
            completed = await self._cancellable(active, self._parts.asking.ask(active, request, seconds))
        except ModelFailure as failure:
            await self._spent(active, usage_model, failure.usage)
            raise
        await self._parts.asking.kept(active.step)
        await self._spent(active, completed.model or usage_model, completed.usage)
        return completed

    async def _spent(self, active: Active, model: str, usage: Usage) -> None:
        active.add(usage, self._parts.ledger.price(model, usage) if usage.total else 0)
        await self._parts.ledger.record(active.run.session_key, model, usage)

    async def _compact(self, active: Active, session: Session, request: ModelRequest | None = None) -> bool:
        active.telling.status("compacting", "Summarising the conversation so far …")
        active.telling.agent("compaction", {"phase": "start"})
        work = self._parts.compaction.compact(session, keep_run=active.run.id, request=request)
        done = await self._cancellable(active, work)
        active.telling.agent("compaction", {"phase": "end"})
        return done

    async def _cancellable(self, active: Active, work: Coroutine[object, object, T]) -> T:
        """The wait that an abort ends. Raises CancelledError then."""
        task = asyncio.create_task(work)
        active.tasks.add(task)
        try:
            if active.ending is not None:
                task.cancel()
            await asyncio.wait({task})
            return task.result()
        finally:
            active.tasks.discard(task)
            if not task.done():
                task.cancel()  # only when this worker itself was cancelled
                await asyncio.wait({task})

    # what is written on the way

    async def _step_with_calls(self, active: Active, completed: Completed, tools: Mapping[str, Tool], *, private: bool) -> None:
        await self._append(active, _step_message(active, completed, "toolUse"))
        uses = [block for block in completed.blocks if isinstance(block, ToolUse)]
        await self._parts.rounds.carry_out(active, uses, tools, private=private)

    async def _append(self, active: Active, new: NewMessage) -> None:
        message = await self._write(lambda db, now_ms: runs.append_step(db, active.run.id, new, now_ms))
        if message is not None:
            active.telling.message(message)
            if message.text:
                active.last_words = message

    # ending

    async def _conclude(self, active: Active, session: Session, completed: Completed, failure: ModelFailure | None) -> Ended:
        blocks = completed.blocks or ((Text(active.step.words.text),) if active.step.words.text else ())
        text = text_of(blocks)
        seconds = self._parts.clock.monotonic() - active.began
        if failure is None and active.ending is None and not text and active.last_words is None:
            failure = ModelFailure(ErrorKind.UNKNOWN, "The model gave an empty answer. Ask again, perhaps in other words.")
        status, state, told = _ending(active, completed, failure)
        detail = self._detail(active, session, completed, seconds) | told | _kept_detail(status)
        usage = active.usage
        content = to_wire(blocks) if any(not isinstance(block, Text) for block in blocks) else None
        answer = Answer(status, text, detail, usage.input + usage.cache_read + usage.cache_write, usage.output, content)
        message = await self._write(lambda db, now_ms: runs.end_run(db, active.run.id, answer, now_ms))
        self._parts.advance()
        if failure is not None:
            self._parts.outcomes.failed(failure, seconds)
        elif status is RunStatus.DONE:
            self._parts.outcomes.answered(usage.total, seconds)
        words = message if text or active.last_words is None else active.last_words
        dropped = status is RunStatus.DONE and active.keep is not None and not active.keep(text)
        if dropped:
            await self._write(lambda db, _: conversations.put_run_aside(db, active.run.id))
        else:
            active.telling.quiet = False
            self._tell_end(active, state, told, message, None if words is None or not (text or state == "final") else words)
        log.info(
            "turn ended", run=active.run.id, status=status.value, seconds=round(seconds, 3), output_tokens=usage.output, steps=active.steps
        )
        return Ended(
            status, text or ("" if active.last_words is None else active.last_words.text), str(told.get("errorMessage", "")), usage
        )

    def _detail(self, active: Active, session: Session, completed: Completed, seconds: float) -> dict[str, object]:
        return {
            "provider": completed.provider or self._settings.provider,
            "model": completed.model or session.model or self._settings.default_model,
            "usage": usage_to_wire(active.usage, active.cost_micros),
            "durationMs": round(seconds * 1000),
            "steps": active.steps,
        }

    def _tell_end(self, active: Active, state: str, told: Mapping[str, object], message: Message | None, words: Message | None) -> None:
        active.telling.end(state, None if words is None else message_to_wire(words), told)
        phase = {"phase": "error" if state == "error" else "end", "endedAt": self._now_ms()}
        active.telling.agent("lifecycle", phase | ({"error": told["errorMessage"]} if "errorMessage" in told else {}))
        if message is not None:
            active.telling.message(message)
        active.telling.changed("ended")

    async def _write(self, job: Callable[[Connection, int], T]) -> T:
        now_ms = self._now_ms()
        return await self._parts.database.write(lambda db: job(db, now_ms))

    def _now_ms(self) -> int:
        return int(self._parts.clock.epoch() * 1000)


def _step_message(active: Active, completed: Completed, stop_reason: str) -> NewMessage:
    blocks: tuple[Block, ...] = completed.blocks or (Text(active.step.words.text),)
    return NewMessage("assistant", text_of(blocks), {"stopReason": stop_reason, "model": completed.model}, to_wire(blocks))


def _ending(active: Active, completed: Completed, failure: ModelFailure | None) -> tuple[RunStatus, str, dict[str, object]]:
    """What is written, which `chat` event ends it, and what both say."""
    if active.ending is RunStatus.ABORTED:
        return RunStatus.ABORTED, "aborted", {"stopReason": "rpc"}
    if active.ending is RunStatus.INTERRUPTED:
        return RunStatus.INTERRUPTED, "aborted", {"stopReason": "interrupted", "errorMessage": INTERRUPTED_TEXT}
    if failure is not None:
        return RunStatus.ERROR, "error", {"stopReason": "error", "errorMessage": failure.message, "errorKind": failure.kind.value}
    return RunStatus.DONE, "final", {"stopReason": completed.stop_reason}


def _kept_detail(status: RunStatus) -> dict[str, object]:
    match status:
        case RunStatus.ABORTED:
            return {"stopReason": "aborted"}
        case RunStatus.INTERRUPTED:
            return dict(INTERRUPTED_DETAIL)
        case _:
            return {}


# What stands in the conversation where an answer was cut off by the end of the process.
INTERRUPTED_DETAIL: Mapping[str, object] = {"stopReason": "interrupted", "interrupted": True, "errorMessage": INTERRUPTED_TEXT}
