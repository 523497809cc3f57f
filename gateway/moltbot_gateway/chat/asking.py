"""One step: the model is asked, and what comes is told as it comes and kept about every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moltbot_gateway.chat.active import Active, Step
from moltbot_gateway.errors import StateError
from moltbot_gateway.models.base import Completed, Model, ModelRequest, Retrying, TextDelta, ThinkingDelta, ToolUseStarted
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import runs
from moltbot_gateway.store.database import Database
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")

KEEP_INTERVAL = 1.0


class Asking:
    """`advance` is called whenever something moved (report's `progress`)."""

    def __init__(self, database: Database, model: Model, clock: Clock, advance: Callable[[], None]) -> None:
        self._database, self._model, self._clock, self._advance = database, model, clock, advance

    async def ask(self, active: Active, request: ModelRequest, seconds: float) -> Completed:
        """Raises ModelFailure, also when `seconds` are over. Cancelling ends the request; what had come stays in `active.step`."""
        stream = self._model.stream(request)
        try:
            async with asyncio.timeout(seconds):
                async for event in stream:
                    match event:
                        case TextDelta():
                            self._take(active, event.text)
                        case ThinkingDelta():
                            self._take_thought(active, event.text)
                        case ToolUseStarted():
                            self._advance()
                            self._tell(active)
                            active.telling.status("tool", f"Preparing {event.name} …")
                        case Retrying():
                            active.telling.status("retrying", event.message)
                        case Completed():
                            self._tell(active)
                            return event
        except TimeoutError as error:
            text = f"The answer took longer than {seconds:g} seconds and was stopped. What had arrived is kept; ask again."
            raise ModelFailure(ErrorKind.TIMEOUT, text) from error
        finally:
            active.step.settle()
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        raise ModelFailure(ErrorKind.UNKNOWN, "The model ended without an end. Ask again.")

    async def kept(self, step: Step) -> None:
        """Nothing of that step is being written any more."""
        step.settle()
        if step.keeper is not None:
            await asyncio.wait({step.keeper})

    def _take(self, active: Active, text: str) -> None:
        now, step = self._clock.monotonic(), active.step
        self._advance()
        if step.words.push(text, now):
            self._tell(active)
        elif step.timer is None:
            step.timer = asyncio.get_running_loop().call_later(step.words.wait(now), self._tell, active)
        if now - step.kept_at >= KEEP_INTERVAL and (step.keeper is None or step.keeper.done()):
            step.kept_at = now
            step.keeper = asyncio.create_task(self._keep(active.run.id, step.words.text))

    def _take_thought(self, active: Active, text: str) -> None:
        now, thoughts = self._clock.monotonic(), active.step.thoughts
        self._advance()
        if thoughts.push(text, now):
            self._tell_thought(active)

    def _tell(self, active: Active) -> None:
        active.step.settle()
        self._tell_thought(active)
        words = active.step.words
        delta = words.take(self._clock.monotonic())
        if delta:
            active.telling.delta(words.text, delta)

    def _tell_thought(self, active: Active) -> None:
        thoughts = active.step.thoughts
        delta = thoughts.take(self._clock.monotonic())
        if delta:
            active.telling.thinking(thoughts.text, delta)

    async def _keep(self, run_id: str, text: str) -> None:
        try:
            await self._database.write(lambda db: runs.keep_partial(db, run_id, text))
        except StateError as error:
            log.error("answer not kept meanwhile", run=run_id, reason=str(error))  # noqa: TRY400 - the reason says it all
