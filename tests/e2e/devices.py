"""A person's app: a paired device on the router's WebSocket, through a port-forward. What goes over the protocol needs no page."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from moltbot_kube import Object
from moltbot_kube.resources import PODS
from tests.e2e.cluster import FAKES_ADDRESS, SECONDS, Place, command, forwarded
from tests.e2e.release import NAMESPACE
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.gateway_client import CallFailed, SealedClient, text_of
from tests.router.world import Browser

MOLTBOT = str(Path(sys.executable).parent / "kubectl-moltbot")
SCOPES = ("operator.admin", "operator.approvals", "operator.read", "operator.write")
KEY = "sk-ant-the-model-key-of-the-cluster"


@asynccontextmanager
async def open_model() -> AsyncIterator[FakeAnthropic]:
    """The strict fake of the Messages API, where pods reach it."""
    fake = FakeAnthropic(api_key=KEY)
    await fake.start(FAKES_ADDRESS)
    try:
        yield fake
    finally:
        await fake.stop()


async def model_spec(place: Place, fake: FakeAnthropic, spec: Mapping[str, Any]) -> dict[str, Any]:
    """That spec with the fake for a model, and Secret `model` for its key."""
    port = int(fake.url.rpartition(":")[2])
    await place.secret("model", {"ANTHROPIC_API_KEY": KEY})
    gateway, model = spec.get("gateway", {}), spec.get("model", {})
    egress = [{"cidr": f"{FAKES_ADDRESS}/32", "ports": [{"port": port}]}, *gateway.get("egress", ())]
    own = {"model": {"baseURL": fake.url, **model}, "gateway": {**gateway, "egress": egress}}
    return {**spec, **own, "secretsFrom": [{"name": "model"}]}


async def claude(place: Place, fake: FakeAnthropic, spec: Mapping[str, Any], name: str = "ada") -> None:
    """A Moltbot whose model is the fake; `spec` says the rest."""
    await place.moltbot(name, await model_spec(place, fake, spec))


class Device:
    """`port`: where the router is reached. `pair` once; `connect` as often as is wanted, also while it sleeps: that wakes nothing."""

    def __init__(self, place: Place, name: str, port: int) -> None:
        self.place, self.name, self._port = place, name, port
        self._key = Browser("App on a cluster")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[SealedClient]:
        """Raises CallFailed with NOT_PAIRED before it is approved."""
        token = await self.place.token(self.name)
        headers = {"Host": f"{self.name}--{self.place.namespace}.localhost"}
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{self._port}/", headers=headers, max_msg_size=0) as socket:
                client = SealedClient(socket)
                challenge = (await client.wait_for(lambda event: event["event"] == "connect.challenge"))["payload"]
                signed = self._key.params(challenge["nonce"], now_ms=challenge["ts"], token=token, scopes=SCOPES)
                await client.call_with("connect", signed)
                yield client

    async def wake(self) -> None:
        """As `kubectl moltbot wake`, until the router knows that it is open too: reading wakes nothing, and is not held."""
        await self.place.ask(self.name, "wake")

        def ready(pod: Object | None) -> bool:
            found = ((pod or {}).get("status") or {}).get("conditions", ())
            return any(one["type"] == "Ready" and one["status"] == "True" for one in found)

        await self.place.until(PODS, f"{self.name}-gateway-0", ready)

    async def pair(self) -> None:
        """Asked for by connecting, approved as a person without a browser does it (lock 3)."""
        with pytest.raises(CallFailed, match="NOT_PAIRED"):
            async with self.connect():
                pass
        await command(MOLTBOT, "-n", self.place.namespace, "devices", "approve", self._key.id[:8])


@asynccontextmanager
async def open_device(place: Place, name: str = "ada") -> AsyncIterator[Device]:
    """A paired one."""
    async with forwarded(NAMESPACE, "svc/moltbot-router", 8080) as port:
        device = Device(place, name, port)
        await device.pair()
        yield device


def call_marker(tool: str, **given: object) -> str:
    """What makes the fake call that tool."""
    return f"[fake:call {tool} {json.dumps(given)}]"


async def use(client: SealedClient, tool: str, **given: object) -> str:
    """One turn in which the model calls the tool; what the model read of it."""
    end = await client.wait_end(await client.send(f"{call_marker(tool, **given)} [fake:then] {{results}}"), SECONDS)
    assert end["state"] == "final", end
    return text_of(end)
