"""What the model thought goes back to it unchanged; what it read before is read from the cache; what is sent is lean and stays the same."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.agent.stage import GROUP, Stage, call, on_stage
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan
from tests.fakes.gateway_client import MAIN, text_of


def _bare(value: Any) -> Any:
    """Without cache marks, which move: they are no part of what is kept."""
    if isinstance(value, dict):
        return {name: _bare(item) for name, item in value.items() if name != "cache_control"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def prefix_of(body: dict[str, Any]) -> bytes:
    """The bytes that the provider keeps: tools, system, messages, in this order, without the closing bracket."""
    blocks = [[message["role"], block] for message in body["messages"] for block in message["content"]]
    return json.dumps(_bare([body.get("tools", []), body.get("system", []), *blocks]), ensure_ascii=False)[:-1].encode()


@pytest.mark.parametrize("redacted", [False, True])
async def test_a_thought_is_told_kept_and_sent_back_unchanged(redacted: bool, stage: Stage) -> None:
    await stage.client.call("sessions.patch", key=MAIN, thinkingLevel="high")
    stage.fake.script(Plan(thought="First I list.", calls=(Call("list", {}),), redacted=redacted), Plan("Done.", thought="Now I know."))
    run = await stage.client.send("look")
    assert text_of(await stage.client.wait_end(run)) == "Done."
    told = [event["text"] for event in stage.agent_events(run, "thinking")]
    assert ("First I list." in told) is not redacted
    assert "Now I know." in told
    answer = stage.bodies[-1]["messages"][-2]
    thought = answer["content"][0]
    assert thought["type"] == ("redacted_thinking" if redacted else "thinking")
    assert thought.get("signature") or thought.get("data")  # the strict fake has checked that it is the very one
    shown = next(message for message in await stage.messages() if message["role"] == "assistant")["content"][0]
    assert shown["type"] == "thinking"
    assert shown["thinking"] == ("" if redacted else "First I list.")
    stage.fake.script(Plan("And on."))
    assert await stage.client.say("and now?") == "And on."
    assert stage.bodies[-1]["messages"][1]["content"][0] == thought


async def test_reads_from_the_cache_are_reported_in_usage(stage: Stage) -> None:
    await stage.client.say("hello")
    await stage.client.say("again")
    first, second = [message["usage"] for message in await stage.messages() if message["role"] == "assistant"]
    assert first["cacheWrite"] > 0
    assert second["cacheRead"] >= first["cacheWrite"]
    total = (await stage.client.call("usage.cost"))["totals"]
    assert (total["cacheRead"], total["cacheWrite"]) == (second["cacheRead"], first["cacheWrite"] + second["cacheWrite"])
    assert total["totalTokens"] == first["totalTokens"] + second["totalTokens"]


async def test_hello_with_the_default_tools_sends_less_than_12_000_bytes(stage: Stage) -> None:
    await stage.client.say("hello")
    assert len(stage.bodies[0]["tools"]) >= 18
    assert int(stage.fake.requests[0].headers["content-length"]) < 12_000


async def test_what_was_sent_is_a_prefix_of_what_is_sent_next(fake: FakeAnthropic, tmp_path: Path) -> None:
    """Byte by byte, over turns, steps, errors, stops, commands, notes and a restart; each request is the next one's beginning."""
    async with on_stage(fake, tmp_path) as stage:
        await stage.client.say("hello")
        await stage.client.say(
            f"{call('write', path='a.txt', content='x')}{call('read', path='a.txt')}[fake:then]{call('list')}[fake:then]Ok."
        )
        await stage.client.say("/status")
        await stage.client.wait_end(await stage.client.send("[fake:unauthorized]"))
        fake.script(
            Plan(thought="Hm.", said="I send it.", calls=(Call("message", {"to": "telegram:1", "text": "noted"}), Call("list", {})))
        )
        await stage.client.say("tell them [fake:then]Told.")
        run = await stage.client.send("[fake:stall]")
        await stage.client.wait_delta(run)
        await stage.client.call("chat.abort", sessionKey=MAIN)
        await stage.client.wait_end(run)
        await stage.client.say("in a group", session=GROUP)
        await stage.client.say("still there?")
        await stage.until_idle()
    async with on_stage(fake, tmp_path) as stage:
        await stage.client.say("and after a restart?")
        await stage.client.say("and again?")
    ours = [prefix_of(body) for body in stage.bodies if "in a group" not in str(body["messages"])]
    assert len(ours) == 11
    for earlier, later in itertools.pairwise(ours):
        assert later.startswith(earlier)
    assert "noted" in ours[-1].decode()


async def test_a_note_that_comes_in_the_middle_of_a_turn_parts_nothing(stage: Stage) -> None:
    """What the assistant sends elsewhere stands in the conversation before the call's result does."""
    stage.fake.script(Plan(calls=(Call("message", {"to": "telegram:1", "text": "Dinner at eight"}),)), Plan("Sent."), Plan("At eight."))
    assert await stage.client.say("tell them") == "Sent."
    assert stage.bodies[1]["messages"][-1]["role"] == "user"
    assert await stage.client.say("when?") == "At eight."
    assert "Dinner at eight" in str(stage.bodies[-1]["messages"][-2])
