"""The WebSocket side of the fake router: opening by the project's own protocol package, devices, and a gateway that a test plays."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from moltbot_protocol import events
from moltbot_protocol.connect import Connect, negotiate, parse_connect
from moltbot_protocol.errors import CloseCode, ErrorCode, ErrorShape, ProtocolError, close_reason
from moltbot_protocol.frames import Request, answer, parse_client_frame, refuse, serialise
from moltbot_protocol.hello import MAIN_SESSION, DeviceGrant, Hello, build_hello
from moltbot_protocol.identity import verify_device
from tests.fakes.router_ui_assistant import OWN, shape_of
from tests.fakes.router_ui_chat import Conversations, Socket, Turn, now_ms

# What the page offers only where it is served.
OPTIONAL = frozenset({"sessions.patch", "sessions.reset", "sessions.delete", "sessions.export", "sessions.import"})


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def command_rows() -> list[dict[str, object]]:
    """Slash commands, as `commands.list` names them."""
    words = {"new": "", "status": "", "stop": "", "model": "name", "think": "level", "compact": "", "help": ""}
    return [
        {"name": name, "textAliases": [f"/{name}"], "description": f"What {name} does", "acceptsArgs": bool(argument), "argument": argument}
        | {"choices": ["off", "low", "medium", "high"] if name == "think" else []}
        for name, argument in words.items()
    ]


@dataclass
class GatewaySide(Conversations):
    """Devices, and every method of the gateway."""

    approved: dict[str, str] = field(default_factory=dict)
    """Device id → its token."""
    pending: dict[str, Connect] = field(default_factory=dict)
    model_configured: bool = True
    optional_methods: bool = True
    commands: list[dict[str, object]] = field(default_factory=command_rows)

    def __post_init__(self) -> None:
        super().__post_init__()
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

    async def until_pending(self) -> str:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(self.pending)), 10)
        return next(iter(self.pending))

    def approve(self, device: str) -> None:
        self.approved[device] = f"dt-{uuid.uuid4()}"
        self.pending.pop(device, None)
        self.router.events.push("device", {"deviceId": device, "state": "approved"})

    async def remove(self, device: str) -> None:
        del self.approved[device]
        self.router.events.push("device", {"deviceId": device, "state": "removed"})
        await self.drop_all(CloseCode.POLICY, "device removed")

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
            await self.tell()
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
        features["methods"] = sorted({*features["methods"], *OWN})
        if not self.optional_methods:
            features["methods"] = [name for name in features["methods"] if name not in OPTIONAL]
        await ws.send_str(serialise(answer(opening.id, hello)))
        return device.id

    async def _close(
        self, ws: web.WebSocketResponse, opening: Request, error: ErrorCode, message: str, code: str, **details: object
    ) -> None:
        await ws.send_str(serialise(refuse(opening.id, ErrorShape(error, message, {"code": code, **details}))))
        await ws.close(code=CloseCode.POLICY, message=close_reason(message))

    async def _answer(self, ws: web.WebSocketResponse, data: str) -> None:
        request = parse_client_frame(data)
        assert isinstance(request, Request)
        check = shape_of(request.method)
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

    async def _do(self, method: str, params: Mapping[str, object]) -> object:
        key = str(params.get("sessionKey") or params.get("key") or "")
        asleep = {"asleep": True} if self.is_asleep else {}
        match method:
            case "chat.send":
                return await self.send(params)
            case "chat.history":
                return {"sessionKey": key, "sessionId": "s1", "thinkingLevel": "off", **self.page_of(key, params), **asleep}
            case "chat.abort":
                return await self.abort(str(params.get("runId")))
            case "chat.rewind":
                return self.rewind(key, str(params["messageId"]))
            case "chat.continue":
                turn = Turn(str(params["idempotencyKey"]), key, "")
                self.turns.append(turn)
                await self.agent(turn, "lifecycle", {"phase": "start"})
                await self.tell()
                return {"runId": turn.run, "status": "started"}
            case "sessions.list":
                rows = [
                    {
                        "key": one,
                        "kind": "direct",
                        "updatedAt": now_ms() - 60_000,
                        "hasActiveRun": self.active(one) is not None,
                        **self.settings.get(one, {}),
                    }
                    for one in dict.fromkeys([MAIN_SESSION, *self.history])
                ]
                return {"ts": now_ms(), "path": "", "count": len(rows), "defaults": {}, "sessions": [] if asleep else rows, **asleep}
            case "agents.list":
                agent = {"id": "main", "name": self.router.name, "model": {"primary": "claude-sonnet-4-5"}}
                return {"defaultId": "main", "mainKey": "main", "scope": "per-sender", "agents": [agent]}
            case "commands.list":
                return {"commands": [] if asleep else self.commands}
            case "agent.identity.get":
                return {"agentId": "main", "name": self.router.name, "avatar": None}
            case "sessions.patch":
                self.settings.setdefault(key, {}).update({name: value for name, value in params.items() if name != "key"})
                await self.tell()
                return {"ok": True, "key": key, "entry": {}}
            case "sessions.reset":
                self.history[key] = []
                return {"ok": True, "key": key, "entry": {}}
            case "sessions.export":
                return {"document": {"format": "moltbot-session", "version": 1, "messages": self.history.get(key, [])}}
            case "sessions.import":
                document = params.get("document")
                if not isinstance(document, dict) or document.get("format") != "moltbot-session":
                    return ErrorShape(ErrorCode.INVALID_REQUEST, "that is no exported conversation of a Moltbot")
                self.history["agent:main:imported-1"] = document["messages"]
                await self.tell()
                return {"ok": True, "key": "agent:main:imported-1", "messages": len(document["messages"])}
            case "sessions.delete":
                self.history.pop(key, None)
                return {"ok": True, "key": key, "deleted": True, "archived": []}
            case _:
                return (await self.assistant.do(method, params)) or {}
