"""The tool that sends: into the outbox where a channel is connected, and plainly not where none is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway.delivery.outbox import Exchange, Outbox
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Message
from moltbot_gateway.tools.base import ToolCall, ToolOutcome
from moltbot_gateway.tools.message import MAX_TEXT, message_tool
from tests.fakes.clock import FakeClock
from tests.schedule.world import main_texts


class Bench:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.noted: list[Message] = []
        self.outbox = Outbox(database, FakeClock(), self.noted.append)
        self.channels: dict[str, int] = {}
        self._tool = message_tool(self.outbox, lambda: self.channels)

    async def send(self, to: str, text: str, *, call_id: str = "c1", private: bool = True) -> ToolOutcome:
        return await self._tool.run(ToolCall(call_id, "message", {"to": to, "text": text}, "agent:main:main", "r1", private))

    async def waiting(self) -> list[tuple[str, str]]:
        return [(part.target, part.text) for part in await self.outbox.exchange(Exchange())]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await Database.open(tmp_path / "moltbot.sqlite")
    yield Bench(database)
    await database.close()


async def test_without_a_channel_it_says_so(bench: Bench) -> None:
    outcome = await bench.send("telegram:1", "hello")
    assert (outcome.error, outcome.details) == (False, {"sent": False})
    assert "No channel is connected" in outcome.model
    assert await bench.waiting() == []
    assert await bench.database.read(main_texts) == ["hello"]
    assert [note.detail for note in bench.noted] == [{"delivered": {"to": "telegram:1", "parts": 0}}]


async def test_with_a_channel_it_goes_out_once(bench: Bench) -> None:
    bench.channels["telegram"] = 64
    for _ in range(2):  # the same call, carried out again
        outcome = await bench.send("telegram:1", f"{'a' * 60} {'b' * 60}")
        assert (outcome.error, outcome.details["parts"]) == (False, 2)
    await bench.send("telegram:1", "c", call_id="c2")
    assert await bench.waiting() == [("telegram:1", "a" * 60), ("telegram:1", "b" * 60), ("telegram:1", "c")]
    assert len(bench.noted) == 2


@pytest.mark.parametrize(
    ("to", "text", "private", "words"),
    [
        ("discord:1", "hello", True, "connected: telegram:<chat>"),
        ("telegram", "hello", True, "is no place"),
        ("telegram:1", "  ", True, "empty"),
        ("telegram:1", "x" * (MAX_TEXT + 1), True, "at most"),
        ("telegram:1", "hello", False, "only from the owner's own conversation"),
    ],
)
async def test_what_is_not_sent_is_told(bench: Bench, to: str, text: str, private: bool, words: str) -> None:
    bench.channels["telegram"] = 64
    outcome = await bench.send(to, text, private=private)
    assert outcome.error
    assert words in outcome.model
    assert (await bench.waiting(), bench.noted) == ([], [])
