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
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

from moltbot_gateway.chat.active import Active, Ended, Step
from moltbot_gateway.chat.asking import Asking
from moltbot_gateway.chat.blocks import from_wire, text_of, to_wire
from moltbot_gateway.chat.compaction import KEPT_IF_FULL, Compaction
from moltbot_gateway.chat.ending import Endings
from moltbot_gateway.chat.ledger import Ledger
from moltbot_gateway.chat.requests import Frame, Requests
from moltbot_gateway.chat.rounds import Rounds
from moltbot_gateway.models.base import MAX_TOKENS, PAUSED, TOOL_USE, Block, Completed, ModelRequest, Text, ToolUse, Usage
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, Message, NewMessage, Run, Session
from moltbot_trust.clock import Clock

T = TypeVar("T")

# Seconds. A step that is not told a timeout gets the default; none goes on longer than the longest.
DEFAULT_TIMEOUT = 600.0
MAX_TIMEOUT = 3600.0
# Steps of one turn; a model that is still calling tools then has lost its way, or the person wants to know.
MAX_STEPS = 100
CUT_OFF = "The answer reached the length limit and stops here. Say “go on” to have the rest."


@dataclass(frozen=True)
class TurnParts:
    """What a turn needs of the gateway."""

    database: Database
    requests: Requests
    asking: Asking
    rounds: Rounds
    ledger: Ledger
    compaction: Compaction
    endings: Endings
    clock: Clock
    advance: Callable[[], None]


class Turn:
    """Runs one after the other for all sessions; has no state of its own."""

    def __init__(self, parts: TurnParts, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._parts, self._timeout = parts, timeout

    async def run(self, active: Active, join: Callable[[Session], Sequence[Run]]) -> Ended | None:
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
        return await self._parts.endings.conclude(active, session, completed, failure)

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

    async def _steps(self, active: Active, session: Session, join: Callable[[Session], Sequence[Run]]) -> Completed:
        compacted = False
        # The first turn waits for what is being made ready, which a person need not wait for to stop it.
        system = await self._cancellable(active, self._parts.requests.system(session.key))
        while active.steps < MAX_STEPS:
            if active.ending is not None:
                return Completed()
            await self._parts.ledger.check()
            await self._join(active, join(session))
            frame = Frame(system, self._parts.requests.tools(session.key))
            request = await self._parts.requests.build(session, frame, run_id=active.run.id, options=active.run.options)
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
                    await self._step_with_calls(active, completed, frame)
                case stop if stop == PAUSED:
                    await self._end_step(active, completed, "pause")
                case stop if stop == MAX_TOKENS:
                    raise ModelFailure(ErrorKind.UNKNOWN, CUT_OFF)
                case _:
                    return completed
        raise ModelFailure(
            ErrorKind.UNKNOWN, f"The assistant stopped after {MAX_STEPS} steps without an answer. Say “go on” to let it continue."
        )

    async def _ask(self, active: Active, request: ModelRequest) -> Completed:
        active.steps += 1
        asked = active.run.options.get("timeoutMs")
        seconds = min(asked / 1000, MAX_TIMEOUT) if isinstance(asked, int) and asked > 0 else self._timeout
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
        keep = None if request is not None else KEPT_IF_FULL
        work = self._parts.compaction.compact(session, keep_tokens=keep, keep_run=active.run.id, request=request)
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

    async def _step_with_calls(self, active: Active, completed: Completed, frame: Frame) -> None:
        """What is carried out is what is on disk: signs that no database takes are none for a tool either."""
        written = await self._end_step(active, completed, "toolUse")
        blocks = () if written is None else from_wire(written.content or (), {})
        uses = [block for block in blocks if isinstance(block, ToolUse)]
        private = self._parts.requests.settings.private(active.run.session_key)
        await self._parts.rounds.carry_out(active, uses, frame.tools, private=private)

    async def _end_step(self, active: Active, completed: Completed, stop_reason: str) -> Message | None:
        """The step is on disk; from here on nothing of it is "so far". `None`: the run has ended meanwhile."""
        new = _step_message(active, completed, stop_reason)
        message = await self._write(lambda db, now_ms: runs.append_step(db, active.run.id, new, now_ms))
        active.step = Step()
        if message is not None:
            active.telling.message(message)
            if message.text:
                active.last_words = message
        return message

    async def _write(self, job: Callable[[Connection, int], T]) -> T:
        now_ms = self._now_ms()
        return await self._parts.database.write(lambda db: job(db, now_ms))

    def _now_ms(self) -> int:
        return int(self._parts.clock.epoch() * 1000)


def _step_message(active: Active, completed: Completed, stop_reason: str) -> NewMessage:
    blocks: tuple[Block, ...] = completed.blocks or (Text(active.step.words.text),)
    return NewMessage("assistant", text_of(blocks), {"stopReason": stop_reason, "model": completed.model}, to_wire(blocks))
