"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


class FakeClock:
    """`advance` moves all three times together, wakes the sleepers whose time has come, in order, and lets them run before it goes on."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._now

    def epoch(self) -> float:
        return self._now.timestamp()

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def set(self, seconds: float) -> None:
        """Move time without letting anybody run: for synchronous tests."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    async def advance(self, seconds: float) -> None:
        """Move time forward; a sleeper that sleeps again within the span is woken again."""
        await settle()
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            if due > self._monotonic:
                self.set(due - self._monotonic)
            if not future.done():
                future.set_result(None)
            await settle()
        self.set(target - self._monotonic)
        await settle()


async def settle(rounds: int = 20) -> None:
    """Let every ready task run until it waits for something. Only for tasks that wait for each other, never for sockets."""
    for _ in range(rounds):
        await asyncio.sleep(0)
