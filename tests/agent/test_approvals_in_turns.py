"""A turn that waits for a person's word: once, always, no, nobody; and whoever asked going away meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.tools.base import Risk, ToolCall, ToolOutcome, object_schema
from moltbot_protocol.methods import Scope
from moltbot_trust.seals import Seal
from tests.agent.stage import Stage, on_stage, tool
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import SealedClient, text_of

DONE: list[str] = []


async def _act(given: ToolCall) -> ToolOutcome:
    DONE.append(given.text("what"))
    return ToolOutcome(f"did {given.text('what')}")


ACT = tool("act", _act, risk=Risk.PROGRAMS, schema=object_schema({"what": {"type": "string"}}), describe=lambda given: str(given["what"]))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stage(fake: FakeAnthropic, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Stage]:
    DONE.clear()
    async with on_stage(fake, tmp_path, agent={"programs": "ask"}, tools=[ACT], clock=clock) as ready:
        yield ready


async def _asked(client: SealedClient, what: str) -> dict[str, Any]:
    event = await client.wait_for(
        lambda event: event["event"] == "exec.approval.requested" and what in event["payload"]["request"]["command"]
    )
    payload: dict[str, Any] = event["payload"]
    return payload


def _act_on(stage: Stage, what: str) -> None:
    stage.fake.script(Plan(calls=(Call("act", {"what": what}),)), Plan("Done."))


@pytest.mark.parametrize("decision", ["allow-once", "deny"])
async def test_one_call_is_decided(decision: str, stage: Stage) -> None:
    _act_on(stage, "sweep")
    run = await stage.client.send("do it")
    request = await _asked(stage.client, "sweep")
    assert (request["request"]["runId"], request["request"]["tool"]) == (run, "act")
    assert DONE == []
    await stage.client.call("exec.approval.resolve", id=request["id"], decision=decision)
    assert text_of(await stage.client.wait_end(run)) == "Done."
    assert (["sweep"] if decision == "allow-once" else []) == DONE
    (result,) = await stage.results()
    assert ("did not allow" in result) is (decision == "deny")
    _act_on(stage, "sweep")
    await stage.client.send("and again")
    await stage.client.wait_for(lambda event: event["event"] == "exec.approval.requested" and event["payload"]["id"] != request["id"])


async def test_always_is_kept_and_nobody_is_asked_again(stage: Stage) -> None:
    _act_on(stage, "sweep")
    run = await stage.client.send("do it")
    request = await _asked(stage.client, "sweep")
    await stage.client.call("exec.approval.resolve", id=request["id"], decision="allow-always")
    await stage.client.wait_end(run)
    _act_on(stage, "sweep")
    assert await stage.client.say("and again") == "Done."
    assert DONE == ["sweep", "sweep"]


async def test_the_slash_command_decides_too(stage: Stage) -> None:
    _act_on(stage, "sweep")
    run = await stage.client.send("do it")
    request = await _asked(stage.client, "sweep")
    assert "done" in await stage.client.say(f"/approve {request['id']} once")
    assert text_of(await stage.client.wait_end(run)) == "Done."
    assert DONE == ["sweep"]
    assert "unknown or expired" in await stage.client.say(f"/approve {request['id']} once")


async def test_a_device_without_the_right_decides_nothing(stage: Stage) -> None:
    _act_on(stage, "sweep")
    await stage.client.send("do it")
    request = await _asked(stage.client, "sweep")
    seal = Seal("b" * 64, "operator", (Scope.READ, Scope.WRITE), 1, "a writer")
    async with SealedClient.connect(stage.live.address, seal) as other:
        assert "may not approve" in await other.say(f"/approve {request['id']} once")
    assert DONE == []
    assert [one["id"] for one in await stage.client.call("exec.approval.list")] == [request["id"]]


async def test_nobody_decides_and_the_turn_goes_on_without_it(stage: Stage, clock: FakeClock) -> None:
    _act_on(stage, "sweep")
    run = await stage.client.send("do it")
    await _asked(stage.client, "sweep")
    await clock.advance(301)
    assert text_of(await stage.client.wait_end(run)) == "Done."
    assert DONE == []
    assert "Nobody answered within 5 minutes" in (await stage.results())[0]


async def test_whoever_comes_back_still_finds_the_question(stage: Stage) -> None:
    _act_on(stage, "sweep")
    async with SealedClient.connect(stage.live.address) as first:
        run = await first.send("do it")
        await _asked(first, "sweep")
    async with SealedClient.connect(stage.live.address) as second:
        (request,) = await second.call("exec.approval.list")
        await second.call("exec.approval.resolve", id=request["id"], decision="allow-once")
        assert text_of(await second.wait_end(run)) == "Done."
    assert DONE == ["sweep"]


async def test_calls_that_may_not_be_made_at_all_ask_nobody(fake: FakeAnthropic, tmp_path: Path) -> None:
    DONE.clear()
    async with on_stage(fake, tmp_path, agent={"programs": "deny"}, tools=[ACT]) as stage:
        _act_on(stage, "sweep")
        assert await stage.client.say("do it") == "Done."
        assert "switched off" in (await stage.results())[0]
    assert DONE == []
