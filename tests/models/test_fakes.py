"""That the fakes are as strict as the platforms: what each refuses, in the platform's words. A fake that lets wrong requests through would
make every other test here worth little."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from tests.fakes import openai_rules
from tests.fakes.anthropic_blocks import Given
from tests.fakes.anthropic_cache import PromptCache
from tests.fakes.anthropic_errors import ApiError
from tests.fakes.anthropic_rules import check_body
from tests.fakes.anthropic_script import Call, read_markers
from tests.models.asking import PDF, PNG

SCHEMA = {"type": "object", "properties": {}}
TOOL = {"name": "read", "description": "Reads.", "input_schema": SCHEMA}
USE = {"type": "tool_use", "id": "t1", "name": "read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
BIG = base64.b64encode(b"\x89PNG" + b"\0" * 5 * 2**20).decode()
PAGES = base64.b64encode(b"%PDF-1.4\n" + b"/Type /Page \n" * 601).decode()


def body(*messages: Any, **more: Any) -> dict[str, Any]:
    made = [message if isinstance(message, dict) else {"role": "user", "content": message} for message in messages or ("hi",)]
    return {"model": "claude-sonnet-5-5", "max_tokens": 1_000, "messages": made, **more}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def image(kind: str, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def document(data: str) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}


def marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "made up"}
OLD = {"model": "claude-sonnet-4-5", "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 1_024}, "max_tokens": 2_000}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": (body(tool=[]), "tool: Extra inputs are not permitted"),
    "sampling": (body(temperature=1), "temperature: Extra inputs"),
    "too long an answer": (body(max_tokens=200_000), "maximum allowed number of output tokens"),
    "prefill": (body("hi", assistant({"type": "text", "text": "I"})), "does not support assistant message prefill"),
    "blank text": (body([{"type": "text", "text": " "}]), "text content blocks must contain non-whitespace text"),
    "no content": (body([]), "all messages must have non-empty content"),
    "assistant first": (body(assistant({"type": "text", "text": "I"}), "hi"), "first message must use"),
    "five marks": (
        body([marked(str(number)) for number in range(5)]),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "wrong mark": (
        body([{"type": "text", "text": "a", "cache_control": {"type": "long"}}]),
        "cache_control.type: Input should be 'ephemeral'",
    ),
    "tool without a schema": (body(tools=[{"name": "read"}]), "tools.0.custom.input_schema: Field required"),
    "tool name": (body(tools=[TOOL | {"name": "a b"}]), "String should match pattern"),
    "two of a name": (body(tools=[TOOL, TOOL]), "Tool names must be unique"),
    "schema of no object": (body(tools=[TOOL | {"input_schema": {"type": "string"}}]), "input_schema.type: Input should be 'object'"),
    "schema with anyOf": (body(tools=[TOOL | {"input_schema": SCHEMA | {"anyOf": []}}]), "does not support oneOf, allOf, or anyOf"),
    "no schema": (body(tools=[TOOL | {"input_schema": SCHEMA | {"properties": 3}}]), "JSON schema is invalid"),
    "unknown choice": (body(tools=[TOOL], tool_choice={"type": "must"}), "tool_choice"),
    "chosen tool missing": (body(tools=[TOOL], tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found"),
    "forced while thinking": (body(tools=[TOOL], tool_choice={"type": "any"}), "Thinking may not be enabled"),
    "call without result": (body("hi", assistant(USE), "and?", tools=[TOOL]), "`tool_use` ids were found without `tool_result` blocks"),
    "call at the end": (body("hi", assistant(USE), tools=[TOOL]), "`tool_use` ids were found without `tool_result` blocks"),
    "result after text": (
        body("hi", assistant(USE), [{"type": "text", "text": "well"}, RESULT], tools=[TOOL]),
        "`tool_use` ids were found without `tool_result` blocks immediately after: t1",
    ),
    "result without call": (body([RESULT], tools=[TOOL]), "unexpected `tool_use_id` found in `tool_result` blocks: t1"),
    "two results": (body("hi", assistant(USE), [RESULT, RESULT], tools=[TOOL]), "Found multiple `tool_result` blocks with id: t1"),
    "two calls of an id": (body("hi", assistant(USE, USE), [RESULT], tools=[TOOL]), "`tool_use` ids must be unique"),
    "calls without tools": (body("hi", assistant(USE), [RESULT]), "must define tools"),
    "picture in an error": (
        body("hi", assistant(USE), [RESULT | {"is_error": True, "content": [image("image/png", PNG)]}], tools=[TOOL]),
        "all content must be type 'text' if 'is_error' is true",
    ),
    "call of the person": (body([USE], tools=[TOOL]), "Input tag 'tool_use'"),
    "picture of another kind": (body([image("image/bmp", PNG)]), "media_type: Input should be"),
    "picture called another": (body([image("image/jpeg", PNG)]), "the image appears to be a image/png image"),
    "no picture": (body([image("image/png", "aGk=")]), "Could not process image"),
    "no base64": (body([image("image/png", "%%%")]), "valid base64"),
    "big picture": (body([image("image/png", BIG)]), "image exceeds 5 MB maximum"),
    "no document": (body([document("aGk=")]), "The PDF specified was not valid"),
    "long document": (body([document(PAGES)]), "A maximum of 600 PDF pages"),
    "made-up thought": (body("hi", assistant(THOUGHT, {"type": "text", "text": "I"}), "so?"), "Invalid `signature` in `thinking` block"),
    "budget on a newer one": (
        body(thinking={"type": "enabled", "budget_tokens": 1_024}, max_tokens=2_000),
        "is not supported for this model",
    ),
    "adaptive on an older one": (body(model="claude-sonnet-4-5", thinking={"type": "adaptive"}), "adaptive thinking is not supported"),
    "budget over the limit": (body(**OLD | {"max_tokens": 1_024}), "must be greater than `thinking.budget_tokens`"),
    "small budget": (body(**OLD | {"thinking": {"type": "enabled", "budget_tokens": 1_000}}), "greater than or equal to 1024"),
    "thinking switched off": (body(thinking={"type": "disabled"}), "is not supported for this model"),
    "loop without a thought": (
        body("hi", assistant(USE), [RESULT], **OLD),
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    "effort of no model": (body(output_config={"effort": "minimal"}), "output_config.effort"),
    "effort too high": (body(model="claude-sonnet-4-6", output_config={"effort": "xhigh"}), "does not support effort level"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_messages_api_refuses(case: str) -> None:
    wrong, words = REFUSED[case]
    with pytest.raises(ApiError) as caught:
        check_body(wrong, "2026-10-21", Given())
    assert words in caught.value.message
    assert caught.value.status in (400, 404)


def test_what_the_messages_api_takes() -> None:
    content = [
        RESULT | {"content": [{"type": "text", "text": "x"}, image("image/png", PNG), document(PDF)]},
        {"type": "text", "text": "so?"},
    ]
    check_body(body("hi", assistant({"type": "text", "text": "I"}, USE), content, tools=[TOOL]), "2026-10-21", Given())


def test_thoughts_come_back_as_they_were_and_to_the_same_conversation() -> None:
    given, first = Given(), body("hi", system="You are ada.")
    signature = given.tell("hm", first, binds=True)
    answer = assistant({"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "I"})
    second = body("hi", answer, "so?", system="You are ada.")
    check_body(second, "2026-10-21", given)
    for change in ("text", "system", "message"):
        changed = copy.deepcopy(second)
        if change == "text":
            changed["messages"][1]["content"][0]["thinking"] = "hmm"
        elif change == "system":
            changed["system"] = "You are bob."
        else:
            changed["messages"][0]["content"] = "hello"
        with pytest.raises(ApiError, match="Invalid `signature`"):
            check_body(changed, "2026-10-21", given)
    second["system"] = [{"type": "text", "text": "You are ada.", "cache_control": {"type": "ephemeral"}}]
    first["system"] = [{"type": "text", "text": "You are ada."}]
    answer["content"][0]["signature"] = given.tell("hm", first, binds=True)
    check_body(second, "2026-10-21", given)


def test_only_a_prefix_that_was_marked_long_enough_and_is_the_same_is_read() -> None:
    cache, long = PromptCache(), "word " * 800
    first = body([marked(long)])
    assert (cache.count(first).read, cache.count(first).read > 900) == (0, True)
    assert cache.count(body([{"type": "text", "text": long}])).read == 0, "nothing is looked for without a mark"
    assert cache.count(body([marked(long + "x")])).read == 0
    assert cache.count(body([marked(long)], tools=[TOOL])).read == 0
    assert cache.count(body([marked(long)], model="claude-opus-5-5")).read == 0
    counted = cache.count(body([{"type": "text", "text": long}, marked("more")]))
    assert counted.read > 900
    assert counted.total < counted.read + 50
    far = [{"type": "text", "text": long}, *[{"type": "text", "text": str(number)} for number in range(25)], marked("end")]
    assert cache.count(body(far)).read == 0, "more than twenty blocks are looked back"
    short = body([marked("short")])
    assert (cache.count(short).written, cache.count(short).read) == (0, 0)


def test_markers_are_read_wherever_they_stand() -> None:
    calls = '[fake:call a {"x": "]", "y": "[fake:call b]"}] [fake:call c]'
    said = f"Please [fake:say Well.] {calls} [fake:then] [fake:overloaded times=2] do {{results}}"
    steps, words = read_markers(said)
    assert [[marker.name for marker in step] for step in steps] == [["say", "call", "call"], ["overloaded"]]
    assert steps[0][1].call == Call("a", {"x": "]", "y": "[fake:call b]"})
    assert steps[0][2].call == Call("c", {})
    assert steps[1][0].options == {"times": "2"}
    assert words == "Please do {results}"


FUNCTION = {"type": "function", "function": {"name": "read", "parameters": SCHEMA}}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}],
}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "x"}
HI = {"role": "user", "content": "hi"}


def completion(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "messages": list(messages or (HI,)), **more}


REFUSED_COMPLETIONS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": (completion(thinking={}), "Unrecognized request argument supplied: thinking"),
    "unknown model": (completion(model="gpt-none"), "does not exist"),
    "old limit": (completion(max_tokens=10), "Use 'max_completion_tokens' instead"),
    "usage without a stream": (completion(stream_options={}), "only allowed when 'stream' is enabled"),
    "effort of no model": (completion(reasoning_effort="xhigh"), "Unsupported value"),
    "effort of a plain model": (completion(model="gpt-4o-mini", reasoning_effort="low"), "Unrecognized request argument"),
    "tools while reasoning": (completion(model="gpt-5.4", tools=[FUNCTION]), "set reasoning_effort to 'none'"),
    "no tools": (completion(tools=[]), "empty array"),
    "tool as Claude's": (completion(tools=[TOOL]), "tools[0].function"),
    "schema of no object": (
        completion(tools=[{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}]),
        'type: "object"',
    ),
    "result without call": (completion(HI, ANSWER), "must be a response to a preceeding message"),
    "call without result": (completion(HI, CALLED, HI), "must be followed by tool messages"),
    "call at the end": (completion(HI, CALLED), "must be followed by tool messages"),
    "thoughts": (completion(HI, {"role": "assistant", "content": "a", "reasoning_content": "b"}), "Unknown parameter"),
    "empty answer": (completion(HI, {"role": "assistant", "content": None}), "expected a string, got null"),
    "picture of another kind": (
        completion({"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{PNG}"}}]}),
        "unsupported image",
    ),
    "picture as Claude's": (completion({"role": "user", "content": [image("image/png", PNG)]}), "Invalid value: 'image'"),
    "parts for Workers AI": (
        completion({"role": "user", "content": [{"type": "text", "text": "hi"}]}, model="@cf/meta/llama-4-scout"),
        "expected a string",
    ),
}


@pytest.mark.parametrize("case", REFUSED_COMPLETIONS)
def test_what_chat_completions_refuse(case: str) -> None:
    wrong, words = REFUSED_COMPLETIONS[case]
    with pytest.raises(openai_rules.ApiError) as caught:
        openai_rules.check_body(wrong)
    assert words in caught.value.message


def test_what_chat_completions_take() -> None:
    openai_rules.check_body(completion(HI, CALLED, ANSWER, tools=[FUNCTION], stream=True, stream_options={"include_usage": True}))
