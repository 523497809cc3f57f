"""A router's side of a gateway's port 18789, small enough for tests: one sealed WebSocket, calls, and the events that came.

async with SealedClient.connect(pod, Seal(...)) as client:
    run = await client.send("hello")
    end = await client.wait_end(run)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from moltbot_protocol.methods import Scope
from moltbot_trust.clock import Clock, SystemClock
from moltbot_trust.control import ControlClient
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.seals import HEADER, Seal, make_seal, pod_audience
from moltbot_trust.tls import fingerprint_of

ADMIN = Seal("a" * 64, "operator", (Scope.ADMIN,), 1, "test device")
MAIN = "agent:main:main"
# Seconds; long, for machines that have much else to do: what takes too long says so itself.
PATIENCE = 60.0


@dataclass
class PodAddress:
    """Where a gateway is, and what a router or operator knows of it. `ring` may hold more purposes than the gateway's own."""

    url: str
    control_url: str
    certificate: str
    ring: KeyRing
    pod_uid: str
    clock: Clock = field(default_factory=SystemClock)

    def pin(self) -> aiohttp.Fingerprint:
        return aiohttp.Fingerprint(bytes.fromhex(fingerprint_of(self.certificate)))

    def seal(self, seal: Seal = ADMIN) -> dict[str, str]:
        return {HEADER: make_seal(self.ring, seal, pod_uid=self.pod_uid, now=self.clock.epoch())}

    def control(self, purpose: Purpose = Purpose.OPERATOR_GATEWAY) -> ControlClient:
        fingerprint = fingerprint_of(self.certificate)
        return ControlClient(self.control_url, fingerprint, self.ring, purpose, pod_audience(self.pod_uid), clock=self.clock)


class CallFailed(Exception):
    """The response was an error; `error` is the wire's object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = error


class SealedClient:
    """Every event is kept in `events`; `lost` is set when the socket closes, `close_code` says how."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.lost = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._heard = asyncio.Condition()
        self._ids = itertools.count(1)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, pod: PodAddress, seal: Seal = ADMIN) -> AsyncIterator[SealedClient]:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(pod.url, ssl=pod.pin(), headers=pod.seal(seal), compress=0, max_msg_size=0) as socket:
                client = cls(socket)
                try:
                    yield client
                finally:
                    client._reader.cancel()
                    await asyncio.wait({client._reader})

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code

    async def call(self, method: str, /, **params: object) -> Any:
        """The payload. Raises CallFailed."""
        return await self.call_with(method, params)

    async def call_with(self, method: str, params: object) -> Any:
        number = str(next(self._ids))
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_str(json.dumps({"type": "req", "id": number, "method": method, "params": params}))
        async with asyncio.timeout(PATIENCE):
            response = await future
        del self._waiting[number]
        if not response["ok"]:
            raise CallFailed(response["error"])
        return response.get("payload")

    async def raw(self, text: str) -> dict[str, Any]:
        """Send a text as it is; the next response."""
        future = self._waiting["invalid"] = asyncio.get_running_loop().create_future()
        await self.socket.send_str(text)
        async with asyncio.timeout(PATIENCE):
            response: dict[str, Any] = await future
        return response

    async def send(self, text: str, *, key: str | None = None, session: str = MAIN, **more: object) -> str:
        """chat.send; returns the run's id."""
        run_id = key or str(uuid.uuid4())
        answer = await self.call_with("chat.send", {"sessionKey": session, "message": text, "idempotencyKey": run_id, **more})
        assert answer["status"] == "started", answer
        return run_id

    async def wait_for(self, found: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE) -> dict[str, Any]:
        """The first event, of all that ever came, for which `found` holds."""
        async with asyncio.timeout(seconds):
            async with self._heard:
                while True:
                    for event in self.events:
                        if found(event):
                            return event
                    if self.lost.is_set():
                        raise ConnectionError(f"the socket closed ({self.close_code}) before the event came")
                    await self._heard.wait()

    async def wait_end(self, run_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Payload of the `chat` event that ends the run."""
        event = await self.wait_for(lambda event: event["event"] == "chat" and _is_end(event["payload"], run_id), seconds)
        payload: dict[str, Any] = event["payload"]
        return payload

    async def wait_delta(self, run_id: str, contains: str = "") -> dict[str, Any]:
        def found(event: dict[str, Any]) -> bool:
            payload = event["payload"]
            return event["event"] == "chat" and payload["runId"] == run_id and payload["state"] == "delta" and contains in text_of(payload)

        payload: dict[str, Any] = (await self.wait_for(found))["payload"]
        return payload

    async def say(self, text: str, *, key: str | None = None, session: str = MAIN, **more: object) -> str:
        """Send, wait for the answer, return its text."""
        end = await self.wait_end(await self.send(text, key=key, session=session, **more))
        assert end["state"] == "final", end
        return text_of(end)

    def chat(self, run_id: str) -> list[dict[str, Any]]:
        """Payloads of all `chat` events of a run so far."""
        return [event["payload"] for event in self.events if event["event"] == "chat" and event["payload"]["runId"] == run_id]

    async def history(self, session: str = MAIN) -> list[tuple[str, str]]:
        answer = await self.call("chat.history", sessionKey=session)
        return [(message["role"], text_of({"message": message})) for message in answer["messages"]]

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                frame = json.loads(message.data)
                if frame["type"] == "res":
                    waiting = self._waiting.get(frame["id"]) or self._waiting.get("invalid")
                    if waiting is not None and not waiting.done():
                        waiting.set_result(frame)
                    continue
                async with self._heard:
                    self.events.append(frame)
                    self._heard.notify_all()
        finally:
            self.lost.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the socket closed"))
            async with self._heard:
                self._heard.notify_all()


def _is_end(payload: dict[str, Any], run_id: str) -> bool:
    return payload["runId"] == run_id and payload["state"] in ("final", "error", "aborted")


def text_of(payload: dict[str, Any]) -> str:
    """The text of a chat event's or a history's message."""
    message = payload.get("message") or {}
    return "".join(part["text"] for part in message.get("content", []) if part["type"] == "text")
