"""Chat completions against a strict fake: names and addresses, requests, calls, pictures, ends, and every failure in words."""

from __future__ import annotations

import asyncio
import base64
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from moltbot_gateway.models.base import (
    MAX_TOKENS,
    STOP,
    TOOL_USE,
    Media,
    ModelRequest,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
    said,
)
from moltbot_gateway.models.connection import Connection, Limits
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_gateway.models.openai import OpenAIModel
from moltbot_gateway.models.openai_body import build_body, effort_for
from moltbot_gateway.models.provider_failures import why_unreached
from moltbot_gateway.models.retrying import RetryPolicy
from moltbot_trust.redaction import Secret
from tests.fakes.openai_api import ApiError, Call, FakeOpenAI, Plan
from tests.models.asking import PDF, PNG, TOOLS, Told, answered, ask, fail, no_pause, request, went_on

KEY = "sk-openai-test-key"
MODEL = "openai/gpt-5-mini"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    server = FakeOpenAI(hold=5.0)
    await server.start()
    yield server
    await server.stop()


def connect(url: str, *, retries: int = 0, key: str | None = KEY, gateway: str | None = None) -> OpenAIModel:
    connection = Connection(url, Secret(key) if key else None, Secret(gateway) if gateway else None)
    return OpenAIModel(connection, limits=Limits(connect=2, silence=0.3, quiet=0.4), policy=RetryPolicy(retries=retries), sleep=no_pause)


async def once(url: str, asked: ModelRequest, **how: Any) -> Told:
    model = connect(url, **how)
    try:
        return await ask(model, asked)
    finally:
        await model.close()


async def failing(url: str, asked: ModelRequest, **how: Any) -> tuple[Told, ModelFailure]:
    model = connect(url, **how)
    try:
        return await fail(model, asked)
    finally:
        await model.close()


def asked(*turns: str | Turn, model: str = MODEL, **more: Any) -> ModelRequest:
    return request(*turns, model=model, **more)


# where it goes


@pytest.mark.parametrize(
    ("prefix", "tail"), [("/v1", ""), ("/v1", "/"), ("/v1", "/chat/completions"), ("/a/openai", ""), ("/workers-ai/v1", "/")]
)
async def test_the_request_arrives_where_it_should(prefix: str, tail: str) -> None:
    fake = FakeOpenAI(prefix=prefix)
    await fake.start()
    try:
        assert (await once(fake.url + tail, asked("hello"))).text.startswith("You said: hello")
        assert fake.requests[0].path == f"{prefix}/chat/completions"
        assert fake.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert "cf-aig-authorization" not in fake.requests[0].headers
    finally:
        await fake.stop()


async def test_an_ai_gateway_gets_its_own_header() -> None:
    fake = FakeOpenAI(prefix="/v1/account/gateway/openai", gateway_token="cf-token")
    await fake.start()
    try:
        assert (await once(fake.url, asked("hello"), gateway="cf-token")).text
        _, failure = await failing(fake.url, asked("hello"), gateway="wrong")
        assert failure.reason is Reason.KEY_REFUSED
        assert "AI Gateway" in failure.message
    finally:
        await fake.stop()


async def test_a_redirect_takes_no_key_along(fake: FakeOpenAI) -> None:
    elsewhere = FakeOpenAI(elsewhere=f"{fake.url}/chat/completions")
    await elsewhere.start()
    try:
        _, failure = await failing(elsewhere.url, asked("hello"))
        assert "redirects" in failure.message
        assert fake.requests == [], "the key went to another host"
    finally:
        await elsewhere.stop()


async def test_the_environment_changes_nothing(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    _, failure = await failing(fake.url, asked("hello"), key=None)
    assert failure.reason is Reason.KEY_REFUSED
    assert "OPENAI_API_KEY" in failure.message
    assert "authorization" not in fake.requests[0].headers


# answers


async def test_a_good_answer_streams_with_its_usage(fake: FakeOpenAI) -> None:
    told = await once(fake.url, asked("hello there"))
    assert told.text == "You said: hello there\n\nAnswered by gpt-5-mini."
    assert len(told.events) > 5
    assert (told.end.model, told.end.provider, told.end.stop_reason) == ("gpt-5-mini", "openai", STOP)
    assert told.end.blocks == (Text(told.text),)
    assert told.end.usage.input > 0
    assert told.end.usage.output > 5
    body = fake.requests[0].body
    assert body["messages"] == [{"role": "system", "content": "You are ada."}, {"role": "user", "content": "hello there"}]
    assert body["max_completion_tokens"] == 32_000


async def test_what_was_read_from_the_cache_is_counted_apart(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    asking = asked("one", system=("You are ada. " + "Be kind and brief. " * 300,))
    told = await ask(model, asking)
    assert told.end.usage.cache_read == 0
    told = await ask(model, went_on(asking, told, "two"))
    assert told.end.usage.cache_read >= 1_024
    assert told.end.usage.input < 400
    await model.close()


async def test_calls_side_by_side_and_the_loop(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    first = asked(
        '[fake:say Looking.] [fake:call read {"path": "ä] x"}] [fake:call list] [fake:then] [fake:call list] It said {results}', tools=TOOLS
    )
    step = await ask(model, first)
    assert (step.text, step.started, step.end.stop_reason) == ("Looking.", ["read", "list"], TOOL_USE)
    assert [(call.name, call.input) for call in step.calls] == [("read", {"path": "ä] x"}), ("list", {})]
    assert [type(block) for block in step.end.blocks] == [Text, ToolUse, ToolUse]
    second = answered(first, step.end, {"read": "apple", "list": "a b"})
    step = await ask(model, second)
    told = await ask(model, answered(second, step.end, {"list": "c"}))
    assert told.text == "It said apple\na b\nc"
    assert [message["role"] for message in fake.requests[-1].body["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "tool",
    ]  # fmt: skip
    await model.close()


async def test_calls_that_nobody_counted_are_kept_apart(fake: FakeOpenAI) -> None:
    told = await once(fake.url, asked("[fake:uncounted]", tools=TOOLS))
    assert [(call.name, call.input) for call in told.calls] == [("a", {"n": 1}), ("b", {"n": 2})]
    assert told.started == ["a", "b"]


async def test_an_id_belongs_to_one_call_of_a_conversation(fake: FakeOpenAI) -> None:
    """Some servers begin anew with each answer; Claude would refuse such a conversation, and results would be mixed up."""
    same = Plan(calls=(Call("read", {}), Call("list", {})), same_ids=True)
    fake.script(same, same, Plan("Done."))
    model = connect(fake.url)
    first = asked("hello", tools=TOOLS)
    step = await ask(model, first)
    second = answered(first, step.end, {"read": "a", "list": "b"})
    again = await ask(model, second)
    ids = [call.id for call in (*step.calls, *again.calls)]
    assert len(set(ids)) == 4
    assert ids[:2] == ["call_0_0", "call_0_1"]
    assert (await ask(model, answered(second, again.end, {"read": "c", "list": "d"}))).text == "Done."
    await model.close()


async def test_an_input_that_is_no_object_is_handed_on_as_it_is(fake: FakeOpenAI) -> None:
    fake.script(Plan(calls=(Call("read", '{"path": '),)))
    model = connect(fake.url)
    first = asked("hello", tools=TOOLS)
    step = await ask(model, first)
    assert (step.calls[0].input, step.calls[0].malformed) == ({}, '{"path": ')
    assert (await ask(model, answered(first, step.end, {"read": "That was no input."}))).end.stop_reason == STOP
    await model.close()


async def test_a_call_that_was_cut_off_is_not_to_be_carried_out(fake: FakeOpenAI) -> None:
    told = await once(fake.url, asked('[fake:say Now.] [fake:call list] [fake:cut-call read {"path": "a/long/path"}]', tools=TOOLS))
    assert (told.end.stop_reason, told.calls, told.text) == (MAX_TOKENS, [], "Now.")


async def test_nothing_to_add_after_tools_is_a_legal_end(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    first = asked("[fake:call list] [fake:then] [fake:empty]", tools=TOOLS)
    step = await ask(model, first)
    told = await ask(model, answered(first, step.end, {"list": "a"}))
    assert (told.end.stop_reason, told.end.blocks) == (STOP, ())
    await model.close()


async def test_reasoning_that_a_server_shows_is_told(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    first = asked("[fake:reasoning]")
    told = await ask(model, first)
    assert told.thought == "Let me see."
    assert told.end.blocks[0] == Thinking("Let me see.", provider="openai")
    await ask(model, went_on(first, told, "more"))
    assert [message["role"] for message in fake.requests[-1].body["messages"]] == ["system", "user", "assistant", "user"]
    await model.close()


async def test_a_conversation_with_claude_is_taken_over(fake: FakeOpenAI) -> None:
    name = "toolu_" + "x" * 60
    turns = [
        said("user", "hi"),
        Turn("assistant", (Thinking("hm", "signed"), Text("Looking."), ToolUse(name, "list", {}))),
        Turn("user", (ToolResult(name, (Text("a"),)),)),
        said("user", "and?"),
    ]
    assert (await once(fake.url, replace(asked("", tools=TOOLS), turns=turns))).text.startswith("You said: and?")


# pictures and documents


async def test_pictures_and_documents(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    shown = Turn("user", (Media("image/png", PNG), Media("application/pdf", PDF, "b.pdf"), Text("[fake:call list] ok")))
    first = replace(asked("", tools=TOOLS), turns=[shown])
    step = await ask(model, first)
    told = await ask(model, answered(first, step.end, {"list": (Text("a picture"), Media("image/png", PNG))}))
    assert [part["type"] for part in fake.requests[0].body["messages"][1]["content"]] == ["image_url", "file", "text"]
    messages = fake.requests[1].body["messages"]
    assert [message["role"] for message in messages[-2:]] == ["tool", "user"], "a picture cannot stand in a result"
    assert [part["type"] for part in messages[-1]["content"]] == ["text", "image_url"]
    assert told.end.stop_reason == STOP
    await model.close()


async def test_a_document_for_a_model_that_reads_none_is_told_and_later_only_noted(fake: FakeOpenAI) -> None:
    shown = Turn("user", (Media("application/pdf", PDF, "b.pdf"), Text("look")))
    open_model = replace(asked("", model="workers-ai/@cf/meta/llama-4-scout"), turns=[shown])
    _, failure = await failing(fake.url, open_model)
    assert "cannot read PDFs" in failure.message
    assert fake.requests == []
    later = replace(open_model, turns=[shown, said("assistant", "I cannot"), said("user", "never mind")])
    assert (await once(fake.url, later)).text.startswith("You said: never mind")
    assert "b.pdf: application/pdf" in fake.requests[0].body["messages"][1]["content"]


async def test_what_is_no_document_is_told_in_the_platforms_words(fake: FakeOpenAI) -> None:
    wrong = Media("application/pdf", base64.b64encode(b"not a document").decode(), "b.pdf")
    _, failure = await failing(fake.url, replace(asked(""), turns=[Turn("user", (wrong, Text("look")))]))
    assert "Expected a PDF" in failure.message
    assert not failure.of_provider


# reasoning

EFFORTS = [
    ("gpt-5", None, False, None),
    ("gpt-5", "off", False, "minimal"),
    ("gpt-5", "minimal", True, "minimal"),
    ("gpt-5", "xhigh", True, "high"),
    ("gpt-5.1", "off", True, "none"),
    ("gpt-5.1", "minimal", False, "low"),
    ("gpt-5.4", None, True, "none"),
    ("gpt-5.4", "high", True, "none"),
    ("gpt-5.4", "high", False, "high"),
    ("gpt-6-luna", "xhigh", False, "xhigh"),
    ("gpt-6.2-sol", "off", True, "low"),
    ("gpt-6.2-sol", "high", True, "high"),
    ("o3", "minimal", True, "low"),
    ("gpt-4o-mini", "high", True, None),
    ("@cf/meta/llama-4-scout", "high", True, None),
]


@pytest.mark.parametrize(("model", "level", "tools", "effort"), EFFORTS, ids=[f"{row[0]} {row[1]} {row[2]}" for row in EFFORTS])
async def test_each_level_in_the_words_of_each_generation(
    fake: FakeOpenAI, model: str, level: str | None, tools: bool, effort: str | None
) -> None:
    assert effort_for(model, level, tools=tools) == effort
    told = await once(fake.url, asked("hello", model=model, thinking=level, tools=TOOLS if tools else ()))
    assert told.end.stop_reason == STOP
    assert len(fake.requests) == 1, "the first request was refused"
    assert fake.requests[0].body.get("reasoning_effort") == effort


async def test_what_a_server_does_not_know_is_left_out_from_then_on(fake: FakeOpenAI) -> None:
    fake.naive = True
    model = connect(fake.url)
    told = await ask(model, asked("hello"))
    assert told.text.startswith("You said: hello")
    assert [item.status for item in fake.requests] == [400, 0]
    await ask(model, asked("hello"))
    assert [item.status for item in fake.requests] == [400, 0, 0]
    await model.close()


async def test_what_is_refused_either_way_is_not_tried_for_ever(fake: FakeOpenAI) -> None:
    refusal = ApiError(400, "Unsupported parameter: 'max_tokens' is not supported", param="max_tokens")
    fake.script(*[refusal] * 5)
    _, failure = await failing(fake.url, asked("hello"))
    assert "max_tokens" in failure.message
    assert len(fake.requests) == 2


async def test_a_refusal_that_leaving_out_cannot_mend_ends(fake: FakeOpenAI) -> None:
    body = build_body(asked("hello"), fake.url)
    assert "reasoning_effort" not in body
    _, failure = await failing(fake.url, asked("[fake:bad-request]"))
    assert "Invalid value" in failure.message
    assert len(fake.requests) == 1


# failures: scenario, kind, reason, words that must be said, whether text had arrived
FAILURES: list[tuple[str, ErrorKind, Reason | None, str, bool]] = [
    ("unauthorized", ErrorKind.UNKNOWN, Reason.KEY_REFUSED, "OPENAI_API_KEY", False),
    ("cloudflare", ErrorKind.UNKNOWN, Reason.KEY_REFUSED, "Authentication error", False),
    ("forbidden", ErrorKind.UNKNOWN, Reason.FORBIDDEN, "not supported", False),
    ("not-found", ErrorKind.UNKNOWN, Reason.UNKNOWN_MODEL, MODEL, False),
    ("quota", ErrorKind.UNKNOWN, Reason.BILLING, "payment", False),
    ("rate-limit", ErrorKind.RATE_LIMIT, Reason.RATE_LIMITED, "in 1 seconds", False),
    ("rate-limit-long", ErrorKind.RATE_LIMIT, Reason.RATE_LIMITED, "in 60 minutes", False),
    ("rate-limit-reset", ErrorKind.RATE_LIMIT, Reason.RATE_LIMITED, "in 2 minutes", False),
    ("too-long", ErrorKind.CONTEXT_LENGTH, None, "/new", False),
    ("bad-request", ErrorKind.UNKNOWN, None, "Invalid value", False),
    ("google", ErrorKind.UNKNOWN, None, "invalid argument", False),
    ("server-error", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "500", False),
    ("overloaded", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "overloaded", False),
    ("bad-gateway", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "502 Bad Gateway", False),
    ("web-page", ErrorKind.UNKNOWN, Reason.BAD_ANSWER, "chat completions", False),
    ("slow-head", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", False),
    ("stall", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", True),
    ("quiet", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", True),
    ("cut", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "cut in the middle", True),
    ("early-end", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "cut in the middle", True),
    ("error-midway", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "had an error", True),
    ("malformed", ErrorKind.UNKNOWN, Reason.BAD_ANSWER, "base URL", True),
    ("no-chunk", ErrorKind.UNKNOWN, Reason.BAD_ANSWER, "base URL", True),
    ("refusal", ErrorKind.REFUSAL, None, "I can't help with that", False),
    ("content-filter", ErrorKind.REFUSAL, None, "declined", True),
    ("all-thought", ErrorKind.UNKNOWN, None, "length limit", False),
    ("empty", ErrorKind.UNKNOWN, None, "empty answer", False),
]


@pytest.mark.parametrize(("scenario", "kind", "reason", "words", "spoke"), FAILURES, ids=[row[0] for row in FAILURES])
async def test_a_failure_says_what_to_do(
    fake: FakeOpenAI, scenario: str, kind: ErrorKind, reason: Reason | None, words: str, spoke: bool
) -> None:
    told, failure = await failing(fake.url, asked(f"[fake:{scenario}] please"))
    assert (failure.kind, failure.reason) == (kind, reason)
    assert words in failure.message
    assert bool(told.text) is spoke
    assert KEY not in failure.message


async def test_nobody_there_is_told_with_the_address(fake: FakeOpenAI) -> None:
    await fake.stop()
    for url in (fake.url, "http://no-such-host.invalid/v1", "no address"):
        _, failure = await failing(url, asked("hello"))
        assert failure.reason is Reason.UNREACHABLE
        assert "base URL" in failure.message
        assert "Errno" not in failure.message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 443)"), "nothing answers at that address and port"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "it closed the connection at once"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no way leads to that address"),
        (OSError(errno.EMFILE, "whatever"), "too many open files"),
        (ExceptionGroup("2 attempts", [OSError(errno.ENETUNREACH, "x"), OSError(errno.EMFILE, "y")]), "no way leads to that network"),
        (ValueError("a reason of its own"), "a reason of its own"),
        (OSError(), "OSError"),
    ],
    ids=str,
)
def test_why_nobody_was_reached_is_said_without_numbers(error: Exception, words: str) -> None:
    assert why_unreached(error) == words
    above = OSError("All connection attempts failed")
    above.__cause__ = error
    assert why_unreached(above) == words


@pytest.mark.parametrize(
    ("scenario", "tries"), [("rate-limit", 2), ("server-error", 2), ("overloaded", 2), ("bad-request", 1), ("rate-limit-long", 1)]
)
async def test_a_busy_provider_is_asked_again_and_that_is_told(fake: FakeOpenAI, scenario: str, tries: int) -> None:
    wait = "" if scenario == "rate-limit-long" else " retry-after=0"
    text = asked(f"[fake:{scenario} times=1{wait}] please")
    if tries == 1:
        told, _ = await failing(fake.url, text, retries=3)
        assert told.retries == []
    else:
        told = await once(fake.url, text, retries=3)
        assert told.text.startswith("You said: please")
        assert [event.model for event in told.retries] == [MODEL]
        assert told.retries[0].message.endswith("asking again.")
    assert len(fake.requests) == tries


async def test_text_that_was_shown_is_never_taken_back(fake: FakeOpenAI) -> None:
    told, failure = await failing(fake.url, asked("[fake:error-midway times=1] please"), retries=3)
    assert failure.again
    assert told.text == "Once upon a"
    assert len(fake.requests) == 1


async def test_cancelling_ends_the_request(fake: FakeOpenAI) -> None:
    model = connect(fake.url)
    stream = model.stream(asked("[fake:quiet] please"))
    await anext(stream)
    assert fake.open_streams == 1
    task = asyncio.ensure_future(_drain(stream))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    async with asyncio.timeout(5):
        while fake.open_streams:
            await asyncio.sleep(0.01)
    await model.close()


async def _drain(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass
