"""The conversations behind the fake router: what a test lets the assistant say and do, kept and told as the gateway keeps and tells it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from moltbot_protocol import events
from moltbot_protocol.errors import CloseCode, ErrorCode, ErrorShape, close_reason, unavailable
from moltbot_protocol.frames import Event, serialise
from tests.fakes.router_ui_assistant import ATTACHMENTS, AssistantSide

if TYPE_CHECKING:
    from tests.fakes.router_ui import FakeRouter


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class Turn:
    """One message that the gateway accepted."""

    run: str
    session: str
    message: str
    over: bool = False
    queued: bool = False
    """Accepted, and behind another one."""
    text: str = ""
    """Of the present step, so far."""
    attachments: list[dict[str, object]] = field(default_factory=list)


@dataclass
class Socket:
    ws: web.WebSocketResponse
    device: str
    seq: int = 0

    async def send(self, event: str, payload: Mapping[str, object]) -> None:
        self.seq += 1
        await self.ws.send_str(serialise(Event(event, payload, self.seq)))


@dataclass
class Conversations:
    """Turns and what was said in them. One turn of a session at a time; what comes meanwhile waits (queue mode `followup`)."""

    router: FakeRouter
    turns: list[Turn] = field(default_factory=list)
    history: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    """What sessions.patch set, and what a test adds to a session's row."""
    sockets: list[Socket] = field(default_factory=list)
    sends: list[dict[str, object]] = field(default_factory=list)
    """Every chat.send that came, repeated ones too."""
    refusals: list[ErrorShape] = field(default_factory=list)
    """What the next chat.sends get instead of being accepted, first ones first."""
    aborts: list[str] = field(default_factory=list)
    swallow: bool = False
    """Takes chat.send and drops the connection before the answer."""
    page_size: int | None = None
    """Messages of one page of the history at most, for what is asked with `limit`."""

    def __post_init__(self) -> None:
        self.assistant = AssistantSide(self.broadcast)
        self.ids = itertools.count(1)
        self.awake = asyncio.Event()
        self.awake.set()
        self.changed = asyncio.Condition()

    async def until_turn(self, count: int = 1) -> Turn:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.turns) >= count), 10)
        return self.turns[count - 1]

    async def until_sends(self, count: int) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.sends) >= count), 10)

    async def until_aborted(self) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(self.aborts)), 10)

    async def drop_all(self, code: int = CloseCode.RESTART, reason: str = "restart") -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.ws.close(code=code, message=close_reason(reason))

    async def broadcast(self, event: str, payload: Mapping[str, object]) -> None:
        for socket in list(self.sockets):
            if not socket.ws.closed:
                await socket.send(event, payload)

    async def delta(self, turn: Turn, whole: str) -> None:
        turn.text = whole
        content = [{"type": "text", "text": whole}]
        await self.chat(turn, {"state": "delta", "message": {"role": "assistant", "content": content}, "deltaText": whole[-8:]})

    async def status(self, turn: Turn, phase: str, message: str) -> None:
        await self.chat(turn, {"state": "status", "phase": phase, "message": message})

    async def agent(self, turn: Turn, stream: str, data: Mapping[str, object]) -> None:
        payload = {"runId": turn.run, "stream": stream, "data": data, "sessionKey": turn.session, "seq": 1, "ts": now_ms()}
        await self.broadcast(events.AGENT, payload)

    async def tool(self, turn: Turn, name: str, phase: str = "start", call: str = "call-1", **data: object) -> None:
        await self.agent(turn, "tool", {"phase": phase, "name": name, "toolCallId": call, **data})

    async def thinking(self, turn: Turn, whole: str) -> None:
        await self.agent(turn, "thinking", {"text": whole, "delta": whole[-8:]})

    async def say(self, session: str, message: Mapping[str, object], run: str | None = None) -> dict[str, object]:
        """One message more in the conversation, told to who follows it."""
        wire: dict[str, object] = {"id": str(next(self.ids)), "timestamp": now_ms(), **({} if run is None else {"runId": run}), **message}
        self.history.setdefault(session, []).append(wire)
        await self.broadcast(events.SESSION_MESSAGE, {"sessionKey": session, "message": wire})
        return wire

    async def step(self, turn: Turn, *blocks: Mapping[str, object]) -> None:
        """The present step is on disk, and calls tools."""
        turn.text = ""
        await self.say(turn.session, {"role": "assistant", "content": list(blocks), "stopReason": "toolUse"}, turn.run)

    async def result(
        self, turn: Turn, call: str, name: str, text: str, *media: Mapping[str, object], failed: bool = False, **more: object
    ) -> None:
        """A call's result: on disk, and told."""
        details, took = more.get("details", {}), more.get("took", 1200)
        content = [{"type": "text", "text": text}, *media]
        message = {"role": "toolResult", "content": content, "toolCallId": call, "toolName": name, "isError": failed, "details": details}
        await self.say(turn.session, message | {"person": text, "durationMs": took}, turn.run)
        told = {"isError": failed, "result": {"text": text, "details": details}, "meta": {"durationMs": took}}
        await self.tool(turn, name, "result", call, **told)

    async def final(self, turn: Turn, whole: str, **end: object) -> None:
        message = {"role": "assistant", "content": [{"type": "text", "text": whole}], "stopReason": "stop", **end}
        await self._end(turn, message, {"state": "final"})

    async def fail(self, turn: Turn, words: str | None = None, kind: str = "unknown") -> None:
        message: dict[str, object] = {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": words, "errorKind": kind}
        await self._end(
            turn, message, {"state": "error", "errorKind": kind, **({} if words is None else {"errorMessage": words})}, tells=False
        )

    async def _end(self, turn: Turn, message: Mapping[str, object], told: Mapping[str, object], *, tells: bool = True) -> None:
        turn.over = True
        wire: dict[str, object] = {"id": str(next(self.ids)), "timestamp": now_ms(), "runId": turn.run, **message}
        self.history.setdefault(turn.session, []).append(wire)
        await self.chat(turn, {**told, **({"message": wire} if tells else {})})
        await self.broadcast(events.SESSION_MESSAGE, {"sessionKey": turn.session, "message": wire})
        await self._begin_next(turn.session)

    async def _begin_next(self, session: str) -> None:
        waiting = next((turn for turn in self.turns if turn.session == session and turn.queued and not turn.over), None)
        if waiting is not None and self.active(session) is None:
            waiting.queued = False
            await self.begin(waiting)

    def active(self, session: str) -> Turn | None:
        return next((turn for turn in self.turns if turn.session == session and not turn.over and not turn.queued), None)

    async def begin(self, turn: Turn) -> None:
        await self.say(turn.session, {"role": "user", "content": self.content(turn)}, turn.run)
        await self.agent(turn, "lifecycle", {"phase": "start"})

    @staticmethod
    def content(turn: Turn) -> list[dict[str, object]]:
        words: list[dict[str, object]] = [{"type": "text", "text": turn.message}] if turn.message else []
        return [*turn.attachments, *words]

    async def chat(self, turn: Turn, rest: Mapping[str, object]) -> None:
        await self.broadcast(events.CHAT, {"runId": turn.run, "sessionKey": turn.session, "seq": 1, **rest})

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    @property
    def is_asleep(self) -> bool:
        return self.router.phase["phase"] in ("Asleep", "Waking", "Pending", "Failed", "Suspended")

    def page_of(self, key: str, params: Mapping[str, object]) -> dict[str, object]:
        if self.is_asleep:
            return {"messages": []}
        said, cursor, limit = self.history.get(key, []), params.get("cursor"), params.get("limit", 200)
        assert isinstance(limit, int)
        end = len(said) if cursor is None else next(index for index, message in enumerate(said) if message["id"] == cursor)
        start = max(0, end - min(limit, self.page_size or limit))
        waiting = [turn for turn in self.turns if turn.session == key and turn.queued and not turn.over]
        queued = [
            {"role": "user", "content": self.content(turn), "timestamp": now_ms(), "runId": turn.run, "queued": True} for turn in waiting
        ]
        active = self.active(key)
        flight = {} if active is None else {"inFlightRun": {"runId": active.run, "text": active.text}}
        return {
            "messages": [*said[start:end], *([] if cursor else queued)],
            "hasMore": start > 0,
            "nextCursor": said[start]["id"] if start else None,
            **flight,
        }

    def rewind(self, key: str, message_id: str) -> object:
        said = self.history[key]
        at = next(index for index, message in enumerate(said) if message["id"] == message_id)
        content = said[at]["content"]
        assert isinstance(content, list)
        text = "".join(block["text"] for block in content if block["type"] == "text")
        files = [{name: block[name] for name in ("mediaId", "mimeType", "fileName")} for block in content if "mediaId" in block]
        del said[at:]
        return {"ok": True, "text": text, "attachments": files}

    def _take(self, attachment: Mapping[str, object]) -> dict[str, object]:
        """The block that a sent file becomes."""
        if "mediaId" in attachment:
            kept = self.assistant.media[str(attachment["mediaId"])]
            return self.assistant.keep(str(kept["fileName"]), str(kept["mimeType"]), str(kept["data"]))
        return self.assistant.keep(str(attachment["fileName"]), str(attachment["mimeType"]), str(attachment["content"]))

    async def send(self, params: Mapping[str, object]) -> object:
        self.sends.append(dict(params))
        await self.tell()
        if self.router.phase["phase"] == "Asleep":
            self.awake.clear()
            self.router.set_phase("Waking", "Starting the pod", 6)
        await self.awake.wait()
        if self.router.phase["phase"] == "Failed":
            return ErrorShape(ErrorCode.UNAVAILABLE, str(self.router.phase["message"]), retryable=True, retry_after_ms=1000)
        if self.refusals:
            return self.refusals.pop(0)
        run, key = str(params["idempotencyKey"]), str(params["sessionKey"])
        known = next((turn for turn in self.turns if turn.run == run), None)
        if known is not None:
            return {"runId": run, "status": "ok" if known.over else "in_flight"}
        attachments = params.get("attachments", [])
        ATTACHMENTS(attachments, "/attachments")
        assert isinstance(attachments, list)
        queued = self.active(key) is not None
        turn = Turn(run, key, str(params["message"]), queued=queued, attachments=[self._take(one) for one in attachments])
        self.turns.append(turn)
        if self.swallow:
            self.swallow = False
            # It is kept, and nobody hears of it any more. The end of the connection also ends this call.
            lost, self.sockets = self.sockets, []
            await self.begin(turn)
            self.sockets = lost
            await self.tell()
            await self.drop_all()
            return {}
        if not queued:
            await self.begin(turn)
        await self.tell()
        return {"runId": run, "status": "started"}

    async def abort(self, run: str) -> object:
        self.aborts.append(run)
        turn = next(turn for turn in self.turns if turn.run == run)
        if turn.queued:
            turn.over = True
            await self.chat(turn, {"state": "aborted", "stopReason": "rpc"})
        else:
            text = [{"type": "text", "text": turn.text}] if turn.text else []
            await self._end(turn, {"role": "assistant", "content": text, "stopReason": "aborted"}, {"state": "aborted"}, tells=False)
        await self.tell()
        return {"ok": True, "aborted": True, "runIds": [run]}


def still_waking() -> ErrorShape:
    """What the router answers when it held a message as long as it may."""
    return unavailable("still waking; it is sent again", retry_after_ms=200)
