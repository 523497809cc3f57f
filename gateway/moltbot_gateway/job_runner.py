"""A job's run, and a heartbeat's, as a turn: what the schedule asks of the conversation."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from moltbot_gateway.chat.turns import Turns
from moltbot_gateway.schedule.heartbeat import HeartbeatFailed
from moltbot_gateway.schedule.service import RunOutcome, session_key_of
from moltbot_gateway.store.jobs import Job, RunState, Target
from moltbot_gateway.store.records import NewRun, RunStatus
from moltbot_gateway.workspace.files import HEARTBEAT
from moltbot_protocol.hello import MAIN_SESSION


class JobRunner:
    """Keeps to `schedule.service.Runner`. `begin_anew` puts what was said in a conversation away."""

    def __init__(self, turns: Turns, begin_anew: Callable[[str], Awaitable[None]]) -> None:
        self._turns, self._begin_anew = turns, begin_anew

    async def run(self, job: Job, due_ms: int) -> RunOutcome:
        """The due time is the run's key: the same one never asks twice. In a conversation of its own each run begins afresh: a job that
        runs every ten minutes would else send all its past each time."""
        chosen = {"model": job.model, "thinking": job.thinking}
        options: dict[str, object] = {"job": job.name, **{name: value for name, value in chosen.items() if value}}
        key = session_key_of(job)
        if job.target is Target.ISOLATED:
            await self._begin_anew(key)
        ended = await self._turns.ask(NewRun(f"job:{job.id}:{due_ms}", key, job.prompt, options))
        match ended.status:
            case RunStatus.DONE:
                return RunOutcome(RunState.OK, ended.text, key)
            case RunStatus.INTERRUPTED:
                return RunOutcome(RunState.INTERRUPTED, ended.text, key, ended.error)
            case _:
                return RunOutcome(RunState.ERROR, ended.text, key, ended.error or "It was stopped.")


class HeartbeatAsker:
    """Keeps to `schedule.heartbeat.HeartbeatRunner`: a quiet turn of the main conversation of which nothing stays there. `read` gives what
    HEARTBEAT.md asks for: it comes with the message, so that nothing before it differs from what the model was asked there last."""

    def __init__(self, turns: Turns, read: Callable[[], str]) -> None:
        self._turns, self._read = turns, read

    async def ask(self, prompt: str, model: str) -> str:
        options: dict[str, object] = {"heartbeat": True, **({"model": model} if model else {})}
        wanted = await asyncio.to_thread(self._read)
        text = f'{prompt}\n\n<file path="{HEARTBEAT}">\n{wanted.strip()}\n</file>'
        new = NewRun(f"heartbeat:{uuid.uuid4()}", MAIN_SESSION, text, options)
        ended = await self._turns.ask(new, quiet=True, keep=lambda text: False)
        if ended.status is not RunStatus.DONE:
            raise HeartbeatFailed(ended.error or "the heartbeat was stopped")
        return ended.text
