"""A person's WebSocket, as the path sees it: texts in, texts out, a close code that may be on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from moltbot_protocol.errors import close_reason, forwardable_close_code

# A client that is gone answers no close frame (seconds).
CLOSE_SECONDS = 2.0


class PersonSocket:
    """Implements `ClientSocket` over aiohttp."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str | None:
        """The next text; None when the connection has ended. A binary frame ends it with 1003: the protocol is text."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            text: str = message.data
            return text
        if message.type is WSMsgType.BINARY:
            await self.close(1003, "text frames only")
        return None

    async def send(self, text: str) -> None:
        """Raises ConnectionError when it is gone."""
        if self._socket.closed:
            raise ConnectionError("closed")
        try:
            await self._socket.send_str(text)
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self.receive()) is not None:
            yield text

    async def close(self, code: int, reason: str) -> None:
        """Idempotent, bounded."""
        if self._socket.closed:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=forwardable_close_code(code), message=close_reason(reason))
        except (TimeoutError, OSError):
            return
