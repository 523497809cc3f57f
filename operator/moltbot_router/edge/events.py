"""Server-sent events: one writer, used by the pages' `/api/events` and by the administration. A comment goes out every 15 s, and proxies
are told not to buffer."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence

from aiohttp import web

from moltbot_router.edge.answers import json_error
from moltbot_router.path.facts import Key
from moltbot_trust.clock import Clock

COMMENT_SECONDS = 15.0
# A burst of changes becomes one event (seconds).
GATHER_SECONDS = 0.05
SLOW_SECONDS = 30.0
# Streams in all, and of one Moltbot.
MAX_STREAMS, MAX_STREAMS_EACH = 4000, 256

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

# Calls back at each change of a Moltbot; what it returns ends that.
Source = Callable[[Callable[[Key], None]], Callable[[], None]]
# (event, data) pairs to send now; None: the stream ends.
Snapshot = Callable[[], list[tuple[str, object]] | None]


class Stirrer:
    """Set by whoever notices a change, waited for by one stream."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def stir(self, *_: object) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()


class EventStreams:
    """All streams of one port. Bounded; `close` ends them, so that a stopping router is not waited for."""

    def __init__(self, clock: Clock, limit: int = MAX_STREAMS, each: int = MAX_STREAMS_EACH) -> None:
        self._clock, self._limit, self._limit_each = clock, limit, each
        self._each: Counter[Key] = Counter()
        self._open: set[Stirrer] = set()
        self._closed = False

    def close(self) -> None:
        """End them all; browsers come back by themselves, to another router."""
        self._closed = True
        for stirrer in self._open:
            stirrer.stir()

    async def follow(self, request: web.BaseRequest, key: Key, sources: Sequence[Source], snapshot: Snapshot) -> web.StreamResponse:
        """Send what `snapshot` says at once and whenever it says something else after one of the sources told of this Moltbot. Ends with
        the client, or when the snapshot is None."""
        stirrer = Stirrer()

        def on_change(changed: Key) -> None:
            if changed == key:
                stirrer.stir()

        ends = [subscribe(on_change) for subscribe in sources]
        try:
            return await self._serve(request, key, stirrer, snapshot)
        finally:
            for end in ends:
                end()

    async def _serve(self, request: web.BaseRequest, key: Key, stirrer: Stirrer, snapshot: Snapshot) -> web.StreamResponse:
        if len(self._open) >= self._limit or self._each[key] >= self._limit_each:
            return json_error(503, "busy", "too many pages listen; try again", {"Retry-After": "5"})
        self._open.add(stirrer)
        self._each[key] += 1
        try:
            return await self._stream(request, stirrer, snapshot)
        finally:
            self._open.discard(stirrer)
            self._each[key] -= 1
            if not self._each[key]:
                del self._each[key]

    async def _stream(self, request: web.BaseRequest, stirrer: Stirrer, snapshot: Snapshot) -> web.StreamResponse:
        answer = web.StreamResponse(headers=HEADERS)
        await answer.prepare(request)
        sent: dict[str, str] = {}
        quiet = asyncio.ensure_future(self._clock.sleep(COMMENT_SECONDS))
        stirred: asyncio.Future[None] | None = None
        try:
            while not self._closed and (events := snapshot()) is not None:
                text = _changes(events, sent)
                if not text and quiet.done():
                    text = ": still here\n\n"
                if text:
                    async with asyncio.timeout(SLOW_SECONDS):
                        await answer.write(text.encode())
                if quiet.done():
                    quiet = asyncio.ensure_future(self._clock.sleep(COMMENT_SECONDS))
                stirred = asyncio.ensure_future(stirrer.wait())
                await asyncio.wait({quiet, stirred}, return_when=asyncio.FIRST_COMPLETED)
                if stirred.done():
                    await asyncio.sleep(GATHER_SECONDS)
                else:
                    stirred.cancel()
        except (TimeoutError, ConnectionError):
            return answer
        finally:
            quiet.cancel()
            if stirred is not None:
                stirred.cancel()
        await answer.write_eof()
        return answer


def _changes(events: list[tuple[str, object]], sent: dict[str, str]) -> str:
    """The wire's text of those events that say something new; `sent` follows."""
    lines = []
    for name, data in events:
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        if sent.get(name) != text:
            sent[name] = text
            lines.append(f"event: {name}\ndata: {text}\n\n")
    return "".join(lines)
