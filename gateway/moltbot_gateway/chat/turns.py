"""The queue of each session, and one turn after the other.

A turn is a task of its own under the worker of its session, so that an abort cancels only the wait for the model; what has to be written
afterwards is written by the worker. The order of one turn:

    1  the message is on disk under its idempotency key (`accept`), and only then is anybody told `started`
    2  it moves into the conversation: `running` is on disk before the model is asked
    3  text comes: told at most every 150 ms, kept on disk about every second
    4  the answer is on disk, and only then is anybody told `final`

Killed before 2 it is answered after the restart; killed between 2 and 4 it is interrupted, with what had been kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from moltbot_gateway.activity import ActivityClock, Kind
from moltbot_gateway.chat.context import MAX_MESSAGES, build_context
from moltbot_gateway.chat.pace import DeltaPacer
from moltbot_gateway.chat.wire import INTERRUPTED_TEXT, message_to_wire, partial_to_wire, usage_to_wire
from moltbot_gateway.errors import StateError
from moltbot_gateway.hub import Hub
from moltbot_gateway.models.base import Completed, Model, ModelRequest, TextDelta
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.prompt import build_system_prompt
from moltbot_gateway.store import conversations
from moltbot_gateway.store.conversations import Answer, Message, NewRun, Run, RunStatus, Session
from moltbot_gateway.store.database import Database
from moltbot_protocol.events import AGENT, CHAT
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")

# Seconds. A turn that is not told a timeout gets the default; none goes on longer than the longest.
DEFAULT_TIMEOUT = 600.0
MAX_TIMEOUT = 3600.0
KEEP_INTERVAL = 1.0
# A person who sends more than this while one answer is written is refused, not forgotten.
MAX_QUEUED = 20


class Outcomes(Protocol):
    """Who wants to know how turns end (the condition ModelReady, metrics)."""

    def answered(self, tokens: int, seconds: float) -> None: ...

    def failed(self, failure: ModelFailure, seconds: float) -> None: ...


@dataclass
class Active:
    """The turn that a session is at."""

    run: Run
    began: float
    pacer: DeltaPacer = field(default_factory=DeltaPacer)
    sequence: int = 0
    ending: RunStatus | None = None
    task: asyncio.Task[Completed] | None = None
    timer: asyncio.TimerHandle | None = None
    keeper: asyncio.Task[None] | None = None
    kept_at: float = 0.0


@dataclass(frozen=True)
class TurnSettings:
    name: str
    default_model: str
    timeout: float = DEFAULT_TIMEOUT


class Turns:
    """All sessions' turns. `advance` is called whenever something moved (report's `progress`)."""

    def __init__(
        self,
        database: Database,
        model: Model,
        hub: Hub,
        clock: Clock,
        settings: TurnSettings,
        *,
        activity: ActivityClock,
        outcomes: Outcomes,
        advance: Callable[[], None],
    ) -> None:
        self._database, self._model, self._hub, self._clock, self._settings = database, model, hub, clock, settings
        self._activity, self._outcomes, self._advance = activity, outcomes, advance
        self._waiting: dict[str, deque[Run]] = {}
        self._active: dict[str, Active] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.busy_since: datetime | None = None

    # what is going on

    @property
    def busy(self) -> bool:
        return bool(self._workers)

    def active_run(self, session_key: str) -> str | None:
        active = self._active.get(session_key)
        return None if active is None else active.run.id

    def queue_is_full(self, session_key: str) -> bool:
        return len(self._waiting.get(session_key, ())) >= MAX_QUEUED

    def partial(self, session_key: str) -> tuple[str, str] | None:
        """Run id and text so far of the answer that is being written."""
        active = self._active.get(session_key)
        return None if active is None else (active.run.id, active.pacer.text)

    # beginning

    async def accept(self, new: NewRun) -> RunStatus | None:
        """Keep a message and put it into its session's queue. `None`: done; else the status of the run with the same key.

        Whoever calls this was admitted, and counts as busy until it returns.
        """
        known = await self._database.write(lambda db: conversations.accept_run(db, new, self._now_ms()))
        if known is not None:
            return known.status
        self._advance()
        run = Run(new.id, new.session_key, "", RunStatus.QUEUED, new.text, new.options, self._now_ms())
        self._enqueue(run)
        return None

    def take_up(self, runs: list[Run]) -> None:
        """After the opening: what was queued when the last process ended is answered now."""
        for run in runs:
            self._enqueue(run)

    def _enqueue(self, run: Run) -> None:
        if self._stopping:
            return  # it stays queued on disk, for the next process
        if self.busy_since is None:
            self.busy_since = self._clock.now()
        self._waiting.setdefault(run.session_key, deque()).append(run)
        if run.session_key not in self._workers:
            self._workers[run.session_key] = asyncio.create_task(self._work(run.session_key), name=f"session {run.session_key}")

    # ending before the end

    async def abort(self, session_key: str, run_id: str | None = None) -> list[str]:
        """Stop the answer that is being written, and what waits behind it unless `run_id` names one. Returns the ids of what ends."""
        aborted = []
        waiting = self._waiting.get(session_key, deque())
        for run in [run for run in waiting if run_id in (None, run.id)]:
            waiting.remove(run)
            aborted.append(run.id)
            await self._strike_off(run)
            self._tell_end(run, 1, "aborted", None, {"stopReason": "rpc"})
        active = self._active.get(session_key)
        if active is not None and run_id in (None, active.run.id) and active.ending is None:
            aborted.insert(0, active.run.id)
            self._end(active, RunStatus.ABORTED)
        return aborted

    async def _strike_off(self, run: Run) -> None:
        answer = Answer(RunStatus.ABORTED, "", {"stopReason": "aborted"})
        await self._database.write(lambda db: conversations.end_run(db, run.id, answer, self._now_ms()))

    async def stop(self, grace: float) -> None:
        """SIGTERM: turns may finish for `grace` seconds, then they are interrupted with what they have. What waits stays on disk."""
        self._stopping = True
        for waiting in self._waiting.values():
            waiting.clear()
        workers = set(self._workers.values())
        if not workers:
            return
        _, late = await asyncio.wait(workers, timeout=grace)
        for active in list(self._active.values()):
            self._end(active, RunStatus.INTERRUPTED)
        if late:
            await asyncio.wait(late)

    async def release(self) -> None:
        """It does not end after all (a forced sleep was given up): what was left waiting on disk is answered now."""
        self._stopping = False
        left = await self._database.read(conversations.list_open_runs)
        here = {run.id for waiting in self._waiting.values() for run in waiting} | {active.run.id for active in self._active.values()}
        self.take_up([run for run in left if run.id not in here])

    @staticmethod
    def _end(active: Active, status: RunStatus) -> None:
        if active.ending is None:
            active.ending = status
            if active.task is not None:
                active.task.cancel()

    # one turn after the other

    async def _work(self, session_key: str) -> None:
        try:
            waiting = self._waiting[session_key]
            while waiting:
                run = waiting.popleft()
                active = self._active[session_key] = Active(run, self._clock.monotonic())
                try:
                    await self._turn(active)
                except StateError as error:
                    log.error("turn not kept", run=run.id, reason=str(error))  # noqa: TRY400 - the reason says it all
                    self._tell_end(
                        run, active.sequence + 1, "error", None, {"errorMessage": str(error), "errorKind": ErrorKind.UNKNOWN.value}
                    )
                except Exception:
                    log.exception("turn failed", run=run.id)
                    words = "Something went wrong inside the assistant; its log says what. Ask again."
                    self._tell_end(run, active.sequence + 1, "error", None, {"errorMessage": words, "errorKind": ErrorKind.UNKNOWN.value})
                finally:
                    self._settle(active)
                    if active.task is not None:
                        active.task.cancel()  # only when this worker itself was cancelled
                    self._active.pop(session_key, None)
        finally:
            # No await between "nothing waits" and this, or a message could be put into a queue that nobody works at.
            self._workers.pop(session_key, None)
            self._waiting.pop(session_key, None)
            if not self._workers:
                self.busy_since = None
            self._activity.note(Kind.MESSAGE, self._clock.now())

    async def _turn(self, active: Active) -> None:
        run = active.run
        began = await self._database.write(lambda db: conversations.begin_run(db, run.id, self._now_ms(), limit=MAX_MESSAGES))
        if began is None:
            return
        session, messages = began
        self._advance()
        self._tell_message(run, messages[-1])
        self._changed(session.key, "started")
        self._tell_agent(active, "lifecycle", {"phase": "start", "startedAt": self._now_ms()})
        failure = None
        completed = Completed()
        if active.ending is None:
            active.task = asyncio.create_task(self._ask(active, self._request(session, messages, run)))
            await asyncio.wait({active.task})
            self._settle(active)
            try:
                completed = active.task.result()
            except asyncio.CancelledError:
                if active.ending is None:
                    raise
            except ModelFailure as error:
                failure = error
        if active.keeper is not None:
            await asyncio.wait({active.keeper})
        await self._conclude(active, session, completed, failure)

    def _request(self, session: Session, messages: list[Message], run: Run) -> ModelRequest:
        thinking = run.options.get("thinking")
        return ModelRequest(
            session.model or self._settings.default_model,
            (build_system_prompt(self._settings.name, self._clock.now()),),
            build_context(messages, run.id),
            str(thinking) if isinstance(thinking, str) and thinking else session.thinking,
        )

    async def _ask(self, active: Active, request: ModelRequest) -> Completed:
        asked = active.run.options.get("timeoutMs")
        seconds = min(asked / 1000, MAX_TIMEOUT) if isinstance(asked, int) and asked > 0 else self._settings.timeout
        stream = self._model.stream(request)
        try:
            async with asyncio.timeout(seconds):
                async for event in stream:
                    match event:
                        case TextDelta():
                            self._take(active, event.text)
                        case Completed():
                            return event
                        case _:
                            pass
        except TimeoutError as error:
            text = f"The answer took longer than {seconds:g} seconds and was stopped. What had arrived is kept; ask again."
            raise ModelFailure(ErrorKind.TIMEOUT, text) from error
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        raise ModelFailure(ErrorKind.UNKNOWN, "The model ended without an end. Ask again.")

    def _take(self, active: Active, text: str) -> None:
        now = self._clock.monotonic()
        self._advance()
        if active.pacer.push(text, now):
            self._tell_delta(active)
        elif active.timer is None:
            active.timer = asyncio.get_running_loop().call_later(active.pacer.wait(now), self._tell_delta, active)
        if now - active.kept_at >= KEEP_INTERVAL and (active.keeper is None or active.keeper.done()):
            active.kept_at = now
            active.keeper = asyncio.create_task(self._keep(active.run.id, active.pacer.text))

    async def _keep(self, run_id: str, text: str) -> None:
        try:
            await self._database.write(lambda db: conversations.keep_partial(db, run_id, text))
        except StateError as error:
            log.error("answer not kept meanwhile", run=run_id, reason=str(error))  # noqa: TRY400 - the reason says it all

    def _settle(self, active: Active) -> None:
        if active.timer is not None:
            active.timer.cancel()
            active.timer = None

    async def _conclude(self, active: Active, session: Session, completed: Completed, failure: ModelFailure | None) -> None:
        run, text = active.run, active.pacer.text
        seconds = self._clock.monotonic() - active.began
        model = completed.model or session.model or self._settings.default_model
        usage = completed.usage if failure is None else failure.usage
        detail: dict[str, object] = {"api": "anthropic-messages", "provider": self._model.provider, "model": model}
        detail["usage"] = usage_to_wire(usage)
        if active.ending is RunStatus.ABORTED:
            status, state, told = RunStatus.ABORTED, "aborted", {"stopReason": "rpc"}
            detail["stopReason"] = "aborted"
        elif active.ending is RunStatus.INTERRUPTED:
            status, state, told = RunStatus.INTERRUPTED, "aborted", {"stopReason": "interrupted", "errorMessage": INTERRUPTED_TEXT}
            detail |= INTERRUPTED_DETAIL
        elif failure is not None:
            status, state, told = RunStatus.ERROR, "error", {"errorMessage": failure.message, "errorKind": failure.kind.value}
            detail |= {"stopReason": "error", **told}
            self._outcomes.failed(failure, seconds)
        else:
            status, state, told = RunStatus.DONE, "final", {"stopReason": completed.stop_reason}
            detail["stopReason"] = completed.stop_reason
            self._outcomes.answered(usage.total, seconds)
        tokens_in = usage.input + usage.cache_read + usage.cache_write
        answer = Answer(status, text, detail, tokens_in, usage.output)
        message = await self._database.write(lambda db: conversations.end_run(db, run.id, answer, self._now_ms()))
        self._advance()
        active.sequence += 1
        wire = None if message is None else message_to_wire(message)
        self._tell_end(run, active.sequence, state, wire if text or state == "final" else None, told)
        self._tell_agent(
            active, "lifecycle", {"phase": "error" if state == "error" else "end", "endedAt": self._now_ms()} | _error_of(told)
        )
        if message is not None:
            self._tell_message(run, message)
        self._changed(run.session_key, "ended")
        log.info("turn ended", run=run.id, status=status.value, seconds=round(seconds, 3), output_tokens=usage.output)

    # telling

    def _tell_delta(self, active: Active) -> None:
        self._settle(active)
        run, delta = active.run, active.pacer.take(self._clock.monotonic())
        if not delta:
            return
        active.sequence += 1
        payload: dict[str, object] = {
            "runId": run.id,
            "sessionKey": run.session_key,
            "seq": active.sequence,
            "state": "delta",
            "message": partial_to_wire(active.pacer.text, self._now_ms()),
            "deltaText": delta,
        }
        self._hub.tell(CHAT, payload, merge=f"chat {run.id}")
        self._tell_agent(active, "assistant", {"text": active.pacer.text, "delta": delta}, merge=f"agent {run.id}")

    def _tell_end(self, run: Run, sequence: int, state: str, message: Mapping[str, object] | None, told: Mapping[str, object]) -> None:
        payload: dict[str, object] = {"runId": run.id, "sessionKey": run.session_key, "seq": sequence, "state": state, **told}
        if message is not None:
            payload["message"] = dict(message)
        self._hub.tell(CHAT, payload)

    def _tell_agent(self, active: Active, stream: str, data: Mapping[str, object], *, merge: str | None = None) -> None:
        run = active.run
        payload: dict[str, object] = {"runId": run.id, "stream": stream, "data": dict(data), "sessionKey": run.session_key}
        self._hub.tell(AGENT, payload | {"seq": active.sequence, "ts": self._now_ms()}, merge=merge)

    def _tell_message(self, run: Run, message: Message) -> None:
        payload: dict[str, object] = {"sessionKey": run.session_key, "runId": run.id, "messageId": str(message.id)}
        self._hub.tell_message(run.session_key, payload | {"message": message_to_wire(message)})

    def _changed(self, session_key: str, phase: str) -> None:
        self._hub.tell_session_changed({"sessionKey": session_key, "reason": "message", "phase": phase, "ts": self._now_ms()})

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


# What stands in the conversation where an answer was cut off by the end of the process.
INTERRUPTED_DETAIL: Mapping[str, object] = {"stopReason": "interrupted", "interrupted": True, "errorMessage": INTERRUPTED_TEXT}


def _error_of(told: Mapping[str, object]) -> dict[str, object]:
    return {"error": told["errorMessage"]} if "errorMessage" in told else {}


__all__ = ["DEFAULT_TIMEOUT", "INTERRUPTED_DETAIL", "Outcomes", "TurnSettings", "Turns"]
