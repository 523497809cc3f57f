"""A schedule over a real database, with a clock that stands still and a runner that a test lets go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from moltbot_gateway.agent_config import ScheduledJob
from moltbot_gateway.schedule.service import Ports, RunOutcome, Schedule, session_key_of
from moltbot_gateway.store import conversations
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.jobs import Job, RunState
from moltbot_gateway.store.records import Connection, Message
from moltbot_protocol.hello import MAIN_SESSION
from tests.fakes.clock import FakeClock, settle

PATIENCE = 10.0


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


class HeldRunner:
    """Keeps to `Runner`. A run lasts until `let_go`, unless `at_once`."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.at_once = True
        self.outcome = RunOutcome(RunState.OK, "done")
        self.failure: Exception | None = None
        self.together = 0
        self.most_together = 0
        self._gates: dict[str, asyncio.Event] = {}

    async def run(self, job: Job, due_ms: int) -> RunOutcome:
        self.ran.append((job.name, due_ms))
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            if not self.at_once:
                await self._gates.setdefault(job.name, asyncio.Event()).wait()
                del self._gates[job.name]
            if self.failure is not None:
                raise self.failure
            return RunOutcome(self.outcome.status, self.outcome.summary, session_key_of(job), self.outcome.error)
        finally:
            self.together -= 1

    def let_go(self, name: str) -> None:
        self._gates.setdefault(name, asyncio.Event()).set()


@dataclass
class World:
    """`admits`: whether the gateway takes new work. `told`: payloads of `cron` events."""

    path: Path
    clock: FakeClock = field(default_factory=FakeClock)
    runner: HeldRunner = field(default_factory=HeldRunner)
    admits: bool = True
    moved: int = 0
    told: list[Mapping[str, object]] = field(default_factory=list)
    noted: list[Message] = field(default_factory=list)
    problems: tuple[str, ...] = ()

    @property
    def now_ms(self) -> int:
        return int(self.clock.epoch() * 1000)

    def ports(self) -> Ports:
        def moved() -> None:
            self.moved += 1

        return Ports(self.runner, lambda: self.admits, moved, self.told.append, self.noted.append)

    @contextlib.asynccontextmanager
    async def opened(self, spec: Sequence[ScheduledJob] = (), *, zone: str = "UTC", grace: float = PATIENCE) -> AsyncIterator[Schedule]:
        """One life of the process; ends in order."""
        database = await Database.open(self.path)
        schedule = Schedule(database, self.clock, self.ports(), zone=zone)
        try:
            self.problems = await schedule.open(spec)
            schedule.start()
            yield schedule
        finally:
            await schedule.close(grace)
            await database.close()

    async def pass_time(self, schedule: Schedule, seconds: float) -> None:
        """In steps of what the timer waits at most, so that each due time is seen when it comes."""
        while seconds > 0:
            step = min(seconds, 10.0)
            await self.clock.advance(step)
            await self.rest(schedule)
            seconds -= step

    async def rest(self, schedule: Schedule) -> None:
        """Until nothing moves any more: the timer waits, and what was asked of the database's one thread is done."""
        before, same = None, 0
        async with asyncio.timeout(PATIENCE):
            while same < 5:
                await settle()
                await schedule.jobs()
                state = (
                    self.clock.sleepers,
                    self.runner.together,
                    len(self.told),
                    len(self.runner.ran),
                    schedule.next_due_ms,
                    schedule.running,
                )
                same = same + 1 if state == before and self.clock.sleepers else 0
                before = state

    async def ended(self, schedule: Schedule, job_id: str) -> list[tuple[int, str]]:
        return [(run.due_ms, run.status.value) for run in await schedule.runs(job_id, 100)]


def main_texts(db: Connection) -> list[str]:
    """What stands in the main conversation."""
    session = conversations.get_session(db, MAIN_SESSION)
    return [] if session is None else [message.text for message in conversations.list_messages(db, session, limit=100)]


def job_params(schedule: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"name": "tea", "schedule": schedule, "payload": {"kind": "agentTurn", "message": "make tea"}, **more}
