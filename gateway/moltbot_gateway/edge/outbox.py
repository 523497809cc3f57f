"""What waits to be written to one connection. Bounded: of a growing answer a slow reader gets the sum, and one that still falls behind by
more than the protocol allows is closed. Pure but for the wake-up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from moltbot_gateway.chat.wire import merge_deltas
from moltbot_protocol.frames import Event, serialise

# Bytes of text; what hello-ok announces as `maxBufferedBytes` (version 4).
MAX_BUFFERED = 52_428_800


@dataclass
class _Waiting:
    text: str
    event: Event | None
    merge: str | None


class Outbox:
    def __init__(self, limit: int = MAX_BUFFERED) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._mergeable: dict[str, _Waiting] = {}
        self._size = 0
        self._limit = limit
        self._filled = asyncio.Event()
        self._ended = False
        self.overflowed = False

    def put(self, text: str) -> None:
        """A response."""
        self._append(_Waiting(text, None, None))

    def put_event(self, event: Event, text: str, merge: str | None) -> None:
        """An event; of those with the same `merge` that nobody has read yet only the sum is kept, where the first stood."""
        earlier = self._mergeable.get(merge) if merge is not None else None
        if earlier is None or earlier.event is None:
            self._append(_Waiting(text, event, merge))
            return
        assert isinstance(earlier.event.payload, dict)
        assert isinstance(event.payload, dict)
        earlier.event = Event(event.event, merge_deltas(earlier.event.payload, event.payload))
        self._size -= len(earlier.text)
        earlier.text = serialise(earlier.event)
        self._count(len(earlier.text))

    def end(self) -> None:
        """Nothing more comes: `take` gives what is left, and then `None`."""
        self._ended = True
        self._filled.set()

    async def take(self) -> str | None:
        """The next text to write; waits for one."""
        while not self._waiting:
            if self._ended:
                return None
            self._filled.clear()
            await self._filled.wait()
        waiting = self._waiting.popleft()
        if waiting.merge is not None and self._mergeable.get(waiting.merge) is waiting:
            del self._mergeable[waiting.merge]
        self._size -= len(waiting.text)
        return waiting.text

    def _append(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if waiting.merge is not None:
            self._mergeable[waiting.merge] = waiting
        self._count(len(waiting.text))
        self._filled.set()

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > self._limit:
            self.overflowed = True
            self._filled.set()
