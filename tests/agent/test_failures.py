"""Whatever the provider does, the turn ends with a sentence, keeps what had come, and the next one works."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from moltbot_gateway.tools.base import ToolCall, ToolOutcome
from tests.agent.stage import Stage, call, on_stage, tool
from tests.fakes.anthropic_api import ApiError, Call, FakeAnthropic, Plan, said_by_person
from tests.fakes.anthropic_script import SCENARIOS
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import MAIN, text_of

# Scenario: kind of the error, words of its sentence, what of the answer is kept.
BEGINNING = "Once upon a"
ENDS: dict[str, tuple[str, str, str]] = {
    "refusal": ("refusal", "declined", "I"),
    "bad-request": ("unknown", "refused the request", ""),
    "unauthorized": ("unknown", "did not accept the key", ""),
    "billing": ("unknown", "billing", ""),
    "forbidden": ("unknown", "may not use the model", ""),
    "not-found": ("unknown", "does not know the model", ""),
    "cut": ("unknown", "cut in the middle", BEGINNING),
    "early-end": ("unknown", "", BEGINNING),
    "malformed": ("unknown", "not the Messages API", BEGINNING),
    "overloaded-midway": ("rate_limit", "overloaded", BEGINNING),
    "max-tokens": ("unknown", "length limit", "Once upon a time there was an assistant that slept well and forgot nothing."),
    "all-thought": ("unknown", "before it said anything", ""),
    "empty": ("unknown", "empty answer", ""),
    "web-page": ("unknown", "not the Messages API", ""),
    "redirect": ("unknown", "redirects elsewhere", ""),
}


@pytest.mark.parametrize("scenario", ENDS)
async def test_a_failure_ends_with_a_sentence_and_the_next_turn_works(scenario: str, stage: Stage) -> None:
    kind, words, kept = ENDS[scenario]
    run = await stage.client.send(f"[fake:{scenario}]")
    end = await stage.client.wait_end(run)
    assert (end["state"], end["errorKind"], text_of(end)) == ("error", kind, kept)
    assert words in end["errorMessage"]
    last = (await stage.messages())[-1]
    assert (last["errorMessage"], last["errorKind"], text_of({"message": last})) == (end["errorMessage"], kind, kept)
    stage.fake.script(Plan("Better."))
    assert await stage.client.say("and now?") == "Better."
    refused = scenario == "refusal"
    assert said_by_person(stage.bodies[-1]) == (["and now?"] if refused else [f"[fake:{scenario}]", "and now?"])


@pytest.mark.parametrize("scenario", ["overloaded", "server-error", "rate-limit", "overloaded-early"])
async def test_what_passes_is_asked_again_and_told_meanwhile(scenario: str, stage: Stage) -> None:
    run = await stage.client.send(f"[fake:{scenario} times=1 retry-after=0] hello")
    end = await stage.client.wait_end(run)
    assert end["state"] == "final", end
    told = [payload for payload in stage.client.chat(run) if payload["state"] == "status" and payload["phase"] == "retrying"]
    assert len(told) == 1
    assert "asking again" in told[0]["message"]


async def test_a_provider_that_wants_a_long_pause_is_not_waited_for(stage: Stage) -> None:
    end = await stage.client.wait_end(await stage.client.send("[fake:rate-limit retry-after=600]"))
    assert (end["state"], end["errorKind"]) == ("error", "rate_limit")
    assert "10 minutes" in end["errorMessage"]
    assert len(stage.bodies) == 1


async def test_a_turn_has_a_time_limit_of_its_own(stage: Stage) -> None:
    await stage.client.say("hello")  # what the first turn of a process waits for is no part of it
    run = await stage.client.send("[fake:stall]", timeoutMs=2500)
    end = await stage.client.wait_end(run)
    assert (end["state"], end["errorKind"], text_of(end)) == ("error", "timeout", BEGINNING)
    assert "longer than 2.5 seconds" in end["errorMessage"]


async def test_a_failure_in_the_middle_of_a_tool_loop_keeps_what_was_done(stage: Stage) -> None:
    end = await stage.client.wait_end(
        await stage.client.send(f"{call('exec', command='echo done > done.txt')}[fake:then][fake:unauthorized]")
    )
    assert end["state"] == "error"
    assert (stage.workspace / "done.txt").read_text() == "done\n"
    await stage.client.call("chat.continue", sessionKey=MAIN, idempotencyKey="2")
    stage.fake.script(Plan("Finished."))
    assert text_of(await stage.client.wait_end("2")) == "Finished."
    assert sum(block["type"] == "tool_result" for message in stage.bodies[-1]["messages"] for block in message["content"]) == 1


async def test_a_call_that_was_cut_off_is_not_carried_out(stage: Stage) -> None:
    end = await stage.client.wait_end(await stage.client.send('[fake:cut-call exec {"command": "touch never"}]'))
    assert end["state"] == "error"
    assert not (stage.workspace / "never").exists()
    stage.fake.script(Plan("Better."))
    assert await stage.client.say("go on") == "Better."


async def test_a_pause_goes_on_as_the_same_turn(stage: Stage) -> None:
    stage.fake.script(Plan("Half of it,", stop_reason="pause_turn"), Plan("and the rest."))
    end = await stage.client.wait_end(await stage.client.send("hello"))
    assert (end["state"], text_of(end)) == ("final", "and the rest.")
    assert stage.bodies[-1]["messages"][-1]["role"] == "assistant"
    assert [text for role, text in await stage.client.history() if role == "assistant"] == ["Half of it,", "and the rest."]


async def _tick(clock: FakeClock) -> None:
    while True:
        await clock.advance(0.05)
        await asyncio.sleep(0.01)


async def test_a_fallback_answers_also_within_a_tool_loop_and_hands_back(fake: FakeAnthropic, tmp_path: Path) -> None:
    overloaded = ApiError(529, "overloaded_error", "Overloaded", {"retry-after": "0"})
    clock = FakeClock()

    async def look(given: ToolCall) -> ToolOutcome:
        return ToolOutcome("nothing")

    config = {"model": {"fallbacks": ["claude-haiku-4-5"]}}
    async with on_stage(fake, tmp_path, agent=config, clock=clock, tools=[tool("look", look)]) as stage:
        fake.script(Plan(calls=(Call("look", {}),)), overloaded, overloaded, Plan("The other one answers."))
        run = await stage.client.send("look")
        ticking = asyncio.create_task(_tick(clock))  # the pauses between its tries are the clock's
        assert text_of(await stage.client.wait_end(run)) == "The other one answers."
        ticking.cancel()
        assert [body["model"] for body in stage.bodies] == ["claude-sonnet-5-5"] * 3 + ["claude-haiku-4-5"]
        assert (await stage.messages())[-1]["model"] == "claude-haiku-4-5"
        told = [payload["message"] for payload in stage.client.chat(run) if payload["state"] == "status" and payload["phase"] == "retrying"]
        assert "asking claude-haiku-4-5 instead" in told[-1]
        fake.script(Plan("Still the other one."), Plan("Here again."))
        assert await stage.client.say("and you?") == "Still the other one."
        await clock.advance(61)
        assert await stage.client.say("and now?") == "Here again."
        assert [body["model"] for body in stage.bodies[-2:]] == ["claude-haiku-4-5", "claude-sonnet-5-5"]


def test_every_scenario_that_ends_a_turn_badly_is_in_the_table() -> None:
    good = {"recall", "long", "pause", "stop-sequence", "unknown-event", "slow-head", "stall", "quiet", "window", "too-large", "too-long"}
    again = {"overloaded", "overloaded-early", "server-error", "rate-limit", "timeout", "bad-gateway", "credit"}
    assert set(SCENARIOS) == set(ENDS) | good | again
