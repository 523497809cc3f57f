"""Listening: aiohttp's low-level server (no routes, no middleware: the path decides), and what a connection may send before it has
passed a lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Longer than any proxy in front keeps a connection unused, so that it is they who close it (seconds).
KEEPALIVE_SECONDS = 620.0
MAX_HEADER_BYTES = 16 * 1024


class GuardedConnection(RequestHandler):
    """A connection that can be given an allowance of bytes: a WebSocket's frames are assembled below our code, up to what an approved
    device may send, and nobody shall make us hold that much before the locks."""

    __slots__ = ("_allowance",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._allowance: int | None = None

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
        super().data_received(data)


class GuardedServer(web.Server):
    """Makes such connections."""

    def __call__(self) -> RequestHandler:
        return GuardedConnection(self, loop=self._loop, **self._kwargs)


def limit_bytes(request: web.BaseRequest, allowance: int | None) -> None:
    """On the connection of this request; nothing where it is another kind."""
    if isinstance(request.protocol, GuardedConnection):
        request.protocol.limit_bytes(allowance)


class Listener:
    """One listening address. `start`, then `port`; `close` lets busy connections finish for `grace` seconds, then cuts them."""

    def __init__(self, handler: Handler, host: str, port: int, *, grace: float) -> None:
        self._handler, self._host, self._grace = handler, host, grace
        self._runner: web.ServerRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        server = GuardedServer(
            self._handler,
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
