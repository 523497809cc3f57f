"""What these tests stand on: a gateway in this process that asks the strict fake of the Messages API, and one connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moltbot_gateway.life import Given
from moltbot_gateway.tools.base import Run, Tool, object_schema
from moltbot_trust.clock import Clock
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.gateway_client import MAIN, PATIENCE, SealedClient
from tests.gateway.pod import Live, Pod, start

KEY = "sk-ant-test-key"
MODEL = "claude-sonnet-5-5"
GROUP = "agent:main:telegram:group:-100"


def environ_of(fake: FakeAnthropic, agent: Mapping[str, object] | None = None, **more: str) -> dict[str, str]:
    """The environment of a pod that asks this fake. `agent`: MOLTBOT_AGENT over what suits tests."""
    config = {"confinement": "pod", "programs": "allow", **(agent or {})}
    return {
        "MOLTBOT_MODEL_ADAPTER": "anthropic",
        "MOLTBOT_MODEL_API_KEY": KEY,
        "MOLTBOT_MODEL_BASE_URL": fake.url,
        "MOLTBOT_AGENT": json.dumps(config),
        **more,
    }


@dataclass
class Stage:
    live: Live
    client: SealedClient
    fake: FakeAnthropic
    state_dir: Path

    @property
    def workspace(self) -> Path:
        return self.state_dir / "current" / "workspace"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Of all requests that the fake received."""
        return [request.body for request in self.fake.requests]

    def agent_events(self, run: str, stream: str) -> list[dict[str, Any]]:
        """`data` of a run's agent events."""
        return [
            event["payload"]["data"]
            for event in self.client.events
            if event["event"] == "agent" and event["payload"]["runId"] == run and event["payload"]["stream"] == stream
        ]

    async def wait_tool(self, run: str, phase: str = "start", name: str = "") -> dict[str, Any]:
        """The first event of a call."""

        def found(event: dict[str, Any]) -> bool:
            payload = event["payload"]
            return (
                event["event"] == "agent"
                and (payload["runId"], payload["stream"]) == (run, "tool")
                and payload["data"]["phase"] == phase
                and name in (payload["data"]["name"], "")
            )

        data: dict[str, Any] = (await self.client.wait_for(found))["payload"]["data"]
        return data

    async def messages(self, session: str = MAIN) -> list[dict[str, Any]]:
        """The whole history as it goes over the wire."""
        found: list[dict[str, Any]] = (await self.client.call("chat.history", sessionKey=session))["messages"]
        return found

    async def results(self, session: str = MAIN) -> list[str]:
        """What the model was told of its calls."""
        return [message["content"][0]["text"] for message in await self.messages(session) if message["role"] == "toolResult"]

    async def until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.live.running.gateway.busy:
                await asyncio.sleep(0.002)  # polling a flag: nothing is synchronised by this pause


@contextlib.asynccontextmanager
async def on_stage(
    fake: FakeAnthropic,
    state_dir: Path,
    *,
    agent: Mapping[str, object] | None = None,
    tools: Sequence[Tool] = (),
    clock: Clock | None = None,
    person: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    pod = Pod(state_dir, environ=environ_of(fake, agent))
    async with start(pod, clock=clock, given=Given(person or {}, tools)) as live, SealedClient.connect(live.address) as client:
        yield Stage(live, client, fake, state_dir)


@contextlib.asynccontextmanager
async def faked(**options: Any) -> AsyncIterator[FakeAnthropic]:
    fake = FakeAnthropic(**options)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


def tool(name: str, run: Run, **more: Any) -> Tool:
    """A tool beside the ordinary ones."""
    return Tool(name, more.pop("label", name.title()), f"For a test: {name}.", more.pop("schema", object_schema()), run, **more)


def call(name: str, **arguments: object) -> str:
    """A marker for the fake: the model calls that tool."""
    return f"[fake:call {name} {json.dumps(arguments)}]"


def results_in(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool results of a request's last message."""
    return [block for block in body["messages"][-1]["content"] if block["type"] == "tool_result"]
