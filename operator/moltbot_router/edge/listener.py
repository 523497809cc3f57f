"""Listening: aiohttp's low-level server (no routes, no middleware: the path decides), and what a connection may send before it has
passed a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from moltbot_trust.logs import get_logger

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Longer than any proxy in front keeps a connection unused, so that it is they who close it (seconds).
KEEPALIVE_SECONDS = 620.0
MAX_HEADER_BYTES = 16 * 1024
# A request's line and headers must be there this long after a connection is made, or after their first byte on one in use (seconds):
# aiohttp itself waits for ever for the rest of a head that comes byte by byte.
HEAD_SECONDS = 20.0

log = get_logger("moltbot_router.listener")


class GuardedConnection(RequestHandler):
    """A connection that must send whole request heads in time, and that can be given an allowance of bytes: a WebSocket's frames are
    assembled below our code, up to what an approved device may send, and nobody shall make us hold that much before the locks."""

    __slots__ = ("_allowance", "_head_seconds", "_head_timer")

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._allowance: int | None = None
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_came()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A request that is no HTTP is answered without a word in the log: aiohttp would write a traceback for each, with the bytes that
        came, and those may be a token."""
        if status >= 500 or not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        log.debug("no request", address=request.remote or "", error=type(exc).__name__)
        response = web.Response(status=status, text="bad request\n")
        response.force_close()
        return response

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_seconds, self._too_slow)

    def head_came(self) -> None:
        """A request is there: it is its handler that bounds what comes now."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport is not None:
            self.transport.abort()

    def limit_bytes(self, allowance: int | None) -> None:
        """From now on so many bytes and no more; None lifts it."""
        self._allowance = allowance

    def data_received(self, data: bytes) -> None:
        if self._allowance is not None:
            self._allowance -= len(data)
            if self._allowance < 0:
                if self.transport is not None:
                    self.transport.abort()
                return
        if self._head_timer is None and self._waiter is not None and not self._waiter.done():
            # Nothing is under way here: these bytes begin the next head.
            self._await_head()
        super().data_received(data)
        if self._waiter is None or self._waiter.done():
            self.head_came()


class GuardedServer(web.Server):
    """Makes such connections."""

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds

    def __call__(self) -> RequestHandler:
        return GuardedConnection(self, loop=self._loop, head_seconds=self._head_seconds, **self._kwargs)


def limit_bytes(request: web.BaseRequest, allowance: int | None) -> None:
    """On the connection of this request; nothing where it is another kind."""
    if isinstance(request.protocol, GuardedConnection):
        request.protocol.limit_bytes(allowance)


class Listener:
    """One listening address. `start`, then `port`; `close` lets busy connections finish for `grace` seconds, then cuts them."""

    def __init__(self, handler: Handler, host: str, port: int, *, grace: float, head_seconds: float = HEAD_SECONDS) -> None:
        self._handler, self._host, self._grace, self._head_seconds = handler, host, grace, head_seconds
        self._runner: web.ServerRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        server = GuardedServer(
            self._handler,
            head_seconds=self._head_seconds,
            handler_cancellation=True,  # a client that is gone leaves the hold, and its upstream is cut
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,  # bodies go on as they are
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=self._grace)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host or None, self.port, backlog=1024).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening, then wait for what is under way."""
        if self._runner is not None:
            await self._runner.cleanup()
