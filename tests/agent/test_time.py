"""Heartbeats and jobs as turns of the real loop: what they leave, and what they do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.agent.phases import asked
from tests.agent.stage import Stage, on_stage
from tests.agent.test_thinking_and_cache import prefix_of
from tests.fakes.anthropic_api import ApiError, FakeAnthropic, Plan, said_by_person
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import MAIN, text_of

MINUTE = 60_000
BEATS: Mapping[str, object] = {"heartbeat": {"everyMs": 30 * MINUTE, "prompt": "", "model": ""}}


async def _beat(stage: Stage, clock: FakeClock) -> dict[str, Any]:
    """The next heartbeat's event."""
    at_ms = round((clock.epoch() + 30 * 60) * 1000)
    await clock.advance(30 * 60)
    event = await stage.client.wait_for(lambda event: event["event"] == "heartbeat" and event["payload"]["ts"] == at_ms)
    payload: dict[str, Any] = event["payload"]
    return payload


async def test_a_heartbeat_without_news_leaves_nothing_in_the_conversation_or_the_next_request(fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, agent=BEATS, clock=clock) as stage:
        await stage.client.say("hello")
        assert (await _beat(stage, clock))["reason"] == "nothing to do"
        assert len(fake.requests) == 1
        (stage.workspace / "HEARTBEAT.md").write_text("- look at the weather\n")
        before = await stage.messages()
        fake.script(Plan("HEARTBEAT_OK"))
        assert (await _beat(stage, clock))["status"] == "ok"
        assert len(fake.requests) == 2
        assert "look at the weather" in str(stage.bodies[1])
        assert said_by_person(stage.bodies[1])[0] == "hello"
        assert await stage.messages() == before
        await stage.client.say("again")
        assert said_by_person(stage.bodies[2]) == ["hello", "again"]
        # What was said before is read from the cache by both, and what was thought is taken back.
        assert all(prefix_of(later).startswith(prefix_of(stage.bodies[0])) for later in stage.bodies[1:])
        assert "HEARTBEAT" not in str(stage.bodies[2]["messages"])
        told = [event["payload"]["runId"] for event in stage.client.events if event["event"] in ("chat", "agent")]
        assert not [run for run in told if run.startswith("heartbeat:")]


@pytest.mark.parametrize("how", ["refused", "limit"])
async def test_a_heartbeat_that_fails_leaves_nothing_either(how: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    limits = {"model": {"limits": {"tokensPerDay": 100}}} if how == "limit" else {}
    async with on_stage(fake, tmp_path, agent={**BEATS, **limits}, clock=clock) as stage:
        await stage.client.say("hello")
        (stage.workspace / "HEARTBEAT.md").write_text("- look at the weather\n")
        before = await stage.messages()
        fake.script(ApiError(401, "authentication_error", "invalid x-api-key"))
        beat = await _beat(stage, clock)
        assert beat["status"] == "failed"
        assert ("limit" if how == "limit" else "key") in beat["reason"]
        assert await stage.messages() == before
        if how == "limit":
            assert (await _beat(stage, clock))["reason"] == "the day's limit is reached"
            assert len(fake.requests) == 1


async def test_while_a_heartbeat_looks_around_nobody_sees_it_and_what_it_finds_is_told(fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, agent=BEATS, clock=clock) as stage:
        await stage.client.say("hello")
        (stage.workspace / "HEARTBEAT.md").write_text("- look at the weather\n")
        fake.word_pause = 0.01
        fake.script(Plan("It will rain in an hour: take an umbrella."))
        await clock.advance(30 * 60)
        await asked(fake, 2)
        assert len(await stage.messages()) == 2
        await stage.client.wait_for(lambda event: event["event"] == "heartbeat" and event["payload"]["status"] == "sent")
        last = (await stage.messages())[-1]
        assert (text_of({"message": last}), last["heartbeat"]) == ("It will rain in an hour: take an umbrella.", True)
        fake.script(Plan("Yes."))
        await stage.client.say("Really?")
        assert "take an umbrella" in str(stage.bodies[-1]["messages"][-2])


def _job(target: str) -> dict[str, object]:
    return {
        "name": "tea",
        "schedule": {"kind": "every", "everyMs": 10 * MINUTE},
        "sessionTarget": target,
        "payload": {"kind": "agentTurn", "message": "make tea"},
    }


async def _finished(stage: Stage) -> dict[str, Any]:
    event = await stage.client.wait_for(lambda event: event["event"] == "cron" and event["payload"]["action"] == "finished")
    payload: dict[str, Any] = event["payload"]
    return payload


@pytest.mark.parametrize("target", ["main", "isolated"])
async def test_a_job_is_a_turn_of_the_conversation_that_it_names(target: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, clock=clock) as stage:
        await stage.client.say("hello")
        job = await stage.client.call("cron.add", **_job(target))
        fake.script(Plan("The tea is ready."))
        await clock.advance(600)
        done = await _finished(stage)
        assert (done["status"], done["summary"]) == ("ok", "The tea is ready.")
        words = said_by_person(stage.bodies[1])
        assert [text for text in words if "make tea" in text]
        assert ("hello" in words) is (target == "main")
        main = await stage.messages()
        assert text_of({"message": main[-1]}) == "The tea is ready."
        if target == "isolated":
            assert main[-1]["job"] == {"id": job["id"], "name": "tea"}
            assert done["sessionKey"] == f"agent:main:cron:{job['id']}"
            assert [role for role, _ in await stage.client.history(done["sessionKey"])] == ["user", "assistant"]
        fake.script(Plan("Good."))
        await stage.client.say("Thanks")
        assert "The tea is ready." in str(stage.bodies[-1]["messages"])


async def test_each_run_in_a_conversation_of_its_own_begins_afresh(fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, clock=clock) as stage:
        await stage.client.call("cron.add", **_job("isolated"))
        for number in (1, 2):
            fake.script(Plan(f"Tea number {number}."))
            await clock.advance(600)
            await asked(fake, number)
            await stage.client.wait_for(lambda event, words=f"Tea number {number}.": words in str(event["payload"]))  # type: ignore[misc]
        first, second = (body["messages"] for body in stage.bodies[:2])
        assert len(first) == len(second) == 1
        assert "Tea number 1." not in str(second)


@pytest.mark.parametrize("target", ["main", "isolated"])
async def test_a_job_at_the_days_limit_fails_in_words_and_asks_nobody(target: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, agent={"model": {"limits": {"tokensPerDay": 100}}}, clock=clock) as stage:
        await stage.client.say("hello")
        await stage.client.call("cron.add", **_job(target))
        await clock.advance(600)
        done = await _finished(stage)
        assert done["status"] == "error"
        assert "limit is reached" in done["error"]
        assert len(fake.requests) == 1
        last = (await stage.messages())[-1]
        assert "limit is reached" in (text_of({"message": last}) + str(last.get("errorMessage", "")))


async def test_a_job_that_a_person_stops_ends_as_stopped(fake: FakeAnthropic, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_stage(fake, tmp_path, clock=clock) as stage:
        await stage.client.call("cron.add", **_job("main"))
        fake.script(Plan("never", head_pause=True))
        await clock.advance(600)
        await asked(fake, 1)
        await stage.client.call("chat.abort", sessionKey=MAIN)
        done = await _finished(stage)
        assert (done["status"], done["error"]) == ("error", "It was stopped.")
