"""One WebSocket: no opening (the router did that, and the seal says who it is), the first frame is a request.

One task reads and answers frames in order, one writes. Order is part of the contract: two messages of one client are accepted as they were
sent. A client that does not read is told the sum of what it missed, or closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from moltbot_gateway.edge.dispatch import Caller, dispatch
from moltbot_gateway.edge.outbox import Outbox
from moltbot_gateway.gateway import Gateway
from moltbot_protocol.errors import CloseCode, FrameError, close_reason
from moltbot_protocol.events import shutdown
from moltbot_protocol.frames import Cancel, Event, parse_client_frame, refuse, serialise
from moltbot_protocol.methods import OPERATOR, Scope, has_scope
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import Seal

log = get_logger("moltbot_gateway.connection")

# Bytes of one frame; what hello-ok announces as `maxPayload` (version 4).
MAX_FRAME = 26_214_400
# A client that takes nothing for this long is gone (seconds).
WRITE_PATIENCE = 30.0
# Of what is left to write when the process ends.
FLUSH_SECONDS = 2.0


class Connection:
    """Keeps to `hub.Listener`."""

    def __init__(self, gateway: Gateway, socket: web.WebSocketResponse, seal: Seal) -> None:
        self._gateway, self._socket, self._seal = gateway, socket, seal
        self._outbox = Outbox()
        self._writer: asyncio.Task[None] | None = None
        self._leaving: asyncio.Future[tuple[CloseCode, str]] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self.hears_sessions = False
        self.hears_messages: set[str] = set()
        self.may_read = self.may(Scope.READ)

    def may(self, scope: Scope) -> bool:
        return self._seal.role == OPERATOR and has_scope(self._seal.scopes, scope)

    def hear(self, event: Event, text: str, merge: str | None) -> None:
        self._outbox.put_event(event, text, merge)

    async def serve(self) -> None:
        """Until the client goes, or `close`."""
        self._gateway.hub.listeners.add(self)
        self._gateway.measurements.connections += 1
        self._writer = asyncio.create_task(self._write())
        try:
            while (message := await self._receive()) is not None:
                match message.type:
                    case WSMsgType.TEXT:
                        await self._answer(message.data)
                    case WSMsgType.BINARY:
                        await self._socket.close(code=CloseCode.UNSUPPORTED_DATA, message=b"frames are text")
                    case _:
                        break
            if self._leaving.done():
                await self._say_goodbye(*self._leaving.result())
        finally:
            self._gateway.measurements.connections -= 1
            self._gateway.hub.listeners.discard(self)
            self._writer.cancel()
            await asyncio.wait({self._writer})
            self._gone.set()

    async def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye and close; the frame that is being answered is answered first. Returns when the socket is closed."""
        if not self._leaving.done():
            self._leaving.set_result((code, reason))
        await self._gone.wait()

    async def _receive(self) -> WSMessage | None:
        """The next message, `None` when it is time to leave.

        The socket is closed by the task that reads it: from another one aiohttp drops the connection right after the close frame, and
        the client, which answers it, finds a dead connection instead of our code.
        """
        receiving = asyncio.ensure_future(self._socket.receive())
        try:
            either: set[asyncio.Future[Any]] = {receiving, self._leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else None
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.wait({receiving})

    async def _say_goodbye(self, code: CloseCode, reason: str) -> None:
        self._outbox.put(serialise(shutdown(reason)))
        self._outbox.end()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=FLUSH_SECONDS)
        await self._socket.close(code=code, message=close_reason(reason))

    async def _answer(self, data: str) -> None:
        try:
            request = parse_client_frame(data)
        except FrameError as error:
            self._outbox.put(serialise(refuse(error.request_id, error.shape())))
            return
        if isinstance(request, Cancel):
            return  # frames are answered in order, so by now the one that it means is
        self._outbox.put(serialise(await dispatch(self._gateway, Caller(self._seal, self), request)))

    async def _write(self) -> None:
        try:
            await self._write_on()
        except ConnectionError:
            pass  # the client is gone; the reader notices
        except Exception:  # a task's boundary: a writer that failed unseen would leave a client that waits for ever
            log.exception("writing failed")
            await self._socket.close(code=CloseCode.INTERNAL, message=b"writing failed")

    async def _write_on(self) -> None:
        while (text := await self._outbox.take()) is not None:
            if self._outbox.overflowed:
                await self._socket.close(code=CloseCode.POLICY, message=b"slow consumer")
                return
            try:
                async with asyncio.timeout(WRITE_PATIENCE):
                    await self._socket.send_str(text)
            except TimeoutError:
                await self._socket.close(code=CloseCode.POLICY, message=b"slow consumer")
                return
