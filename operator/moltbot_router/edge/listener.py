"""Listening: aiohttp's low-level server (no routes, no middleware: the path decides), and what a connection may send before it has
passed a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Longer than any proxy in front keeps a connection unused, so that it is they who close it (seconds).
KEEPALIVE_SECONDS = 620.0
MAX_HEADER_BYTES = 16 * 1024


class GuardedConnection(RequestHandler[Any]):
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


class GuardedServer(web.Server[web.BaseRequest]):
    """Makes such connections."""

    def __call__(self) -> RequestHandler[Any]:
        return GuardedConnection(self, loop=self._loop, **self._kwargs)


def limit_bytes(request: web.BaseRequest, allowance: int | None) -> None:
    """On the connection of this request; nothing where it is another kind."""
    if isinstance(request.protocol, GuardedConnection):
        request.protocol.limit_bytes(allowance)


class Listener:
    """One listening address. `start`, then `port`; `close` ends connections after `grace` seconds."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        server = GuardedServer(
            handler,
            handler_cancellation=True,  # a client that is gone leaves the hold, and its upstream is cut
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,  # bodies go on as they are
            max_field_size=MAX_HEADER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
        )
        self._runner = web.ServerRunner(server, handle_signals=False)
        self._host, self._port = host, port
        self.port = port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self._port, backlog=1024)
        await site.start()
        for server in (site._server,):
            sockets = getattr(server, "sockets", None) or ()
            for socket in sockets:
                self.port = int(socket.getsockname()[1])
                return

    async def close(self, grace: float) -> None:
        """Stop listening; connections that are still busy after `grace` seconds are cut."""
        self._runner._shutdown_timeout = grace
        await self._runner.cleanup()
        await asyncio.sleep(0)
