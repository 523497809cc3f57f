"""Server-sent events: one writer, used by the pages' `/api/events` and by the administration. A comment goes out every 15 s, and proxies
are told not to buffer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from moltbot_trust.clock import Clock

COMMENT_SECONDS = 15.0
# A burst of changes becomes one event (seconds).
GATHER_SECONDS = 0.05
SLOW_SECONDS = 30.0

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

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


async def stream_events(request: web.BaseRequest, clock: Clock, stirrer: Stirrer, snapshot: Snapshot) -> web.StreamResponse:
    """Send what `snapshot` says at once and whenever it says something else after a stir. Ends with the client, or when the snapshot is
    None."""
    answer = web.StreamResponse(headers=HEADERS)
    await answer.prepare(request)
    sent: dict[str, str] = {}
    quiet = asyncio.ensure_future(clock.sleep(COMMENT_SECONDS))
    stirred: asyncio.Future[None] | None = None
    try:
        while (events := snapshot()) is not None:
            lines = []
            for name, data in events:
                text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
                if sent.get(name) != text:
                    sent[name] = text
                    lines.append(f"event: {name}\ndata: {text}\n\n")
            if not lines and quiet.done():
                lines.append(": still here\n\n")
            if lines:
                async with asyncio.timeout(SLOW_SECONDS):
                    await answer.write("".join(lines).encode())
            if quiet.done():
                quiet = asyncio.ensure_future(clock.sleep(COMMENT_SECONDS))
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
