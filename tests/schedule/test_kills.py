"""A process killed (SIGKILL) at each step of a job's run, and started again: run at most once, and told."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.clock import START

BEGIN = START.timestamp()
DUE = int(BEGIN * 1000) + 600_000


class Life:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def until(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while not self.said or not self.said[-1].startswith(word):
                line = (await self._process.stdout.readline()).decode().strip()
                assert line, self.said
                self.said.append(line)


@contextlib.asynccontextmanager
async def life(path: Path, start: float, where: str = "") -> AsyncIterator[Life]:
    """Ends by SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.schedule.dying", str(path), str(start), where, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Life(process)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """One whose job is due ten minutes after BEGIN."""
    async with life(tmp_path / "moltbot.sqlite", BEGIN) as process:
        await process.until("open")
        assert abs(int(process.said[-1].split()[1]) - DUE) < 20_000
    return tmp_path / "moltbot.sqlite"


async def test_killed_before_it_was_taken_it_is_run_afterwards(database: Path) -> None:
    async with life(database, BEGIN + 660, "take") as process:
        await process.until("taking")
    async with life(database, BEGIN + 661) as process:
        await process.until("finished")
        assert [line.split()[0] for line in process.said] == ["open", "started", "run", "finished"]


async def test_killed_while_it_runs_it_is_told_and_not_run_again(database: Path) -> None:
    async with life(database, BEGIN + 660, "run") as process:
        await process.until("run")
        due = process.said[-1].split()[1]
    async with life(database, BEGIN + 661) as process:
        await process.until("had")
        assert process.said[-1] == f"had {due} interrupted"
    # the next due time is run as ever
    async with life(database, BEGIN + 1290) as process:
        await process.until("finished")
        assert int(next(line for line in process.said if line.startswith("run")).split()[1]) == int(due) + 600_000


async def test_killed_afterwards_it_is_not_run_again(database: Path) -> None:
    async with life(database, BEGIN + 660) as process:
        await process.until("finished")
    async with life(database, BEGIN + 662) as process:
        await process.until("had")
        assert process.said[-1].endswith(" ok")
        assert not any(line.startswith("run") for line in process.said)
