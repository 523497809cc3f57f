"""A process that opens a schedule, tells on its standard output what it does, and waits to be killed.

python -m tests.schedule.dying <database> <epoch seconds> <where to wait: take | run | end>
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from moltbot_gateway.agent_config import ScheduledJob
from moltbot_gateway.schedule.service import Ports, RunOutcome, Schedule
from moltbot_gateway.store import jobs as store
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.jobs import Job, RunState
from moltbot_gateway.store.records import Connection
from moltbot_trust.clock import SystemClock

SPEC = [ScheduledJob("check", "look", every_ms=600_000)]


class ShiftedClock(SystemClock):
    """The machine's clock, as if the process had begun at another time."""

    def __init__(self, start: float) -> None:
        self._shift = start - SystemClock().epoch()

    def epoch(self) -> float:
        return SystemClock().epoch() + self._shift


def say(word: str) -> None:
    print(word, flush=True)


def wait_for_the_end() -> None:
    threading.Event().wait()


class Runner:
    def __init__(self, where: str) -> None:
        self._where = where

    async def run(self, job: Job, due_ms: int) -> RunOutcome:
        say(f"run {due_ms}")
        if self._where == "run":
            wait_for_the_end()
        return RunOutcome(RunState.OK, "done")


async def live(path: Path, start: float, where: str) -> None:
    database = await Database.open(path)
    begin = store._begin
    if where == "take":

        def begin_and_wait(db: Connection, job_id: str, due_ms: int, status: RunState, now_ms: int) -> bool:
            begin(db, job_id, due_ms, status, now_ms)
            say("taking")
            wait_for_the_end()
            return True

        store._begin = begin_and_wait
    ports = Ports(Runner(where), lambda: True, lambda: None, lambda event: say(str(event["action"])), lambda note: None)
    schedule = Schedule(database, ShiftedClock(start), ports)
    await schedule.open(SPEC)
    say(f"open {schedule.next_due_ms}")
    for run in await schedule.runs("spec-check", 100):
        say(f"had {run.due_ms} {run.status}")
    schedule.start()
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
