"""The work queue: de-duplicated, one in flight a key, backing off by key, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from moltbot_operator.queue import Again, WorkQueue
from tests.fakes.clock import FakeClock, settle


@asynccontextmanager
async def at_work(queue: WorkQueue[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def make(work: Callable[[str], Awaitable[Again]], clock: FakeClock, workers: int = 2) -> WorkQueue[str]:
    return WorkQueue(work, clock, workers=workers, resync=1000)


async def test_a_key_that_comes_many_times_is_worked_on_once_and_again_if_it_came_meanwhile() -> None:
    clock, done, gate = FakeClock(), list[str](), asyncio.Event()

    async def work(key: str) -> Again:
        done.append(key)
        await gate.wait()
        return Again()

    queue = make(work, clock)
    for _ in range(3):
        queue.add("a")
    async with at_work(queue):
        await settle()
        assert done == ["a"]
        queue.add("a")
        queue.add("a")
        await settle()
        assert done == ["a"], "one in flight a key"
        gate.set()
        await settle()
        assert done == ["a", "a"]
        assert queue.idle


async def test_workers_are_bounded() -> None:
    clock, running, most, gate = FakeClock(), set[str](), [0], asyncio.Event()

    async def work(key: str) -> Again:
        running.add(key)
        most[0] = max(most[0], len(running))
        await gate.wait()
        running.discard(key)
        return Again()

    queue = make(work, clock, workers=3)
    async with at_work(queue):
        for number in range(10):
            queue.add(str(number))
        await settle()
        assert (most[0], len(queue)) == (3, 7)
        gate.set()
        await settle(100)
        assert queue.idle


async def test_failures_back_off_by_key_and_success_forgets_them(caplog: pytest.LogCaptureFixture) -> None:
    clock, at, fails = FakeClock(), list[float](), [3]

    async def work(key: str) -> Again:
        at.append(clock.monotonic())
        if fails[0]:
            fails[0] -= 1
            raise LookupError("no")
        return Again()

    queue = make(work, clock)
    async with at_work(queue):
        queue.add("a")
        for _ in range(100):
            await clock.advance(0.1)
    pauses = [later - before for before, later in itertools.pairwise(at)]
    assert len(at) == 4
    assert [0.25 <= pauses[0] <= 0.61, 0.5 <= pauses[1] <= 1.1, 1.0 <= pauses[2] <= 2.1] == [True] * 3
    assert "reconcile failed" in caplog.text


async def test_a_result_asks_to_come_again_and_an_event_comes_sooner() -> None:
    clock, at = FakeClock(), list[float]()

    async def work(key: str) -> Again:
        at.append(clock.monotonic())
        return Again(10)

    queue = make(work, clock)
    async with at_work(queue):
        queue.add("a")
        await clock.advance(4)
        queue.add("a")
        await clock.advance(9.5)
        assert [round(one - at[0], 1) for one in at] == [0, 4]
        await clock.advance(1)
        assert [round(one - at[0], 1) for one in at] == [0, 4, 14]


async def test_what_asks_for_nothing_comes_at_the_resync_unless_it_is_forgotten() -> None:
    clock, done = FakeClock(), list[str]()

    async def work(key: str) -> Again:
        done.append(key)
        if key == "gone":
            queue.forget(key)
        return Again()

    queue = make(work, clock)
    async with at_work(queue):
        queue.add("here")
        queue.add("gone")
        await clock.advance(1300)
        assert sorted(done) == ["gone", "here", "here"]


async def test_a_sooner_time_wins_over_a_later_one() -> None:
    clock, done = FakeClock(), list[float]()

    async def work(key: str) -> Again:
        done.append(clock.monotonic())
        return Again()

    queue = make(work, clock)
    async with at_work(queue):
        start = clock.monotonic()
        queue.add_after("a", 50)
        queue.add_after("a", 5)
        queue.add_after("a", 70)
        await clock.advance(100)
        assert [one - start for one in done] == [5]
