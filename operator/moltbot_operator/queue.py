"""The one work queue: keys, each at most once waiting and at most once in work (as client-go's workqueue), bounded workers.

A key that comes while it is in work is worked on again afterwards. Failures are tried again per key with growing pauses; a result may ask
to come again after some seconds; everything comes again at the resync, spread by jitter.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from moltbot_operator.metrics import QUEUE_DEPTH, QUEUE_WAIT_SECONDS, RECONCILE_SECONDS, RECONCILES
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.queue")
K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 120.0
# Everything is looked at again this often even if nothing happens: what no watch tells (Secrets, a lost event).
RESYNC_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Again:
    """Result of a reconcile: when to look again (seconds); None leaves it to events and the resync."""

    after: float | None = None


class WorkQueue(Generic[K]):
    """`work` does one key and says when to come again; an exception of it is logged and tried again."""

    def __init__(self, work: Callable[[K], Awaitable[Again]], clock: Clock, *, workers: int = 8, resync: float = RESYNC_SECONDS) -> None:
        self._work, self._clock, self._workers, self._resync = work, clock, workers, resync
        self._waiting: dict[K, float] = {}  # key → since when it is due; insertion order is the order of work
        self._processing: set[K] = set()
        self._dirty: set[K] = set()  # came while in work
        self._due: dict[K, float] = {}  # key → when it comes by itself
        self._heap: list[tuple[float, int, K]] = []
        self._count = itertools.count()
        self._failures: dict[K, int] = {}
        self._ready = asyncio.Event()
        self._timer = asyncio.Event()
        self._forgotten: set[K] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is in work."""
        return not self._waiting and not self._processing

    def add(self, key: K) -> None:
        """Have the key worked on as soon as possible."""
        self._forgotten.discard(key)
        self._due.pop(key, None)
        if key in self._processing:
            self._dirty.add(key)
            return
        if key not in self._waiting:
            self._waiting[key] = self._clock.monotonic()
            QUEUE_DEPTH.set(len(self._waiting))
            self._ready.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have it worked on in so many seconds, unless something is due sooner."""
        when = self._clock.monotonic() + max(0.0, seconds)
        if key in self._waiting or key in self._dirty or self._due.get(key, float("inf")) <= when:
            return
        self._due[key] = when
        heapq.heappush(self._heap, (when, next(self._count), key))
        self._timer.set()

    def forget(self, key: K) -> None:
        """The key is gone: no resync, no failures remembered."""
        self._due.pop(key, None)
        self._failures.pop(key, None)
        self._dirty.discard(key)
        if key in self._processing:
            self._forgotten.add(key)
        if self._waiting.pop(key, None) is not None:
            QUEUE_DEPTH.set(len(self._waiting))

    async def run(self) -> None:
        """Work until cancelled; work in progress is cancelled with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_time(), name="queue timer")
            for number in range(self._workers):
                group.create_task(self._worker(), name=f"queue worker {number}")

    async def _keep_time(self) -> None:
        while True:
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                when, _, key = heapq.heappop(self._heap)
                if self._due.get(key) == when:
                    self.add(key)
            self._timer.clear()
            await self._until_due(self._heap[0][0] - now if self._heap else None)

    async def _until_due(self, pause: float | None) -> None:
        """Until something became due sooner, or `pause` seconds are over."""
        waits = [asyncio.ensure_future(self._timer.wait())]
        if pause is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(pause)))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _worker(self) -> None:
        while True:
            while not self._waiting:
                self._ready.clear()
                await self._ready.wait()
            key = next(iter(self._waiting))
            due = self._waiting.pop(key)
            self._processing.add(key)
            QUEUE_DEPTH.set(len(self._waiting))
            started = self._clock.monotonic()
            QUEUE_WAIT_SECONDS.observe(max(0.0, started - due))
            after: float | None = None
            try:
                result = await self._work(key)
            except Exception as error:  # the boundary of one piece of work: logged, and tried again
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                after = self._pause(failures)
                RECONCILES.labels("failed").inc()
                log.exception("reconcile failed", key=str(key), failures=failures, retry_seconds=round(after, 1), error=str(error))
            else:
                self._failures.pop(key, None)
                after = result.after
                RECONCILES.labels("done").inc()
            finally:
                self._processing.discard(key)
                RECONCILE_SECONDS.observe(max(0.0, self._clock.monotonic() - started))
            self._next(key, after)

    def _next(self, key: K, after: float | None) -> None:
        if key in self._forgotten:
            self._forgotten.discard(key)
            if key not in self._dirty:
                return
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)
            return
        self.add_after(key, self._resync * (0.75 + random.random() / 2) if after is None else after)  # noqa: S311 - spreads load

    @staticmethod
    def _pause(failures: int) -> float:
        full = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16))
        return full * (0.5 + random.random() / 2)  # noqa: S311 - spreads load
