"""The pure parts by cases: pace, context, commands, the demo model, the outbox, and the tables that must agree."""

from __future__ import annotations

import asyncio

import pytest

from moltbot_api.conditions import Reason as Catalogue
from moltbot_gateway.chat.commands import find_command, is_stop
from moltbot_gateway.chat.context import NOTE_FIRST, build_context
from moltbot_gateway.chat.pace import DeltaPacer
from moltbot_gateway.edge.outbox import Outbox
from moltbot_gateway.methods import HANDLERS
from moltbot_gateway.methods.context import canonical_key
from moltbot_gateway.models.base import said
from moltbot_gateway.models.demo import compose
from moltbot_gateway.models.demo_calls import call_for
from moltbot_gateway.models.failure import Reason
from moltbot_gateway.models.provider_failures import ApiError, Place, describe
from moltbot_gateway.store.records import Message
from moltbot_protocol.frames import Event, parse_server_frame, serialise
from moltbot_protocol.methods import METHODS, Answers


def test_every_served_method_has_a_handler_and_no_other() -> None:
    served = {name for name, method in METHODS.items() if method.served and method.answers is Answers.GATEWAY}
    assert set(HANDLERS) == served


def test_reasons_are_words_of_the_catalogue() -> None:
    """The operator drops a reason that it does not know."""
    assert {reason.value for reason in Reason} <= {reason.value for reason in Catalogue}


def test_the_first_text_is_told_at_once_and_then_in_steps() -> None:
    pacer = DeltaPacer()
    assert pacer.push("a", 0.0)
    assert pacer.take(0.0) == "a"
    assert not pacer.push("b", 0.1)
    assert pacer.wait(0.1) == pytest.approx(0.05)
    assert pacer.push("c", 0.15)
    assert pacer.take(0.15) == "bc"
    assert pacer.take(0.2) == ""
    assert pacer.text == "abc"


def _message(number: int, role: str, text: str, run: str | None, **detail: object) -> Message:
    return Message(number, role, text, number, run, detail)


def _note(number: int) -> Message:
    """Said by itself, as a job or a heartbeat does."""
    return _message(number, "assistant", "note", None)


A = _message(1, "user", "a", "1")
C = _message(9, "user", "c", "2")
CONTEXTS: dict[str, tuple[list[Message], list[str]]] = {
    "a talk": ([A, _message(2, "assistant", "b", "1"), C], ["a", "b", "c"]),
    "an empty answer": ([A, _message(2, "assistant", "", "1"), C], ["a", "c"]),
    "a refusal": ([A, _message(2, "assistant", "no", "1", errorKind="refusal"), C], ["c"]),
    "a command": ([_message(1, "user", "/status", "1", command=True), _message(2, "assistant", "x", "1", command=True), C], ["c"]),
    "an interruption": ([A, _message(2, "assistant", "half", "1", interrupted=True), C], ["a", "half", "c"]),
    "taken back before it began": (
        [_message(1, "user", "a", "1", withdrawn=True), _message(2, "assistant", "", "1", withdrawn=True), C],
        ["c"],
    ),
    "a note": ([A, _message(2, "assistant", "b", "1"), _note(3), C], ["a", "b", "note", "c"]),
    "a note during an answer": ([A, _note(2), _message(3, "assistant", "b", "1"), C], ["a", "b", "note", "c"]),
    "a note during this answer": ([A, _message(2, "assistant", "b", "1"), C, _note(10), _message(11, "assistant", "d", "2")], list("abcd")),
    "a note before all": ([_note(1), C], [NOTE_FIRST, "note", "c"]),
    "a refusal of another conversation": (
        [_note(1), _message(2, "assistant", "x", None, errorKind="refusal"), C],
        [NOTE_FIRST, "note", "x", "c"],
    ),
    "a cut beginning": ([_message(2, "assistant", "b", "1"), C], ["c"]),
}


@pytest.mark.parametrize("case", CONTEXTS)
def test_what_the_model_gets(case: str) -> None:
    messages, expected = CONTEXTS[case]
    assert [said.text for said in build_context(messages, {}, run_id="2")] == expected


@pytest.mark.parametrize("text", ["/stop", "stop", "STOP!", " esc ", "abort", "wait.", "exit", "interrupt"])
def test_words_that_stop(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize("text", ["stop it now", "do not wait", "/new", "", "exit the building"])
def test_words_that_do_not_stop(text: str) -> None:
    assert not is_stop(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/new", ("new", "")),
        ("/RESET", ("new", "")),
        ("/model: claude-x", ("model", "claude-x")),
        ("/think high", ("think", "high")),
        ("/etc/passwd", None),
        ("/new\nline", ("new", "line")),
        ("/think\nhigh", None),
        ("new", None),
    ],
)
def test_slash_commands(text: str, expected: tuple[str, str] | None) -> None:
    found = find_command(text)
    assert (None if found is None else (found[0].name, found[1])) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("main", "agent:main:main"),
        ("Agent:Main:MAIN", "agent:main:main"),
        ("cats", "agent:main:cats"),
        ("agent:main:a:b", "agent:main:a:b"),
    ],
)
def test_session_keys(key: str, expected: str) -> None:
    assert canonical_key(key) == expected


DEMO: list[tuple[list[str], str]] = [
    (["hello"], "demo model"),
    (["847293 + 651824"], "847293 + 651824 = 1499117"),
    (["what is 7*6?"], "7 × 6 = 42"),
    (["1 / 0"], "divided by zero"),
    (["10 / 4"], "2.5"),
    (["2.5 + 1"], "3.5"),
    (["count to 5"], "1 2 3 4 5"),
    (["count from 3 to 1"], "3 2 1"),
    (["count to 100000"], "stop at 200"),
    (["say cheese please"], "cheese please"),
    (["my name is Grace", "hello", "what's my name?"], "Grace"),
    (["what's my name?"], "not told me"),
    (["remember that the milk is sour", "what did I say?"], "1. remember that the milk is sour"),
    (["what did I say?"], "first thing"),
    (["hello", "tell me about whales"], "“tell me about whales”"),
    (["9" * 31 + " + 1"], "too long"),
    (["The milk is sour. Remember that."], "I will remember: The milk is sour"),
]


@pytest.mark.parametrize(("texts", "expected"), DEMO, ids=[texts[-1][:30] for texts, _ in DEMO])
def test_what_the_demo_model_says(texts: list[str], expected: str) -> None:
    messages = [said("user", text) for text in texts]
    assert expected in compose(messages)


def test_a_secret_that_a_provider_repeats_is_not_shown() -> None:
    failure = describe(ApiError(401, "authentication_error", "invalid x-api-key sk-ant-api03-abcdefghijklmnop"), Place("m", "host"))
    assert "abcdefghijklmnop" not in failure.message


def _delta(text: str, more: str) -> Event:
    return Event("chat", {"runId": "r", "state": "delta", "message": {"content": [{"type": "text", "text": text}]}, "deltaText": more})


async def test_a_slow_reader_gets_the_sum_of_a_growing_answer() -> None:
    outbox = Outbox()
    for text, more in (("a", "a"), ("ab", "b"), ("abc", "c")):
        event = _delta(text, more)
        outbox.put_event(event, serialise(event), "chat r")
    outbox.put("a response")
    frame = parse_server_frame(str(await outbox.take()))
    assert isinstance(frame, Event)
    assert isinstance(frame.payload, dict)
    assert (frame.payload["deltaText"], frame.payload["message"]["content"][0]["text"]) == ("abc", "abc")
    assert await outbox.take() == "a response"
    later = _delta("abcd", "d")
    outbox.put_event(later, serialise(later), "chat r")
    assert '"deltaText":"d"' in str(await outbox.take())


async def test_an_agent_event_is_summed_up_as_well() -> None:
    outbox = Outbox()
    for text, more in (("a", "a"), ("ab", "b")):
        event = Event("agent", {"runId": "r", "stream": "assistant", "data": {"text": text, "delta": more}})
        outbox.put_event(event, serialise(event), "agent r")
    frame = parse_server_frame(str(await outbox.take()))
    assert isinstance(frame, Event)
    assert isinstance(frame.payload, dict)
    assert frame.payload["data"] == {"text": "ab", "delta": "ab"}


async def test_an_outbox_is_bounded_and_ends() -> None:
    outbox = Outbox(limit=100)
    seen = []
    for _ in range(2):
        outbox.put("x" * 60)
        seen.append(outbox.overflowed)
        await outbox.take()
    outbox.put("x" * 60)
    outbox.put("x" * 60)
    assert [*seen, outbox.overflowed] == [False, False, True]
    ended = Outbox()
    waiting = asyncio.ensure_future(ended.take())
    await asyncio.sleep(0)
    ended.end()
    assert await waiting is None


CALLS: list[tuple[str, tuple[str, dict[str, object]] | None]] = [
    ("run date", ("exec", {"command": "date"})),
    ("$ ls -la | head", ("exec", {"command": "ls -la | head"})),
    ("please run `uname -a`", ("exec", {"command": "uname -a"})),
    ("list my files", ("list", {})),
    ("read SOUL.md", ("read", {"path": "SOUL.md"})),
    ("read https://example.org/a", ("web_fetch", {"url": "https://example.org/a", "max_chars": 3000})),
    ("write notes/a.md: hello\nyou", ("write", {"path": "notes/a.md", "content": "hello\nyou\n"})),
    ("search your memory for the milk?", ("memory_search", {"query": "the milk"})),
    ("remind me in 2 hours to eat", ("cron", {"action": "add", "name": "eat", "inMinutes": 120, "prompt": "say Reminder: eat"})),
    ("running is healthy", None),
    ("read me a story", None),
]


@pytest.mark.parametrize(("said_now", "expected"), CALLS, ids=[text[:30] for text, _ in CALLS])
def test_what_the_demo_model_calls(said_now: str, expected: tuple[str, dict[str, object]] | None) -> None:
    tools = {"exec", "list", "read", "write", "web_fetch", "memory_search", "cron"}
    assert call_for(said_now, tools) == expected
    assert call_for(said_now, set()) is None
