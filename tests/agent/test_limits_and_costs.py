"""What answers cost, and the day's limits: said, kept to, and over with the day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.models import facts
from tests.agent.stage import Stage, call, on_stage, tool
from tests.agent.test_tool_loops import _floods
from tests.fakes.anthropic_api import FakeAnthropic, Plan
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import MAIN

OTHER = "agent:main:other"
LIMITS: dict[str, dict[str, int]] = {"tokens": {"tokensPerDay": 1_000}, "money": {"microDollarsPerDay": 500}}


@pytest.mark.parametrize("limit", LIMITS)
async def test_at_the_days_limit_it_says_so_and_stops_until_the_next_day(limit: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()  # eight in the morning in London, nine in Berlin
    config = {"model": {"limits": LIMITS[limit]}, "timeZone": "Europe/Berlin"}
    async with on_stage(fake, tmp_path, agent=config, clock=clock) as stage:
        await stage.client.say("hello")  # the first question is answered, whatever it costs
        end = await stage.client.wait_end(await stage.client.send("again"))
        assert (end["state"], end["errorKind"]) == ("error", "rate_limit")
        assert "Today's limit is reached" in end["errorMessage"]
        assert "15 h 0 min from now" in end["errorMessage"]
        assert len(fake.requests) == 1
        ready = stage.live.running.gateway.conditions.get("ModelReady")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "ModelLimitReached")
        limits = (await stage.client.call("usage.cost"))["limits"]
        assert limits["reached"] is True
        assert limits["tokensToday"] > 0
        assert limits["dollarsToday"] > 0
        await clock.advance(14 * 3600)
        assert (await stage.client.wait_end(await stage.client.send("at eleven in the evening")))["state"] == "error"
        await clock.advance(3600)
        assert "turn" in await stage.client.say("at midnight in Berlin")
        ready = stage.live.running.gateway.conditions.get("ModelReady")
        assert ready is not None
        assert ready.reason == "Answered"


async def test_a_tool_loop_stops_at_the_limit_too(fake: FakeAnthropic, tmp_path: Path) -> None:
    config = {"model": {"limits": LIMITS["tokens"]}}
    async with on_stage(fake, tmp_path, agent=config, tools=[tool("floods", _floods)]) as stage:
        end = await stage.client.wait_end(await stage.client.send(f"{call('floods')}[fake:then]Never."))
        assert end["state"] == "error"
        assert "limit is reached" in end["errorMessage"]
        assert len(fake.requests) == 1
        assert (await stage.messages())[-2]["role"] == "toolResult"
        assert "limit is reached" in await stage.client.say("/compact")


def _sum(rows: list[dict[str, Any]], name: str) -> int:
    return sum(int(row["usage"][name]) for row in rows if "usage" in row)


async def test_what_it_cost_is_told_by_turn_session_and_day(fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, clock=clock) as stage:
        await stage.client.say("one")
        await stage.client.say("two", session=OTHER)
        await clock.advance(24 * 3600)
        await stage.client.say("three")
        messages = await stage.messages() + await stage.messages(OTHER)
        cost = await stage.client.call("usage.cost", days=2)
        assert [day["date"] for day in cost["daily"]] == ["2026-11-24", "2026-11-25"]
        assert cost["totals"]["totalTokens"] == _sum(messages, "totalTokens")
        assert [day["requests"] for day in cost["daily"]] == [2, 1]
        assert len((await stage.client.call("usage.cost", days=1))["daily"]) == 1
        dollars = sum(message["usage"]["cost"]["total"] for message in messages if "usage" in message)
        assert cost["totals"]["totalCost"] == pytest.approx(dollars)
        assert dollars > 0
        here = await stage.client.call("sessions.usage", key=OTHER)
        assert here["totals"]["totalTokens"] == _sum(await stage.messages(OTHER), "totalTokens")
        rows = {row["key"]: row for row in (await stage.client.call("sessions.list"))["sessions"]}
        assert rows[MAIN]["cost"] + rows[OTHER]["cost"] == pytest.approx(dollars)
        for method in ("sessions.describe", "chat.startup"):
            row = await stage.client.call(method, **{"key" if method == "sessions.describe" else "sessionKey": MAIN})
            assert (row.get("session") or row.get("sessionInfo"))["cost"] == rows[MAIN]["cost"]
        entry = (await stage.client.call("sessions.patch", key=MAIN, label="x"))["entry"]
        assert entry["cost"] == rows[MAIN]["cost"]


async def test_a_model_whose_price_nobody_knows_is_said_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(facts._CLAUDE_PRICES, ("sonnet", (5, 5)))
    stage.fake.script(Plan("hello"))
    await stage.client.say("hello")
    assert (await stage.messages())[-1]["usage"]["cost"] == {"total": 0, "unknown": True}
    assert (await stage.client.call("usage.cost"))["totals"]["missingCostEntries"] == 1
    assert "without a known price" in await stage.client.say("/usage")
