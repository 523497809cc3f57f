"""Steps of a turn by Claude, against the strict fake: calls, thoughts, the kept prefix, pictures and documents, every end."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from moltbot_gateway.models.base import (
    MAX_TOKENS,
    PAUSED,
    STOP,
    TOOL_USE,
    Completed,
    Media,
    ModelRequest,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    ToolUseStarted,
    Turn,
    said,
)
from moltbot_gateway.models.claude import ClaudeModel
from moltbot_gateway.models.claude_body import build_body
from moltbot_gateway.models.connection import Connection, Limits
from moltbot_gateway.models.retrying import RetryPolicy
from moltbot_trust.redaction import Secret
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan
from tests.models.asking import LIST, PDF, PNG, READ, TOOLS, answered, ask, fail, no_pause, request, went_on

SONNET, OLD, OPUS = "claude-sonnet-5-5", "claude-sonnet-4-5", "claude-opus-5-5"
# Over the least that the platform keeps.
PROMPT = "You are ada. " + "Be kind and brief. " * 200


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    server = FakeAnthropic(hold=5.0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def claude(fake: FakeAnthropic) -> AsyncIterator[ClaudeModel]:
    limits = Limits(connect=2, silence=0.3, quiet=0.4)
    model = ClaudeModel(Connection(fake.url, Secret("sk-ant-test-key")), limits=limits, policy=RetryPolicy(retries=0), sleep=no_pause)
    yield model
    await model.close()


def asked(text: str, *, model: str = SONNET, **more: Any) -> ModelRequest:
    return request(text, model=model, tools=TOOLS, **more)


# calls


async def test_parallel_calls_are_told_as_they_begin_and_come_whole(claude: ClaudeModel) -> None:
    told = await ask(claude, asked('[fake:say Looking.] [fake:call read {"path": "ä/] x", "deep": {"n": [1, 2]}}] [fake:call list]'))
    assert told.text == "Looking."
    assert told.started == ["read", "list"]
    assert told.end.stop_reason == TOOL_USE
    first, second = told.calls
    assert (first.name, first.input, first.malformed) == ("read", {"path": "ä/] x", "deep": {"n": [1, 2]}}, "")
    assert (second.name, second.input) == ("list", {})
    assert first.id != second.id
    kinds = [type(block) for block in told.end.blocks]
    assert kinds == [Thinking, Text, ToolUse, ToolUse], "the step is not in its order"
    begun = next(index for index, event in enumerate(told.events) if isinstance(event, ToolUseStarted))
    assert begun < len(told.events) - 2, "a call was only told with the end"


async def test_a_loop_goes_on_with_the_results(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    first = asked('[fake:call read {"path": "a"}] [fake:call list] [fake:then] [fake:call read {"path": "b"}] Read {result:1}, {result:3}.')
    step = await ask(claude, first)
    second = answered(first, step.end, {"read": "apple", "list": "a b"})
    step = await ask(claude, second)
    assert [call.input for call in step.calls] == [{"path": "b"}]
    third = answered(second, step.end, {"read": "banana"})
    assert (await ask(claude, third)).text == "Read apple, banana."
    content = fake.requests[-1].body["messages"][2]["content"]
    assert [block["type"] for block in content] == ["tool_result", "tool_result"]


@pytest.mark.parametrize("text", ['{"path": ', "[1, 2]", "nothing"])
async def test_an_input_that_is_no_object_is_handed_on_as_it_is(claude: ClaudeModel, fake: FakeAnthropic, text: str) -> None:
    fake.script(Plan(calls=(Call("read", text),)))
    first = asked("hello")
    step = await ask(claude, first)
    (call,) = step.calls
    assert (call.input, call.malformed) == ({}, text)
    assert (await ask(claude, answered(first, step.end, {"read": "That was no input."}))).end.stop_reason == STOP


async def test_an_error_of_a_tool_goes_back_as_one(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    first = asked('[fake:call read {"path": "a"}] It said {results}')
    step = await ask(claude, first)
    failed = ToolResult(step.calls[0].id, (Text("no such file"), Media("image/png", PNG)), is_error=True)
    told = await ask(claude, replace(first, turns=[*first.turns, Turn("assistant", step.end.blocks), Turn("user", (failed,))]))
    assert told.text == "It said no such file"
    (result,) = fake.requests[-1].body["messages"][-1]["content"]
    assert result["is_error"] is True


async def test_words_of_the_person_between_the_steps_follow_the_results(claude: ClaudeModel) -> None:
    """Steering: the API wants results first, however they were kept."""
    first = asked('[fake:call read {"path": "a"}]')
    step = await ask(claude, first)
    steered = Turn("user", (Text("no, stop"), ToolResult(step.calls[0].id, (Text("apple"),))))
    told = await ask(claude, replace(first, turns=[*first.turns, Turn("assistant", step.end.blocks), steered]))
    assert told.text.startswith("You said: no, stop")


async def test_calls_of_another_provider_are_taken_over(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    call = ToolUse("call:1/ä", "read", {"path": "a"})
    turns = [said("user", "hi"), Turn("assistant", (Thinking("hm", provider="openai"), call)), Turn("user", (ToolResult(call.id, ()),))]
    assert (await ask(claude, replace(asked(""), turns=turns))).end.stop_reason == STOP
    assert [block["type"] for block in fake.requests[-1].body["messages"][1]["content"]] == ["tool_use"]


# ends


async def test_a_call_that_was_cut_off_is_not_to_be_carried_out(claude: ClaudeModel) -> None:
    told = await ask(claude, asked('[fake:say Now.] [fake:call list] [fake:cut-call read {"path": "a/very/long/path"}]'))
    assert told.started == ["list", "read"]
    assert told.end.stop_reason == MAX_TOKENS
    assert told.calls == []
    assert [type(block) for block in told.end.blocks] == [Thinking, Text]
    told = await ask(claude, asked('[fake:cut-call read {"path": "a/very/long/path"}]'))
    assert (told.end.stop_reason, told.end.blocks) == (MAX_TOKENS, ())


@pytest.mark.parametrize(("scenario", "reason"), [("max-tokens", MAX_TOKENS), ("stop-sequence", STOP), ("recall", STOP)])
async def test_ends_that_are_no_failure(claude: ClaudeModel, scenario: str, reason: str) -> None:
    told = await ask(claude, request("first", "sure", f"[fake:{scenario}] please", model=SONNET))
    assert told.end.stop_reason == reason
    assert told.text
    assert told.end.usage.output > 0
    assert told.end.provider == "anthropic"


async def test_a_paused_turn_is_asked_on_as_it_is(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    fake.script(Plan("Once upon", "pause_turn"), Plan(" a time."))
    first = asked("a story")
    step = await ask(claude, first)
    assert step.end.stop_reason == PAUSED
    told = await ask(claude, replace(first, turns=[*first.turns, Turn("assistant", step.end.blocks)]))
    assert told.text == " a time."


async def test_nothing_to_add_after_tools_is_a_legal_end_and_an_empty_answer_is_not(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    first = asked("[fake:call list] [fake:then] [fake:empty]")
    step = await ask(claude, first)
    told = await ask(claude, answered(first, step.end, {"list": "a"}))
    assert (told.end.stop_reason, told.end.blocks, told.text) == (STOP, (), "")
    told, failure = await fail(claude, asked("[fake:empty]"))
    assert "empty answer" in failure.message
    assert failure.usage.input > 0


async def test_the_window_is_told_as_full_before_and_in_the_middle(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    fake.window = 2_000
    _, failure = await fail(claude, asked("word " * 2_000))
    assert failure.kind.value == "context_length"
    assert (await ask(claude, asked("short"))).end.stop_reason == STOP


# thoughts

# model, level, thinking as it is sent, effort
LEVELS: list[tuple[str, str | None, dict[str, object] | None, str | None]] = [
    (SONNET, None, {"type": "adaptive", "display": "summarized"}, None),
    (SONNET, "off", {"type": "between_tools"}, None),
    (SONNET, "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
    (SONNET, "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
    (OPUS, "off", {"type": "adaptive", "display": "summarized"}, "low"),
    ("claude-haiku-5-5", "off", {"type": "disabled"}, None),
    ("claude-opus-5", "off", {"type": "disabled"}, None),
    ("claude-sonnet-4-6", None, None, None),
    ("claude-sonnet-4-6", "off", None, None),
    ("claude-sonnet-4-6", "xhigh", {"type": "adaptive", "display": "summarized"}, "high"),
    ("claude-opus-4-8", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
    (OLD, None, None, None),
    (OLD, "off", None, None),
    (OLD, "minimal", {"type": "enabled", "budget_tokens": 1_024}, None),
    (OLD, "high", {"type": "enabled", "budget_tokens": 20_480}, None),
    (OLD, "xhigh", {"type": "enabled", "budget_tokens": 32_768}, None),
    ("claude-3-5-haiku-latest", "high", None, None),
]


@pytest.mark.parametrize(("model", "level", "thinking", "effort"), LEVELS, ids=[f"{row[0]} {row[1]}" for row in LEVELS])
async def test_each_level_in_the_words_of_each_generation(
    claude: ClaudeModel, fake: FakeAnthropic, model: str, level: str | None, thinking: dict[str, object] | None, effort: str | None
) -> None:
    told = await ask(claude, asked("hello", model=model, thinking=level))
    body = fake.requests[-1].body
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    thinks = thinking is not None and thinking["type"] in ("adaptive", "enabled")
    assert bool(told.thought) is thinks
    assert any(isinstance(block, Thinking) for block in told.end.blocks) is thinks


def test_a_budget_leaves_room_for_the_answer() -> None:
    body = build_body(asked("hello", model=OLD, thinking="xhigh", max_tokens=4_096))
    assert body["max_tokens"] == 4_096
    assert body["thinking"]["budget_tokens"] == 3_072
    assert "thinking" not in build_body(asked("hello", model=OLD, thinking="low", max_tokens=1_500))


@pytest.mark.parametrize("model", [SONNET, OLD])
@pytest.mark.parametrize("marker", ["", "[fake:redacted]"])
async def test_thoughts_go_back_unchanged_in_the_loop_and_after_it(
    claude: ClaudeModel, fake: FakeAnthropic, model: str, marker: str
) -> None:
    first = asked(f"{marker}[fake:think Hm, let me look.] [fake:call list] Done {{results}}", model=model, thinking="high")
    step = await ask(claude, first)
    assert step.thought == ("" if marker else "Hm, let me look.")
    second = answered(first, step.end, {"list": "a b"})
    end = await ask(claude, second)
    assert end.text == "Done a b"
    await ask(claude, went_on(second, end, "and now?"))
    assert [item.status for item in fake.requests] == [0, 0, 0]
    sent = fake.requests[-1].body["messages"]
    kinds = [block["type"] for block in (sent[1]["content"][0], sent[3]["content"][0])]
    assert kinds == [("redacted_thinking" if marker else "thinking"), "thinking"]


async def test_a_loop_that_another_model_began_goes_on_without_thinking(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    """In a tool loop the older models want the answer to begin with a thought; there is none."""
    call = ToolUse("call_1", "list", {})
    turns = [said("user", "hi"), Turn("assistant", (Text("Looking."), call)), Turn("user", (ToolResult("call_1", (Text("a"),)),))]
    await ask(claude, replace(asked("", model=OLD, thinking="high"), turns=turns))
    assert "thinking" not in fake.requests[-1].body
    await ask(claude, replace(asked("", model=OLD, thinking="high"), turns=[*turns, said("assistant", "a"), said("user", "more")]))
    assert "thinking" in fake.requests[-1].body


async def test_thoughts_of_a_conversation_that_was_changed_are_left_out(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    """After a compaction, another prompt or another set of tools the platform takes no older thought back."""
    first = asked("hello")
    step = await ask(claude, first)
    changed = replace(went_on(first, step, "again"), system=("You are bob.",))
    told = await ask(claude, changed)
    assert told.text.startswith("You said: again")
    assert [item.status for item in fake.requests] == [0, 400, 0]
    assert [block["type"] for block in fake.requests[-1].body["messages"][1]["content"]] == ["text"]
    await ask(claude, went_on(changed, told, "once more"))
    assert [item.status for item in fake.requests] == [0, 400, 0, 0], "what was refused once is refused again"


async def test_half_a_thought_is_not_sent() -> None:
    turns = [said("user", "hi"), Turn("assistant", (Thinking("I was about to"), Text("Well"))), said("user", "go on")]
    assert [block["type"] for block in build_body(replace(asked(""), turns=turns))["messages"][1]["content"]] == ["text"]
    turns[1] = Turn("assistant", (Thinking("I was about to", "signed"),))
    assert [message["role"] for message in build_body(replace(asked(""), turns=turns))["messages"]] == ["user"]


async def test_blank_texts_are_left_out(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    """The platform refuses them; an answer may have begun with one."""
    call = ToolUse("t1", "list", {})
    turns = [said("user", "hi"), Turn("assistant", (Text("\n\n"), call)), Turn("user", (ToolResult("t1", (Text(" "),)), Text("  ")))]
    assert (await ask(claude, replace(asked(""), turns=turns))).end.stop_reason == STOP
    assert [len(message["content"]) for message in fake.requests[-1].body["messages"]] == [1, 1, 1]


# the kept prefix


def marks(body: dict[str, object]) -> int:
    return str(body).count("cache_control")


async def test_each_turn_reads_what_the_last_one_wrote(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    asking = request(f"begin {'word ' * 200}", model=SONNET, system=(PROMPT, "It is Tuesday."), tools=TOOLS)
    told = await ask(claude, asking)
    assert told.end.usage.cache_write > 1_000
    assert told.end.usage.cache_read == 0
    written = told.end.usage.cache_write
    for number in range(4):
        asking = went_on(asking, told, f"[fake:call list] turn {number} {'word ' * 50}")
        step = await ask(claude, asking)
        assert step.end.usage.cache_read >= written, f"turn {number} does not read what was written"
        written = step.end.usage.cache_read + step.end.usage.cache_write
        asking = answered(asking, step.end, {"list": "a " * 100})
        told = await ask(claude, asking)
        assert told.end.usage.cache_read >= written, f"the loop of turn {number} does not read what was written"
        written = told.end.usage.cache_read + told.end.usage.cache_write
        assert told.end.usage.input < 50
    assert all(marks(item.body) == 4 for item in fake.requests[1:])


async def test_the_prefix_is_the_same_bytes_from_turn_to_turn(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    asking = asked("[fake:call list] one", system=(PROMPT,))
    step = await ask(claude, asking)
    asking = answered(asking, step.end, {"list": "a"})
    told = await ask(claude, asking)
    await ask(claude, went_on(asking, told, "two"))
    bodies = [
        str(unmark(item.body["tools"])) + str(unmark(item.body["system"])) + str(unmark(item.body["messages"])) for item in fake.requests
    ]
    for before, after in itertools.pairwise(bodies):
        assert after.startswith(before.rstrip("]"))


def unmark(value: object) -> object:
    if isinstance(value, dict):
        return {name: unmark(item) for name, item in value.items() if name != "cache_control"}
    return [unmark(item) for item in value] if isinstance(value, list) else value


async def test_a_prompt_that_changes_at_its_end_still_reads_its_stable_part(claude: ClaudeModel) -> None:
    await ask(claude, request("hello", model=SONNET, system=(PROMPT, "It is Tuesday."), tools=TOOLS))
    told = await ask(claude, request("hello", model=SONNET, system=(PROMPT, "It is Wednesday."), tools=TOOLS))
    assert told.end.usage.cache_read > 900


async def test_a_question_asked_once_marks_nothing(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    told = await ask(claude, request("hello", model=SONNET, system=(PROMPT,), tools=TOOLS, cache=False))
    assert marks(fake.requests[-1].body) == 0
    assert (told.end.usage.cache_write, told.end.usage.cache_read) == (0, 0)


async def test_many_results_at_once_do_not_lose_the_prefix(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    """The platform looks back twenty blocks from a mark: the mark before the last is what finds the rest."""
    fake.script(Plan(calls=tuple(Call("list", {"n": n}) for n in range(25))))
    asking = asked(f"go {'word ' * 100}", system=(PROMPT,))
    step = await ask(claude, asking)
    told = await ask(claude, answered(asking, step.end, {"list": "a"}))
    assert told.end.usage.cache_read >= step.end.usage.cache_write


# pictures and documents


async def test_pictures_and_documents_of_the_person_and_of_tools(claude: ClaudeModel, fake: FakeAnthropic) -> None:
    shown = Turn(
        "user", (Media("image/png", PNG, "a.png"), Media("application/pdf", PDF, "b.pdf"), Text('[fake:call read {"path": "c"}] ok'))
    )
    first = replace(asked(""), turns=[shown])
    step = await ask(claude, first)
    told = await ask(
        claude, answered(first, step.end, {"read": (Text("a picture"), Media("image/png", PNG), Media("application/pdf", PDF))})
    )
    assert told.text == "ok"
    kinds = [block["type"] for block in fake.requests[-1].body["messages"][0]["content"]]
    assert kinds == ["image", "document", "text"]
    (result,) = fake.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in result["content"]] == ["text", "image", "document"]
    assert told.end.usage.cache_read + told.end.usage.input + told.end.usage.cache_write > 7_000


async def test_what_is_no_picture_is_told_in_the_platforms_words(claude: ClaudeModel) -> None:
    wrong = Media("image/png", base64.b64encode(b"not a picture").decode())
    _, failure = await fail(claude, replace(asked(""), turns=[Turn("user", (wrong, Text("look")))]))
    assert "Could not process image" in failure.message
    assert not failure.of_provider


async def test_limits_of_the_answer_follow_the_model() -> None:
    assert build_body(asked("hi"))["max_tokens"] == 64_000
    assert build_body(asked("hi", model=OLD))["max_tokens"] == 32_000
    assert build_body(asked("hi", model="claude-3-5-haiku-latest"))["max_tokens"] == 8_192
    assert build_body(asked("hi", max_tokens=100))["max_tokens"] == 100
    assert [tool["name"] for tool in build_body(request("hi", model=SONNET, tools=(READ, LIST)))["tools"]] == ["read", "list"]


async def test_what_is_told_and_what_is_kept_are_the_same(claude: ClaudeModel) -> None:
    told = await ask(claude, asked("[fake:say One two.] [fake:call list]"))
    kept = [block for block in told.end.blocks if isinstance(block, Text | Thinking)]
    assert [block.text for block in kept] == [told.thought, told.text]
    order = [type(event) for event in told.events if isinstance(event, ThinkingDelta | TextDelta | ToolUseStarted | Completed)]
    assert order == sorted(order, key=[ThinkingDelta, TextDelta, ToolUseStarted, Completed].index)
