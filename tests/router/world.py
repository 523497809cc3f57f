"""A whole router on port 0 over a cluster in memory and a fake gateway pod; and a person's browser and apps in front of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from moltbot_protocol.identity import SignedFields, encode_base64url
from moltbot_router.app import Router
from moltbot_router.locks.pairing import merged_approval
from moltbot_router.path.facts import DeviceFacts, Key, MoltbotFacts
from moltbot_router.settings import Settings
from moltbot_trust.clock import Clock, SystemClock
from moltbot_trust.keys import GATEWAY_PURPOSES, ROUTER_PURPOSES, KeyRing, MasterKeys
from moltbot_trust.verifiers import Verifier, make_verifier
from tests.fakes.gateway_pod import FakeGatewayPod
from tests.router.cluster import ADA, BORN, MemoryCluster

TOKEN = "a-gateway-token-of-32-characters"
ADMIN_KEY = "an-administration-key"
HOST = "ada--default.localhost"
NAVIGATION = {"Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
OPERATOR_SCOPES = ("operator.admin", "operator.read", "operator.write")


@dataclass
class World:
    """`public` and `admin` are base URLs; requests go to them with the Host that is wanted."""

    router: Router
    cluster: MemoryCluster
    master: MasterKeys
    clock: Clock
    http: aiohttp.ClientSession
    pods: list[FakeGatewayPod] = field(default_factory=list)
    ports: tuple[int, int] = (0, 0)
    key: Key = ADA

    @property
    def public(self) -> str:
        return f"http://127.0.0.1:{self.router.public.port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.router.admin.port}"

    @property
    def host(self) -> str:
        return f"{HOST}:{self.router.public.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def ring(self, key: Key | None = None) -> KeyRing:
        return self.master.key_ring(ROUTER_PURPOSES, self.cluster.truth[key or self.key].moltbot.uid)

    def verifier(self, token: str, key: Key | None = None) -> Verifier:
        return make_verifier(self.ring(key), token)

    async def get(
        self, path: str, *, host: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> aiohttp.ClientResponse:
        return await self.request("GET", path, host=host, headers=headers, **more)

    async def request(
        self, method: str, path: str, *, host: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> aiohttp.ClientResponse:
        sent = {"Host": host or self.host, **(headers or {})}
        return await self.http.request(method, self.public + path, headers=sent, allow_redirects=False, **more)

    async def make_pod(self, uid: str = "", *, ready: bool = True) -> FakeGatewayPod:
        """A gateway pod that listens, without the Pod object that says so."""
        uid = uid or str(uuid.uuid4())
        ring = self.master.key_ring(GATEWAY_PURPOSES, self.cluster.truth[self.key].moltbot.uid)
        pod = FakeGatewayPod(ring, uid, self.clock, ready=ready, ports=self.ports)
        await pod.start()
        self.pods.append(pod)
        return pod

    async def wake(self, uid: str = "") -> FakeGatewayPod:
        """It is awake: pod, object, and the kubelet says Ready."""
        self.cluster.set_replicas(self.key, 1)
        pod = await self.make_pod(uid)
        self.cluster.set_pod(self.key, pod.facts(ready=True))
        return pod

    def sleep(self) -> None:
        """The objects of a sleeping one."""
        self.cluster.set_pod(self.key, None)
        self.cluster.set_replicas(self.key, 0)

    async def approve(self, device: Browser, scopes: tuple[str, ...] = OPERATOR_SCOPES) -> DeviceFacts:
        """A person approves the device's standing request."""
        facts = self.cluster.truth[self.key].devices[device.id]
        return await self.cluster.approve_device(self.key, facts, merged_approval(facts, "a person", self.clock.now()))

    @asynccontextmanager
    async def connected(self, device: Browser, **options: Any) -> AsyncIterator[Wire]:
        """A device that is approved and connected."""
        async with self.wire() as wire:
            response = await wire.connect(device, **options)
            if not response["ok"] and response["error"]["code"] == "NOT_PAIRED":
                await self.approve(device)
            elif response["ok"]:
                yield wire
                return
        async with self.wire() as wire:
            response = await wire.connect(device, **options)
            assert response["ok"], response
            yield wire

    @asynccontextmanager
    async def wire(self, *, host: str | None = None, headers: dict[str, str] | None = None, path: str = "/") -> AsyncIterator[Wire]:
        """A WebSocket before its opening."""
        sent = {"Host": host or self.host, **(headers or {})}
        async with self.http.ws_connect(self.public + path, headers=sent, max_msg_size=0) as socket:
            yield Wire(socket)


class Browser:
    """A device with its key."""

    def __init__(self, name: str = "Firefox on Linux") -> None:
        self._key = Ed25519PrivateKey.generate()
        self._raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(self._raw).hexdigest()
        self.name = name

    def params(
        self,
        nonce: str,
        *,
        now_ms: int,
        token: str | None = TOKEN,
        device_token: str | None = None,
        scopes: tuple[str, ...] | None = OPERATOR_SCOPES,
        protocol: int = 4,
        payload: str = "v3",
        **changes: Any,
    ) -> dict[str, Any]:
        """`connect` params, signed. `changes` are made after signing."""
        auth = {name: value for name, value in (("token", token), ("deviceToken", device_token)) if value is not None}
        client = {
            "id": "webchat-ui",
            "version": "1",
            "platform": "Linux",
            "mode": "webchat",
            "displayName": self.name,
            "deviceFamily": "desktop",
        }
        fields = SignedFields(
            device_id=self.id,
            client_id="webchat-ui",
            client_mode="webchat",
            role="operator",
            scopes=scopes or (),
            signed_at=now_ms,
            token=token or device_token or "",
            nonce=nonce,
            platform="Linux",
            device_family="desktop",
        )
        message = {"v1": fields.payload_v1, "v2": fields.payload_v2, "v3": fields.payload_v3}[payload]()
        params: dict[str, Any] = {
            "minProtocol": protocol,
            "maxProtocol": protocol,
            "client": client,
            "role": "operator",
            "caps": [],
            "device": {
                "id": self.id,
                "publicKey": encode_base64url(self._raw),
                "signature": encode_base64url(self._key.sign(message)),
                "signedAt": now_ms,
                "nonce": nonce,
            },
        }
        if scopes is not None:
            params["scopes"] = list(scopes)
        if auth:
            params["auth"] = auth
        return params | changes


class Wire:
    """The client's side of one WebSocket: requests, responses by id, events in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.hello: dict[str, Any] = {}

    async def connect(self, device: Browser, **options: Any) -> dict[str, Any]:
        challenge = await self.receive()
        assert challenge["event"] == "connect.challenge"
        now_ms = options.pop("now_ms", challenge["payload"]["ts"])
        params = device.params(options.pop("nonce", challenge["payload"]["nonce"]), now_ms=now_ms, **options)
        response = await self.call("connect", params)
        if response["ok"]:
            self.hello = response["payload"]
        return response

    async def send(self, method: str, params: Any = None, request_id: str | None = None) -> str:
        frame: dict[str, Any] = {"type": "req", "id": request_id or secrets.token_hex(4), "method": method}
        if params is not None:
            frame["params"] = params
        await self.socket.send_str(json.dumps(frame))
        return str(frame["id"])

    async def receive(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.socket.receive(), 10)
        assert message.type is aiohttp.WSMsgType.TEXT, (message.type, message.data, message.extra)
        frame: dict[str, Any] = json.loads(message.data)
        return frame

    async def answer(self, request_id: str) -> dict[str, Any]:
        """The response with that id; events before it are kept in `events`."""
        while True:
            frame = await self.receive()
            if frame["type"] == "event":
                self.events.append(frame)
            elif frame["id"] == request_id:
                return frame

    async def call(self, method: str, params: Any = None) -> dict[str, Any]:
        return await self.answer(await self.send(method, params))

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        for index, frame in enumerate(self.events):
            if frame["event"] == name:
                return self.events.pop(index)
        while True:
            frame = await self.receive()
            if frame["type"] == "event" and frame["event"] == name:
                return frame
            if frame["type"] == "event":
                self.events.append(frame)

    async def closed(self) -> tuple[int | None, str]:
        """Code and reason of the close frame that comes."""
        while True:
            message = await asyncio.wait_for(self.socket.receive(), 10)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return self.socket.close_code, ""


def moltbot(key: Key = ADA, **fields: Any) -> MoltbotFacts:
    """A Moltbot that is there and well."""
    fields.setdefault("uid", f"uid-{key.name}")
    fields.setdefault("phase", "Asleep")
    fields.setdefault("model", "demo")
    return MoltbotFacts(key=key, created_at=fields.pop("created_at", BORN), **fields)


@asynccontextmanager
async def running_router(
    directory: Path, *, clock: Clock | None = None, static: bool = True, stop_seconds: float = 1.0, **settings: Any
) -> AsyncIterator[World]:
    """A router with its keys, one sleeping Moltbot `ada` with TOKEN, and no pod."""
    clock = clock or SystemClock()
    master = MasterKeys.generate()
    keys = directory / "keys"
    keys.mkdir(parents=True)
    (keys / "keys.json").write_text(master.branches(ROUTER_PURPOSES).to_json())
    (directory / "admin").write_text(ADMIN_KEY)
    pages = directory / "static"
    if static:
        (pages / "assets").mkdir(parents=True)
        (pages / "index.html").write_text("<!doctype html><title>chat</title>")
        (pages / "admin.html").write_text("<!doctype html><title>administration</title>")
        (pages / "assets" / "index-Ab12Cd34.js").write_text("// " + "x" * 2000)
        (pages / "assets" / "pages.css").write_text("body{}")
    cluster = MemoryCluster(clock)
    cluster.add(moltbot(verifiers=(make_verifier(master.key_ring(ROUTER_PURPOSES, "uid-ada"), TOKEN),)))
    # The pods' ports are the same for every pod of a router. Bound and never listening, these sockets keep them from other processes'
    # tests.
    reserved = [reserve_port(), reserve_port()]
    ports = (reserved[0].getsockname()[1], reserved[1].getsockname()[1])
    options: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "keys_dir": str(keys),
        "admin_key_file": str(directory / "admin"),
        "static_dir": str(pages),
        "hold_seconds": 10.0,
    }
    router = Router(Settings(**(options | settings)), cluster, cluster, clock, gateway_ports=ports, stop_seconds=stop_seconds)
    await router.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        world = World(router, cluster, master, clock, http, ports=ports)
        try:
            yield world
        finally:
            await router.close()
            for pod in world.pods:
                await pod.stop()
            for held in reserved:
                held.close()


def reserve_port() -> socket.socket:
    """A port of loopback that only sockets with SO_REUSEPORT can share."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", 0))
    return made
