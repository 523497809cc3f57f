"""The WebSocket side of the fake router: opening by the project's own protocol package, devices, and a gateway that a test plays."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from moltbot_protocol import events
from moltbot_protocol.connect import Connect, negotiate, parse_connect
from moltbot_protocol.errors import CloseCode, ErrorCode, ErrorShape, ProtocolError, close_reason, unavailable
from moltbot_protocol.frames import Event, Request, answer, parse_client_frame, refuse, serialise
from moltbot_protocol.hello import MAIN_SESSION, DeviceGrant, Hello, build_hello
from moltbot_protocol.identity import verify_device
from moltbot_protocol.methods import METHODS

if TYPE_CHECKING:
    from tests.fakes.router_ui import FakeRouter

# What the page offers only where it is served.
OPTIONAL = frozenset({"sessions.patch", "sessions.reset", "sessions.delete"})


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class Turn:
    """One message that the gateway accepted."""

    run: str
    session: str
    message: str
    over: bool = False


@dataclass
class Socket:
    ws: web.WebSocketResponse
    device: str
    seq: int = 0

    async def send(self, event: str, payload: Mapping[str, object]) -> None:
        self.seq += 1
        await self.ws.send_str(serialise(Event(event, payload, self.seq)))


@dataclass
class GatewaySide:
    """Devices, conversations and what a test lets happen to them."""

    router: FakeRouter
    approved: dict[str, str] = field(default_factory=dict)
    """Device id → its token."""
    pending: dict[str, Connect] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    history: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    sockets: list[Socket] = field(default_factory=list)
    sends: list[dict[str, object]] = field(default_factory=list)
    """Every chat.send that came, repeated ones too."""
    refusals: list[ErrorShape] = field(default_factory=list)
    """What the next chat.sends get instead of being accepted, first ones first."""
    aborts: list[str] = field(default_factory=list)
    model_configured: bool = True
    optional_methods: bool = True
    swallow: bool = False
    """Takes chat.send and drops the connection before the answer."""

    def __post_init__(self) -> None:
        self.awake = asyncio.Event()
        self.awake.set()
        self.changed = asyncio.Condition()
        self.refusing = asyncio.Event()
        self.refusing.set()
        self.held = 0

    # --- what a test does ---

    def hold_refusals(self) -> Callable[[], None]:
        """From now on "pairing required" is decided at once and sent when the returned function is called."""
        self.refusing.clear()
        return self.refusing.set

    async def until_held(self) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: self.held > 0), 10)

    async def until_turn(self, count: int = 1) -> Turn:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.turns) >= count), 10)
        return self.turns[count - 1]

    async def until_pending(self) -> str:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(self.pending)), 10)
        return next(iter(self.pending))

    async def until_sends(self, count: int) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.sends) >= count), 10)

    async def until_aborted(self) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(self.aborts)), 10)

    def approve(self, device: str) -> None:
        self.approved[device] = f"dt-{uuid.uuid4()}"
        self.pending.pop(device, None)
        self.router.events.push("device", {"deviceId": device, "state": "approved"})

    async def remove(self, device: str) -> None:
        del self.approved[device]
        self.router.events.push("device", {"deviceId": device, "state": "removed"})
        await self.drop_all(CloseCode.POLICY, "device removed")

    async def drop_all(self, code: int = CloseCode.RESTART, reason: str = "restart") -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.ws.close(code=code, message=close_reason(reason))

    async def broadcast(self, event: str, payload: Mapping[str, object]) -> None:
        for socket in list(self.sockets):
            if not socket.ws.closed:
                await socket.send(event, payload)

    async def delta(self, turn: Turn, whole: str) -> None:
        content = [{"type": "text", "text": whole}]
        await self._chat(turn, {"state": "delta", "message": {"role": "assistant", "content": content}, "deltaText": whole[-8:]})

    async def tool(self, turn: Turn, name: str, phase: str = "start") -> None:
        data = {"phase": phase, "name": name, "toolCallId": "call-1"}
        payload = {"runId": turn.run, "stream": "tool", "data": data, "sessionKey": turn.session, "seq": 1, "ts": now_ms()}
        await self.broadcast(events.AGENT, payload)

    async def final(self, turn: Turn, whole: str) -> None:
        turn.over = True
        message = {"role": "assistant", "content": [{"type": "text", "text": whole}], "timestamp": now_ms(), "stopReason": "stop"}
        self.history.setdefault(turn.session, []).append(message)
        await self._chat(turn, {"state": "final", "message": message})

    async def fail(self, turn: Turn, words: str | None = None, kind: str = "unknown") -> None:
        turn.over = True
        message = {"role": "assistant", "content": [], "timestamp": now_ms(), "stopReason": "error", "errorMessage": words}
        self.history.setdefault(turn.session, []).append(message)
        await self._chat(turn, {"state": "error", "errorKind": kind, **({} if words is None else {"errorMessage": words})})

    async def _chat(self, turn: Turn, rest: Mapping[str, object]) -> None:
        await self.broadcast(events.CHAT, {"runId": turn.run, "sessionKey": turn.session, "seq": 1, **rest})

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    # --- the connection ---

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin") != self.router.url:
            self.router.refuse(f"WebSocket from {request.headers.get('Origin')}")
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        nonce = str(uuid.uuid4())
        await ws.send_str(serialise(events.challenge(nonce, now_ms())))
        message = await ws.receive(timeout=10)
        if message.type != WSMsgType.TEXT:
            return ws
        opening = parse_client_frame(message.data)
        assert isinstance(opening, Request)
        try:
            device = await self._open(request, ws, opening, nonce)
        except ProtocolError as error:
            self.router.refuse(f"opening: {error}")
            await ws.send_str(serialise(refuse(opening.id, error.shape())))
            await ws.close(code=CloseCode.POLICY)
            return ws
        if device is None:
            return ws
        socket = Socket(ws, device)
        self.sockets.append(socket)
        tasks: set[asyncio.Task[None]] = set()
        async for incoming in ws:
            if incoming.type == WSMsgType.TEXT:
                task = asyncio.create_task(self._answer(ws, incoming.data))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        for task in tasks:
            task.cancel()
        if socket in self.sockets:
            self.sockets.remove(socket)
        return ws

    async def _open(self, request: web.Request, ws: web.WebSocketResponse, opening: Request, nonce: str) -> str | None:
        if opening.method != "connect":
            raise ProtocolError("invalid handshake: first request must be connect")
        connect = parse_connect(opening.params)
        if negotiate(connect) != 4:
            raise ProtocolError("protocol mismatch")
        device = verify_device(connect, nonce=nonce, protocol=4, now_ms=now_ms(), verify=verify)
        if device is None:
            raise ProtocolError("no device")
        if connect.auth.token is not None:
            raise ProtocolError("the page sends a gateway token, and holds none")
        if connect.auth.device_token is not None:
            if connect.auth.device_token != self.approved.get(device.id):
                await self._close(
                    ws, opening, ErrorCode.INVALID_REQUEST, "unauthorized: device token mismatch", "AUTH_DEVICE_TOKEN_MISMATCH"
                )
                return None
        elif not self.router.has_cookie(request):
            await self._close(ws, opening, ErrorCode.INVALID_REQUEST, "unauthorized: gateway token mismatch", "AUTH_TOKEN_MISMATCH")
            return None
        if device.id not in self.approved:
            self.pending[device.id] = connect
            self.held += not self.refusing.is_set()
            await self._tell()
            await self.refusing.wait()
            await self._close(
                ws, opening, ErrorCode.NOT_PAIRED, "pairing required", "PAIRING_REQUIRED", requestId=str(uuid.uuid4()), reason="not-paired"
            )
            return None
        grant = DeviceGrant(connect.role, connect.scopes or (), self.approved[device.id], now_ms())
        hello = build_hello(
            Hello(4, "0.1.0", str(uuid.uuid4()), grant, {}, 1000, model_configured=self.model_configured, name=self.router.name)
        )
        features = hello["features"]
        assert isinstance(features, dict)
        if not self.optional_methods:
            features["methods"] = [name for name in features["methods"] if name not in OPTIONAL]
        await ws.send_str(serialise(answer(opening.id, hello)))
        return device.id

    async def _close(
        self, ws: web.WebSocketResponse, opening: Request, error: ErrorCode, message: str, code: str, **details: object
    ) -> None:
        await ws.send_str(serialise(refuse(opening.id, ErrorShape(error, message, {"code": code, **details}))))
        await ws.close(code=CloseCode.POLICY, message=close_reason(message))

    # --- requests ---

    async def _answer(self, ws: web.WebSocketResponse, data: str) -> None:
        request = parse_client_frame(data)
        assert isinstance(request, Request)
        method = METHODS.get(request.method)
        check = method.params if method is not None and method.served else None
        try:
            if check is None:
                raise ProtocolError(f"unknown method: {request.method}")
            params = check.check(request.params)
            payload = await self._do(request.method, params)
        except ProtocolError as error:
            self.router.refuse(f"{request.method}: {error}")
            response = refuse(request.id, error.shape())
        else:
            response = refuse(request.id, payload) if isinstance(payload, ErrorShape) else answer(request.id, payload)
        if not ws.closed:
            await ws.send_str(serialise(response))

    @property
    def is_asleep(self) -> bool:
        return self.router.phase["phase"] in ("Asleep", "Waking", "Pending", "Failed", "Suspended")

    async def _do(self, method: str, params: Mapping[str, object]) -> object:
        key = str(params.get("sessionKey") or params.get("key") or "")
        asleep = {"asleep": True} if self.is_asleep else {}
        match method:
            case "chat.send":
                return await self._send(params)
            case "chat.history":
                messages = [] if asleep else self.history.get(key, [])
                return {"sessionKey": key, "sessionId": "s1", "messages": messages, "thinkingLevel": "off", **asleep}
            case "chat.abort":
                return await self._abort(str(params.get("runId")))
            case "sessions.list":
                rows = [
                    {
                        "key": one,
                        "kind": "direct",
                        "updatedAt": now_ms() - 60_000,
                        **({"label": self.labels[one]} if one in self.labels else {}),
                    }
                    for one in dict.fromkeys([MAIN_SESSION, *self.history])
                ]
                return {"ts": now_ms(), "path": "", "count": len(rows), "defaults": {}, "sessions": [] if asleep else rows, **asleep}
            case "agents.list":
                agent = {"id": "main", "name": self.router.name, "model": {"primary": "claude-sonnet-4-5"}}
                return {"defaultId": "main", "mainKey": "main", "scope": "per-sender", "agents": [agent]}
            case "agent.identity.get":
                return {"agentId": "main", "name": self.router.name, "avatar": None}
            case "sessions.patch":
                self.labels[key] = str(params["label"])
                return {"ok": True, "key": key, "entry": {}}
            case "sessions.reset":
                self.history[key] = []
                return {"ok": True, "key": key, "entry": {}}
            case "sessions.delete":
                self.history.pop(key, None)
                return {"ok": True, "key": key, "deleted": True, "archived": []}
            case _:
                return {}

    async def _send(self, params: Mapping[str, object]) -> object:
        self.sends.append(dict(params))
        await self._tell()
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
        turn = Turn(run, key, str(params["message"]))
        self.turns.append(turn)
        message = {"role": "user", "content": [{"type": "text", "text": turn.message}], "timestamp": now_ms()}
        self.history.setdefault(key, []).append(message)
        if self.swallow:
            self.swallow = False
            await self.drop_all()
            await self._tell()
            return {}
        await self._tell()
        return {"runId": run, "status": "started"}

    async def _abort(self, run: str) -> object:
        self.aborts.append(run)
        turn = next(turn for turn in self.turns if turn.run == run)
        turn.over = True
        await self._chat(turn, {"state": "aborted", "stopReason": "rpc"})
        await self._tell()
        return {"ok": True, "aborted": True, "runIds": [run]}


def still_waking() -> ErrorShape:
    """What the router answers when it held a message as long as it may."""
    return unavailable("still waking; it is sent again", retry_after_ms=200)
