"""Calls of the model: carried out, answered, told and kept, whatever becomes of them."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from moltbot_gateway.chat import turn
from moltbot_gateway.models.base import Media
from moltbot_gateway.tools.base import MAX_MODEL_TEXT, ToolCall, ToolOutcome, object_schema
from tests.agent.stage import Stage, call, on_stage, results_in, tool
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan
from tests.fakes.gateway_client import text_of

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")


async def test_a_turn_of_several_steps_works_on_real_files(stage: Stage) -> None:
    text = (
        f"[fake:say I write it down.]{call('write', path='plan.txt', content='first')}[fake:then]"
        f"{call('exec', command='cat plan.txt && echo second >> plan.txt')}[fake:then]{call('read', path='plan.txt')}"
        "[fake:then]It holds {result:3}"
    )
    answer = await stage.client.say(text)
    assert "first" in answer
    assert "second" in answer
    assert (stage.workspace / "plan.txt").read_text() == "firstsecond\n"
    messages = await stage.messages()
    assert [message["role"] for message in messages] == ["user", *["assistant", "toolResult"] * 3, "assistant"]
    assert [message.get("stopReason") for message in messages if message["role"] == "assistant"] == ["toolUse"] * 3 + ["stop"]
    assert messages[-1]["steps"] == 4
    assert messages[-1]["usage"]["totalTokens"] > 0
    asked = [block["type"] for block in messages[1]["content"]]
    assert asked[-2:] == ["text", "toolCall"]
    assert {message["toolCallId"] for message in messages if message["role"] == "toolResult"} == {
        block["id"] for message in messages for block in message["content"] if block["type"] == "toolCall"
    }


async def test_each_call_is_told_when_it_begins_and_when_it_ends(stage: Stage) -> None:
    run = await stage.client.send(call("exec", command="echo told"))
    await stage.client.wait_end(run)
    start, *_, end = stage.agent_events(run, "tool")
    assert (start["phase"], start["name"], start["args"], start["describe"]) == ("start", "exec", {"command": "echo told"}, "echo told")
    assert (end["phase"], end["isError"], end["toolCallId"]) == ("result", False, start["toolCallId"])
    assert "told" in end["result"]["text"]
    assert end["meta"]["durationMs"] >= 0
    phases = [event["phase"] for event in stage.agent_events(run, "lifecycle")]
    assert phases == ["start", "end"]


async def test_calls_that_only_read_run_side_by_side(fake: FakeAnthropic, tmp_path: Path) -> None:
    barrier = asyncio.Barrier(3)

    async def meet(given: ToolCall) -> ToolOutcome:
        await barrier.wait()  # nobody passes unless all three are here
        return ToolOutcome(given.text("who"))

    schema = object_schema({"who": {"type": "string"}})
    async with on_stage(fake, tmp_path, tools=[tool("meet", meet, reads_only=True, schema=schema, timeout=10)]) as stage:
        answer = await stage.client.say(f"{call('meet', who='a')}{call('meet', who='b')}{call('meet', who='c')}[fake:then]{{results}}")
    assert answer == "a\nb\nc"


async def test_calls_that_change_something_run_in_order_and_alone(fake: FakeAnthropic, tmp_path: Path) -> None:
    running: list[str] = []
    seen: list[tuple[str, ...]] = []

    async def note(given: ToolCall) -> ToolOutcome:
        running.append(given.text("who"))
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append(tuple(running))
        running.remove(given.text("who"))
        return ToolOutcome(given.text("who"))

    schema = object_schema({"who": {"type": "string"}})
    given = [tool("change", note, schema=schema), tool("look", note, schema=schema, reads_only=True)]
    async with on_stage(fake, tmp_path, tools=given) as stage:
        calls = [call("change", who="1"), call("look", who="2"), call("look", who="3"), call("change", who="4"), call("change", who="5")]
        assert await stage.client.say("".join(calls) + "[fake:then]{results}") == "1\n2\n3\n4\n5"
    assert [together for together in seen if set(together) & {"1", "4", "5"}] == [("1",), ("4",), ("5",)]
    assert {frozenset(together) for together in seen} >= {frozenset({"2", "3"})}


async def _raises(given: ToolCall) -> ToolOutcome:
    raise RuntimeError("/secret/path of ours")


async def _own_timeout(given: ToolCall) -> ToolOutcome:
    raise TimeoutError("a timeout of the tool's own")


async def _hangs(given: ToolCall) -> ToolOutcome:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def _floods(given: ToolCall) -> ToolOutcome:
    return ToolOutcome("a" * MAX_MODEL_TEXT + "middle" + "z" * MAX_MODEL_TEXT, details={"much": "x" * 100_000})


async def _odd(given: ToolCall) -> ToolOutcome:
    return ToolOutcome("half a sign \ud83d", details={"path": Path("/a"), "sign": "\udc00"})


SPECIAL = [
    tool("raises", _raises),
    tool("impatient", _own_timeout, timeout=None),
    tool("hangs", _hangs, timeout=0.05),
    tool("floods", _floods),
    tool("odd", _odd),
    tool("counts", _floods, schema=object_schema({"many": {"type": "integer", "minimum": 1}})),
]
WORDS: dict[str, tuple[Call, str]] = {
    "an unknown tool": (Call("exce", {"command": "ls"}), "did you mean exec?"),
    "input that is no JSON": (Call("exec", '{"command": "ls"'), "no JSON object"),
    "input that misses something": (Call("counts", {}), "many is missing"),
    "input of another type": (Call("counts", {"many": "three"}), "many must be integer"),
    "input out of bounds": (Call("counts", {"many": 0}), "many must be at least 1"),
    "input too much": (Call("counts", {"many": 1, "more": 2}), "more is not known"),
    "a tool that raises": (Call("raises", {}), "raises failed inside"),
    "a tool with a timeout of its own": (Call("impatient", {}), "impatient failed inside"),
    "a tool that takes too long": (Call("hangs", {}), "took longer than 0.05 seconds"),
}


@pytest.mark.parametrize("case", WORDS)
async def test_what_goes_wrong_with_a_call_is_told_to_the_model_and_the_turn_goes_on(
    case: str, fake: FakeAnthropic, tmp_path: Path
) -> None:
    asked, expected = WORDS[case]
    async with on_stage(fake, tmp_path, tools=SPECIAL) as stage:
        fake.script(Plan(calls=(asked,)), Plan("I see."))
        assert await stage.client.say("do it") == "I see."
        (result,) = results_in(stage.bodies[-1])
        assert result["is_error"] is True
        told = result["content"][0]["text"]
        assert expected in told
        assert "/secret" not in told
        shown = [message for message in await stage.messages() if message["role"] == "toolResult"]
        assert shown[0]["isError"] is True
        assert shown[0]["person"]


async def test_a_result_that_is_too_long_keeps_its_beginning_and_its_end(fake: FakeAnthropic, tmp_path: Path) -> None:
    async with on_stage(fake, tmp_path, tools=SPECIAL) as stage:
        await stage.client.say(f"{call('floods')}[fake:then]Done.")
        (result,) = results_in(stage.bodies[-1])
        text = result["content"][0]["text"]
        assert len(text) < MAX_MODEL_TEXT + 100
        assert text.startswith("aaa")
        assert text.endswith("zzz")
        assert "characters left out" in text
        shown = [message for message in await stage.messages() if message["role"] == "toolResult"]
        assert shown[0]["details"] == {"left out": "too large"}


async def test_what_no_database_takes_is_mended_and_not_lost(fake: FakeAnthropic, tmp_path: Path) -> None:
    """Half a surrogate pair is valid JSON and no text; a path is no JSON."""
    async with on_stage(fake, tmp_path, tools=SPECIAL) as stage:
        fake.script(Plan(calls=(Call("odd", {}), Call("exec", '{"command": "echo \\ud83d"}'))), Plan("Done."))
        assert await stage.client.say("do it") == "Done."
        results = await stage.results()
        assert results[0].startswith("half a sign ")
        assert await stage.client.say("and now?")


async def test_pictures_of_a_tool_reach_the_model_and_the_page(fake: FakeAnthropic, tmp_path: Path) -> None:
    async def look(given: ToolCall) -> ToolOutcome:
        data = base64.b64encode(PNG).decode()
        return ToolOutcome("Here it is.", media=(Media("image/png", data, "a.png"), Media("image/png", "no base64!", "b.png")))

    async with on_stage(fake, tmp_path, tools=[tool("look", look)]) as stage:
        assert await stage.client.say(f"{call('look')}[fake:then]I see it.") == "I see it."
        (result,) = results_in(stage.bodies[-1])
        assert [block["type"] for block in result["content"]] == ["text", "image"]
        assert "b.png" in result["content"][0]["text"]
        shown = next(message for message in await stage.messages() if message["role"] == "toolResult")["content"][1]
        media = await stage.client.call("media.get", id=shown["mediaId"])
        assert base64.b64decode(media["data"]) == PNG


async def test_a_model_that_never_stops_calling_is_stopped(fake: FakeAnthropic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    async def again(given: ToolCall) -> ToolOutcome:
        nonlocal count
        count += 1
        return ToolOutcome("more")

    assert turn.MAX_STEPS == 100
    monkeypatch.setattr(turn, "MAX_STEPS", 8)  # a hundred real requests take some seconds
    async with on_stage(fake, tmp_path, tools=[tool("again", again)]) as stage:
        fake.script(*(Plan(calls=(Call("again", {}),)) for _ in range(9)))
        end = await stage.client.wait_end(await stage.client.send("begin"))
        assert end["state"] == "error"
        assert "stopped after 8 steps" in end["errorMessage"]
        assert count == 8
        assert (await stage.messages())[-1]["stopReason"] == "error"
        fake.script(Plan("Enough."))
        assert await stage.client.say("go on") == "Enough."


async def test_calls_without_a_last_word_end_with_what_was_said_before_them(stage: Stage) -> None:
    stage.fake.script(Plan(said="I look.", calls=(Call("list", {}),)), Plan(""))
    end = await stage.client.wait_end(await stage.client.send("look"))
    assert (end["state"], text_of(end)) == ("final", "I look.")
