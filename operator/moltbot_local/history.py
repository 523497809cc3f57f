"""What happened lately, so that a watch can begin at a resourceVersion.

One bounded log for all kinds and all watchers: a watcher is a cursor into it, so that a thousand watchers cost no queue each, and one
that is too slow, or began too long ago, is told 410 Expired as the real API server does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .errors import ApiError
from .resources import Object
from .selectors import Selector

# How many changes are remembered. At some 4 KiB an object this is 8 MiB at most; a client that is 2,000 changes behind lists again.
KEPT_CHANGES = 2000


class Entry:
    """One version of one object. `item` is shared between readers: copy it before changing it. `encoded` is its JSON."""

    __slots__ = ("encoded", "item", "version")

    def __init__(self, item: Object, encoded: bytes, version: int) -> None:
        self.item = item
        self.encoded = encoded
        self.version = version


@dataclass(frozen=True, slots=True)
class Change:
    version: int
    key: str
    namespace: str
    type: str  # ADDED | MODIFIED | DELETED
    entry: Entry
    before: Entry | None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watcher is told. `object` is shared: copy it before changing it."""

    type: str
    entry: Entry

    @property
    def object(self) -> Object:
        return self.entry.item


class History:
    def __init__(self, version: int) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
        self.oldest = version  # a watch may begin here or later
        self.version = version
        self._count = 0  # changes ever appended: position of the end
        self._waiters: set[asyncio.Future[None]] = set()

    def append(self, change: Change) -> None:
        if len(self._changes) == KEPT_CHANGES:
            self.oldest = self._changes[0].version
        self._changes.append(change)
        self._count += 1
        self.version = change.version
        self.wake()

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def position(self, since: int) -> int:
        """Where to begin to read after `since`. Raises ApiError 410."""
        if since < self.oldest or since > self.version:
            if since > self.version:
                raise ApiError(504, f"Too large resource version: {since}, current: {self.version}", reason="Timeout")
            raise expired(since, self.oldest)
        newer = 0
        for change in reversed(self._changes):
            if change.version <= since:
                break
            newer += 1
        return self._count - newer

    def after(self, position: int) -> list[Change]:
        """The changes from a position on. Raises ApiError 410 when some of them are forgotten."""
        behind = self._count - position
        if behind > len(self._changes):
            raise expired(0, self.oldest)
        return [self._changes[index] for index in range(len(self._changes) - behind, len(self._changes))]

    @property
    def end(self) -> int:
        return self._count

    async def changed(self, position: int, timeout: float | None = None) -> bool:
        """Wait until something follows the position; False after `timeout` seconds. Cancellation is safe."""
        if self._count > position:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, timeout)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True


def expired(since: int, oldest: int) -> ApiError:
    return ApiError(410, f"too old resource version: {since} ({oldest})", reason="Expired")


class Watch:
    """The changes of one kind, as an asynchronous iterator without an end. `initial` is told first, as ADDED."""

    def __init__(
        self, history: History, key: str, namespace: str | None, selector: Selector, *, position: int, initial: list[Entry]
    ) -> None:
        self._history = history
        self._key = key
        self._namespace = namespace
        self._selector = selector
        self._position = position
        self._initial = initial
        self.version = history.version if position == history.end else 0

    def take(self) -> list[WatchEvent]:
        """All that is there now, without waiting. Raises ApiError 410 when this watch fell too far behind."""
        events = [WatchEvent("ADDED", entry) for entry in self._initial]
        self._initial = []
        for change in self._history.after(self._position):
            if change.key != self._key or (self._namespace is not None and change.namespace != self._namespace):
                continue
            if event := self._seen(change):
                events.append(event)
        self._position = self._history.end
        self.version = self._history.version
        return events

    def _seen(self, change: Change) -> WatchEvent | None:
        """A selector turns a change into what this watcher sees: an object that begins or ceases to match is added or deleted for it."""
        if not self._selector:
            return WatchEvent(change.type, change.entry)
        now = change.type != "DELETED" and self._selector.matches(change.entry.item)
        was = change.before is not None and self._selector.matches(change.before.item)
        if now:
            return WatchEvent("MODIFIED" if was else "ADDED", change.entry)
        return WatchEvent("DELETED", change.entry) if was else None

    async def wait(self, timeout: float | None = None) -> bool:
        """Until there may be something to take; False after `timeout` seconds. Cancellation is safe."""
        return bool(self._initial) or await self._history.changed(self._position, timeout)

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while True:
            await self.wait()
            for event in self.take():
                yield event
