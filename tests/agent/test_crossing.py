"""Two people, a group, a job and the owner at once, in many interleavings: nothing crosses, each run's order is kept."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway.life import Given
from moltbot_gateway.models.base import Completed, ModelEvent, ModelRequest, Text, TextDelta, ToolResult, ToolUse, Usage
from moltbot_gateway.tools.base import ToolCall, ToolOutcome, object_schema
from moltbot_gateway.workspace import scopes
from moltbot_gateway.workspace.scopes import DmScope, Person
from tests.agent.stage import tool
from tests.fakes.gateway_client import MAIN, SealedClient, text_of
from tests.gateway.pod import Pod, start

ANN = scopes.direct_key(DmScope.MAIN, Person("telegram", "ann"), "", ())
BEN = scopes.direct_key(DmScope.MAIN, Person("telegram", "ben"), "", ())
GROUP = scopes.group_key("telegram", "-100")
KEYS = {"owner": MAIN, "ann": ANN, "ben": BEN, "group": GROUP, "job": scopes.cron_key("brief")}
TURNS = 4


class Mixing:
    """A model that takes its time at random, calls a tool where it is offered one, and says what it was told last."""

    provider = "mixing"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.requests: list[ModelRequest] = []

    async def warm(self) -> None:
        return None

    def thinks(self, model: str) -> bool:
        return False

    async def close(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        last = request.turns[-1].blocks[-1]
        await self._while()
        if isinstance(last, Text) and any(given.name == "repeat" for given in request.tools) and self.random.random() < 0.7:
            use = ToolUse(f"call_{len(self.requests)}", "repeat", {"what": last.text})
            yield Completed("tool_use", "mixing-1", Usage(1, 1), (use,))
            return
        said = last.text if isinstance(last, Text) else _text(last)
        for word in said.split():
            await self._while()
            yield TextDelta(f"{word} ")
        yield Completed("stop", "mixing-1", Usage(1, 1))

    async def _while(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)


def _text(block: object) -> str:
    assert isinstance(block, ToolResult)
    return "".join(part.text for part in block.content if isinstance(part, Text))


@pytest.mark.parametrize("seed", range(12))
async def test_nothing_crosses_and_each_runs_order_is_kept(seed: int, tmp_path: Path) -> None:
    model = Mixing(seed)

    async def repeat(given: ToolCall) -> ToolOutcome:
        await model._while()
        return ToolOutcome(given.text("what"))

    given = Given(tools=[tool("repeat", repeat, schema=object_schema({"what": {"type": "string"}}), reads_only=True)])
    async with start(Pod(tmp_path), model=model, given=given) as live:
        async with SealedClient.connect(live.address) as one, SealedClient.connect(live.address) as two:

            async def talk(name: str, client: SealedClient) -> None:
                runs = []
                for number in range(TURNS):
                    runs.append(await client.send(f"{name} {number}", session=KEYS[name]))
                    await model._while()
                for number, run in enumerate(runs):
                    assert text_of(await client.wait_end(run)).split() == [name, str(number)]

            clients = [one, two]
            await asyncio.gather(*(talk(name, model.random.choice(clients)) for name in model.random.sample(sorted(KEYS), len(KEYS))))
            for request in model.requests:
                words = [block.text for turn in request.turns for block in turn.blocks if isinstance(block, Text) and block.text[0] != "["]
                assert len({word.split()[0] for word in words}) == 1
            for name, key in KEYS.items():
                messages = (await one.call("chat.history", sessionKey=key))["messages"]
                text = json.dumps(messages)
                assert not any(f"{other} {number}" in text for other in KEYS if other != name for number in range(TURNS))
                asked = [text_of({"message": message}) for message in messages if message["role"] == "user"]
                assert asked == [f"{name} {number}" for number in range(TURNS)]
                runs = [message["runId"] for message in messages]
                assert runs == sorted(runs, key=runs.index)
            for client in clients:
                _check_events(client)


def _check_events(client: SealedClient) -> None:
    """Of each run: numbered in order, one beginning, one end, which is its last, and no other conversation's key."""
    runs: dict[str, list[dict[str, object]]] = {}
    keys: dict[str, set[object]] = {}
    for event in client.events:
        payload = event["payload"]
        if event["event"] in ("chat", "agent"):
            keys.setdefault(payload["runId"], set()).add(payload["sessionKey"])
        if event["event"] == "chat":
            runs.setdefault(payload["runId"], []).append(payload)
    for payloads in runs.values():
        numbers = [payload["seq"] for payload in payloads]
        assert numbers == sorted(numbers, key=lambda number: int(str(number)))
        ends = [payload for payload in payloads if payload["state"] in ("final", "error", "aborted")]
        assert ends == payloads[-1:]
    assert all(len(found) == 1 for found in keys.values())
