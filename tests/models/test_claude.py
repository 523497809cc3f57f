"""Claude by the real SDK against a fake that is as strict as the platform: requests, streaming, and every failure in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from moltbot_gateway.models.base import Completed, ModelRequest, Retrying, TextDelta, said
from moltbot_gateway.models.claude import ClaudeModel, clean_base_url
from moltbot_gateway.models.claude_body import build_body, thinks
from moltbot_gateway.models.connection import Connection, Limits
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_gateway.models.retrying import RetryPolicy
from moltbot_protocol.models import DEFAULT_MODEL
from moltbot_trust.redaction import Secret
from tests.fakes.anthropic_api import FakeAnthropic

KEY = "sk-ant-test-key"


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    server = FakeAnthropic(hold=5.0)
    await server.start()
    yield server
    await server.stop()


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def connect(fake: FakeAnthropic, *, key: str | None = KEY, gateway: str | None = None, url: str = "", retries: int = 0) -> ClaudeModel:
    connection = Connection(url or fake.url, Secret(key) if key else None, Secret(gateway) if gateway else None)
    return ClaudeModel(connection, limits=Limits(connect=2, silence=0.3, quiet=0.4), policy=RetryPolicy(retries=retries), sleep=no_pause)


def request(text: str, *earlier: tuple[str, str], model: str = DEFAULT_MODEL, thinking: str | None = None) -> ModelRequest:
    return ModelRequest(model, ("You are ada.",), [*(said(role, words) for role, words in earlier), said("user", text)], thinking)


async def ask(model: ClaudeModel, asked: ModelRequest) -> tuple[str, Completed]:
    text, completed = "", None
    async for event in model.stream(asked):
        match event:
            case TextDelta():
                text += event.text
            case Completed():
                completed = event
    assert completed is not None
    await model.close()
    return text, completed


async def fail(model: ClaudeModel, asked: ModelRequest) -> tuple[str, ModelFailure]:
    """Text until it failed, and how."""
    text = ""
    with pytest.raises(ModelFailure) as caught:
        async for event in model.stream(asked):
            assert not isinstance(event, Completed)
            text += event.text if isinstance(event, TextDelta) else ""
    await model.close()
    return text, caught.value


async def test_a_good_answer_streams_with_its_usage(fake: FakeAnthropic) -> None:
    pieces = [event async for event in connect(fake).stream(request("hello there"))]
    assert len(pieces) > 5
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)).startswith("You said: hello there")
    end = pieces[-1]
    assert isinstance(end, Completed)
    assert (end.model, end.stop_reason) == (DEFAULT_MODEL, "stop")
    assert end.usage.input > 0
    assert end.usage.output > 5


async def test_the_request_is_what_the_platform_documents(fake: FakeAnthropic) -> None:
    await ask(connect(fake), request("c", ("user", "a"), ("assistant", "b")))
    (sent,) = fake.requests
    assert sent.path == "/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert "authorization" not in sent.headers
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert sent.body["stream"] is True
    assert [(message["role"], message["content"][0]["text"]) for message in sent.body["messages"]] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert sent.body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert not {"temperature", "top_p", "top_k"} & set(sent.body)


def test_turns_of_one_role_become_one_message() -> None:
    """An interrupted turn without text leaves two questions in a row."""
    body = build_body(request("third", ("user", "first"), ("user", "second")))
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert [block["text"] for block in body["messages"][0]["content"]] == ["first", "second", "third"]


async def test_thinking_is_asked_for_where_it_is_served(fake: FakeAnthropic) -> None:
    text, _ = await ask(connect(fake), request("hello", thinking="high"))
    assert text.startswith("You said: hello")
    assert fake.requests[0].body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("claude-sonnet-5-5", True),
        ("claude-sonnet-4-6", True),
        ("claude-sonnet-4-5", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-5", True),
        ("claude-3-7-sonnet-20250219", True),
        ("claude-3-5-haiku-latest", False),
    ],
)
def test_which_models_think(model: str, served: bool) -> None:
    assert thinks(model) is served


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/", "/v1/messages", "/v1/messages/"])
async def test_a_base_url_is_taken_however_it_was_copied(fake: FakeAnthropic, tail: str) -> None:
    text, _ = await ask(connect(fake, url=fake.url + tail), request("hello"))
    assert text.startswith("You said: hello")


def test_the_base_url_of_an_ai_gateway_keeps_its_own_version() -> None:
    gateway = "https://gateway.ai.cloudflare.com/v1/account/gateway/anthropic"
    assert clean_base_url(f" {gateway}/v1/messages ") == gateway
    assert clean_base_url("") == "https://api.anthropic.com"


@pytest.mark.parametrize(("key", "token", "stored"), [(KEY, "cf-token", False), (None, "cf-token", True), (KEY, "Bearer cf-token", False)])
async def test_an_ai_gateway_with_a_provider_key_and_with_none(key: str | None, token: str, stored: bool) -> None:
    fake = FakeAnthropic(gateway_token="cf-token", stored_key=stored, prefix="/v1/account/gateway/anthropic")
    await fake.start()
    try:
        text, _ = await ask(connect(fake, key=key, gateway=token), request("hello"))
        assert text.startswith("You said: hello")
        assert fake.requests[0].headers["cf-aig-authorization"] == "Bearer cf-token"
        assert ("x-api-key" in fake.requests[0].headers) is (key is not None)
        _, failure = await fail(connect(fake, key=key, gateway="wrong"), request("hello"))
        assert failure.reason is Reason.KEY_REFUSED
        assert "AI Gateway" in failure.message
    finally:
        await fake.stop()


async def test_the_environment_of_the_process_gives_no_credentials(fake: FakeAnthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK would read by itself must not come between: the key is the Secret's, or there is none."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    _, failure = await fail(connect(fake, key=None), request("hello"))
    assert failure.reason is Reason.KEY_REFUSED
    assert "authorization" not in fake.requests[0].headers


# scenario, kind, reason, words that must be said, whether text had arrived
FAILURES: list[tuple[str, ErrorKind, Reason | None, str, bool]] = [
    ("unauthorized", ErrorKind.UNKNOWN, Reason.KEY_REFUSED, "ANTHROPIC_API_KEY", False),
    ("billing", ErrorKind.UNKNOWN, Reason.BILLING, "payment", False),
    ("credit", ErrorKind.UNKNOWN, Reason.BILLING, "no credit left", False),
    ("forbidden", ErrorKind.UNKNOWN, Reason.FORBIDDEN, "spec.model.name", False),
    ("not-found", ErrorKind.UNKNOWN, Reason.UNKNOWN_MODEL, DEFAULT_MODEL, False),
    ("too-large", ErrorKind.CONTEXT_LENGTH, None, "/new", False),
    ("too-long", ErrorKind.CONTEXT_LENGTH, None, "/new", False),
    ("window", ErrorKind.CONTEXT_LENGTH, None, "/new", True),
    ("rate-limit", ErrorKind.RATE_LIMIT, Reason.RATE_LIMITED, "1 seconds", False),
    ("overloaded", ErrorKind.RATE_LIMIT, Reason.OVERLOADED, "overloaded", False),
    ("overloaded-early", ErrorKind.RATE_LIMIT, Reason.OVERLOADED, "overloaded", False),
    ("overloaded-midway", ErrorKind.RATE_LIMIT, Reason.OVERLOADED, "overloaded", True),
    ("server-error", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "500", False),
    ("bad-gateway", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "502 Bad Gateway", False),
    ("timeout", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", False),
    ("slow-head", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", False),
    ("stall", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", True),
    ("quiet", ErrorKind.TIMEOUT, Reason.TIMED_OUT, "stopped answering", True),
    ("cut", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "cut in the middle", True),
    ("early-end", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "cut in the middle", True),
    ("malformed", ErrorKind.UNKNOWN, Reason.BAD_ANSWER, "base URL", True),
    ("web-page", ErrorKind.UNKNOWN, Reason.BAD_ANSWER, "base URL", False),
    ("redirect", ErrorKind.UNKNOWN, Reason.PROVIDER_FAILED, "redirects", False),
    ("bad-request", ErrorKind.UNKNOWN, None, "something is wrong", False),
    ("refusal", ErrorKind.REFUSAL, None, "malware", True),
    ("all-thought", ErrorKind.UNKNOWN, None, "length limit", False),
    ("empty", ErrorKind.UNKNOWN, None, "empty answer", False),
]


@pytest.mark.parametrize(("scenario", "kind", "reason", "words", "spoke"), FAILURES, ids=[row[0] for row in FAILURES])
async def test_a_failure_says_what_to_do(
    fake: FakeAnthropic, scenario: str, kind: ErrorKind, reason: Reason | None, words: str, spoke: bool
) -> None:
    text, failure = await fail(connect(fake), request(f"[fake:{scenario}] please"))
    assert (failure.kind, failure.reason) == (kind, reason)
    assert words in failure.message
    assert bool(text) is spoke
    assert bool(failure.usage.input) is (spoke or scenario in ("all-thought", "empty", "overloaded-early")), "what was counted is lost"
    assert KEY not in failure.message


async def test_nobody_there_is_told_with_the_address(fake: FakeAnthropic) -> None:
    await fake.stop()
    _, failure = await fail(connect(fake), request("hello"))
    assert failure.reason is Reason.UNREACHABLE
    assert "gateway.egress" in failure.message
    assert "(nothing answers at that address and port)" in failure.message
    _, failure = await fail(connect(fake, url="http://no-such-host.invalid"), request("hello"))
    assert failure.reason is Reason.UNREACHABLE
    assert "(there is no such host, or its name cannot be resolved now)" in failure.message


async def test_an_address_that_does_not_speak_tls_is_told_in_words(fake: FakeAnthropic) -> None:
    _, failure = await fail(connect(fake, url=fake.url.replace("http:", "https:")), request("hello"))
    assert failure.reason is Reason.UNREACHABLE
    assert "perhaps http and https are mixed up" in failure.message
    assert "_ssl.c" not in failure.message


# scenario, requests that are sent, words of what the person is told meanwhile
AGAIN = [
    ("rate-limit", 2, "limit is reached"),
    ("overloaded", 2, "overloaded"),
    ("server-error", 2, "failed"),
    ("bad-gateway", 2, "failed"),
    ("timeout", 2, "does not answer"),
    ("slow-head", 2, "does not answer"),
    ("bad-request", 1, ""),
    ("unauthorized", 1, ""),
]


@pytest.mark.parametrize(("scenario", "requests", "words"), AGAIN, ids=[row[0] for row in AGAIN])
async def test_a_busy_provider_is_asked_again_which_is_told_and_a_wrong_request_is_not(
    fake: FakeAnthropic, scenario: str, requests: int, words: str
) -> None:
    asked, model = request(f"[fake:{scenario} times=1 retry-after=0] please"), connect(fake, retries=3)
    events: list[object] = []
    try:
        async for event in model.stream(asked):
            events.append(event)
    except ModelFailure:
        assert requests == 1
    await model.close()
    told = [event for event in events if isinstance(event, Retrying)]
    assert len(fake.requests) == requests
    assert len(told) == requests - 1
    assert all(event.model == DEFAULT_MODEL and words in event.message for event in told)
    assert not told or events[0] is told[0]


async def test_nobody_waits_for_a_provider_that_wants_an_hour(fake: FakeAnthropic) -> None:
    _, failure = await fail(connect(fake, retries=3), request("[fake:rate-limit retry-after=3600] please"))
    assert "in 60 minutes" in failure.message
    assert failure.wait == 3600
    assert len(fake.requests) == 1


async def test_what_the_provider_asks_for_is_waited(fake: FakeAnthropic) -> None:
    pauses: list[float] = []

    async def noted(seconds: float) -> None:
        pauses.append(seconds)

    model = ClaudeModel(Connection(fake.url, Secret(KEY)), sleep=noted)
    await ask(model, request("[fake:rate-limit times=1 retry-after=7] please"))
    await ask(connect(fake), request("hello"))
    (pause,) = pauses
    assert 7 <= pause <= 7.5


async def test_a_stream_that_failed_before_its_first_word_is_asked_for_again(fake: FakeAnthropic) -> None:
    text, _ = await ask(connect(fake, retries=2), request("[fake:overloaded-early times=2] please"))
    assert text.startswith("You said: please")
    assert len(fake.requests) == 3


async def test_text_that_was_shown_is_never_taken_back(fake: FakeAnthropic) -> None:
    text, _ = await fail(connect(fake, retries=2), request("[fake:overloaded-midway times=1] please"))
    assert text == "Once upon a"
    assert len(fake.requests) == 1


async def test_an_event_of_tomorrow_is_passed_over(fake: FakeAnthropic) -> None:
    text, _ = await ask(connect(fake), request("[fake:unknown-event] please"))
    assert text.startswith("Once upon a time")


async def test_cancelling_ends_the_request(fake: FakeAnthropic) -> None:
    model = connect(fake)
    stream = model.stream(request("[fake:quiet] please"))
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
