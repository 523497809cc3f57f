"""How a turn ends: what is written into the conversation, and then told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from moltbot_gateway.chat.active import Active, Ended
from moltbot_gateway.chat.blocks import text_of, to_wire
from moltbot_gateway.chat.wire import INTERRUPTED_TEXT, message_to_wire, usage_to_wire
from moltbot_gateway.models.base import Completed, Text
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import conversations, runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Answer, Connection, Message, RunStatus, Session
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")

# What stands in the conversation where an answer was cut off by the end of the process.
INTERRUPTED_DETAIL: Mapping[str, object] = {"stopReason": "interrupted", "interrupted": True, "errorMessage": INTERRUPTED_TEXT}


class Outcomes(Protocol):
    """Who wants to know how turns end (the condition ModelReady, metrics)."""

    def answered(self, tokens: int, seconds: float) -> None: ...

    def failed(self, failure: ModelFailure, seconds: float) -> None: ...


@dataclass(frozen=True)
class Answering:
    """Who answers where a conversation chose nobody."""

    provider: str
    model: str


class Endings:
    def __init__(self, database: Database, clock: Clock, outcomes: Outcomes, *, default: Answering, advance: Callable[[], None]) -> None:
        self._database, self._clock, self._outcomes, self._default, self._advance = database, clock, outcomes, default, advance

    async def conclude(self, active: Active, session: Session, completed: Completed, failure: ModelFailure | None) -> Ended:
        """`completed`: the last step, where it became whole. Raises StateError."""
        blocks = completed.blocks or ((Text(active.step.words.text),) if active.step.words.text else ())
        text = text_of(blocks)
        seconds = self._clock.monotonic() - active.began
        if failure is None and active.ending is None and not text and active.last_words is None:
            failure = ModelFailure(ErrorKind.UNKNOWN, "The model gave an empty answer. Ask again, perhaps in other words.")
        status, state, told = _ending(active, completed, failure)
        usage = active.usage
        content = to_wire(blocks) if any(not isinstance(block, Text) for block in blocks) else None
        detail = self._detail(active, session, completed, seconds) | told | _kept_detail(status)
        answer = Answer(status, text, detail, usage.input + usage.cache_read + usage.cache_write, usage.output, content)
        now_ms = self._now_ms()
        is_kept = active.keep is None or (status is RunStatus.DONE and active.keep(text))

        def end(db: Connection) -> Message | None:
            message = runs.end_run(db, active.run.id, answer, now_ms)
            if not is_kept:
                conversations.put_run_aside(db, active.run.id)
            return message

        message = await self._database.write(end)
        self._advance()
        if failure is not None:
            self._outcomes.failed(failure, seconds)
        elif status is RunStatus.DONE:
            self._outcomes.answered(usage.total, seconds)
        if is_kept:
            active.telling.quiet = False
            self._tell(active, state, told, message, _words(active, message, text, state))
        log.info(
            "turn ended", run=active.run.id, status=status.value, seconds=round(seconds, 3), output_tokens=usage.output, steps=active.steps
        )
        said = text or ("" if active.last_words is None else active.last_words.text)
        return Ended(status, said, str(told.get("errorMessage", "")), usage)

    def _detail(self, active: Active, session: Session, completed: Completed, seconds: float) -> dict[str, object]:
        return {
            "provider": completed.provider or self._default.provider,
            "model": completed.model or session.model or self._default.model,
            "usage": usage_to_wire(active.usage, active.cost_micros),
            "durationMs": round(seconds * 1000),
            "steps": active.steps,
        }

    def _tell(self, active: Active, state: str, told: Mapping[str, object], message: Message | None, words: Message | None) -> None:
        active.telling.end(state, None if words is None else message_to_wire(words), told)
        phase = {"phase": "error" if state == "error" else "end", "endedAt": self._now_ms()}
        active.telling.agent("lifecycle", phase | ({"error": told["errorMessage"]} if "errorMessage" in told else {}))
        if message is not None:
            active.telling.message(message)
        active.telling.changed("ended")

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


def _words(active: Active, message: Message | None, text: str, state: str) -> Message | None:
    """What the last event shows: the answer, or what was said on the way where the model had nothing to add."""
    if text:
        return message
    return (active.last_words or message) if state == "final" else None


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
