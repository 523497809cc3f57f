"""Conversations through the public edge: a real WebSocket with a seal (rules 4, 6, 7, 13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_protocol.methods import Scope
from moltbot_trust.seals import Seal
from tests.fakes.gateway_client import ADMIN, MAIN, CallFailed, SealedClient, text_of
from tests.gateway.models import ScriptedModel, words
from tests.gateway.pod import Live, Pod, start


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def live(tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Live]:
    async with start(Pod(tmp_path), model=model) as started:
        yield started


@pytest.fixture
async def client(live: Live) -> AsyncIterator[SealedClient]:
    async with SealedClient.connect(live.address) as connected:
        yield connected


async def test_an_answer_streams_and_is_kept(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    model.script.put_nowait("Hel")
    first = await client.wait_delta(run)
    assert (text_of(first), first["deltaText"]) == ("Hel", "Hel")
    model.answer("lo", " there")
    end = await client.wait_end(run)
    assert end["state"] == "final"
    assert text_of(end) == "Hello there"
    assert end["message"]["stopReason"] == "stop"
    assert end["message"]["usage"]["totalTokens"] == 15
    deltas = [payload for payload in client.chat(run) if payload["state"] == "delta"]
    assert [payload["seq"] for payload in client.chat(run)] == sorted({payload["seq"] for payload in client.chat(run)})
    assert "Hello there".startswith("".join(payload["deltaText"] for payload in deltas))
    assert await client.history() == [("user", "hello"), ("assistant", "Hello there")]


async def test_deltas_are_told_at_most_every_150_ms_and_sum_up(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    for word in range(40):
        model.script.put_nowait(f"{word} ")
        await asyncio.sleep(0.01)
    model.answer()
    await client.wait_end(run)
    deltas = [payload for payload in client.chat(run) if payload["state"] == "delta"]
    assert 2 <= len(deltas) <= 6
    told = ""
    for payload in deltas:
        told += payload["deltaText"]
        assert text_of(payload) == told


async def test_the_model_gets_the_conversation_and_only_it(client: SealedClient, model: ScriptedModel) -> None:
    model.answer("one")
    await client.say("first")
    model.answer("other")
    await client.say("elsewhere", session="agent:main:side")
    model.answer("two")
    await client.say("second")
    assert [(turn.role, words(turn)) for turn in model.requests[-1].turns] == [("user", "first"), ("assistant", "one"), ("user", "second")]
    assert "ada" in "".join(model.requests[-1].system)


async def test_a_repeated_key_never_runs_twice(client: SealedClient, model: ScriptedModel) -> None:
    """Rule 4: a frame with an idempotency key is sent again after a lost upstream."""
    await client.send("hello", key="same")
    params = {"sessionKey": MAIN, "message": "hello", "idempotencyKey": "same"}
    assert await client.call_with("chat.send", params) == {"runId": "same", "status": "in_flight"}
    model.answer("hi")
    await client.wait_end("same")
    assert await client.call_with("chat.send", params) == {"runId": "same", "status": "ok"}
    assert len(model.requests) == 1
    assert await client.history() == [("user", "hello"), ("assistant", "hi")]


async def test_two_copies_of_a_frame_on_two_sockets_run_once(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    async with SealedClient.connect(live.address) as second:
        params = {"sessionKey": MAIN, "message": "hello", "idempotencyKey": "same"}
        answers = await asyncio.gather(client.call_with("chat.send", params), second.call_with("chat.send", params))
        assert sorted(answer["status"] for answer in answers) == ["in_flight", "started"]
        model.answer("hi")
        await asyncio.gather(client.wait_end("same"), second.wait_end("same"))
    assert len(model.requests) == 1


async def test_messages_sent_meanwhile_wait_their_turn(client: SealedClient, model: ScriptedModel) -> None:
    first = await client.send("first")
    await model.asked.wait()
    second = await client.send("second")
    third = await client.send("third")
    history = await client.call("chat.history", sessionKey=MAIN)
    assert [(message["role"], bool(message.get("queued"))) for message in history["messages"]] == [
        ("user", False),
        ("user", True),
        ("user", True),
    ]
    assert history["inFlightRun"]["runId"] == first
    for word, run in (("one", first), ("two", second), ("three", third)):
        model.answer(word)
        assert text_of(await client.wait_end(run)) == word
    assert [text for _, text in await client.history()] == ["first", "one", "second", "two", "third", "three"]
    assert [words(turn) for turn in model.requests[1].turns] == ["first", "one", "second"]


async def test_sessions_are_answered_side_by_side(client: SealedClient, model: ScriptedModel) -> None:
    await client.send("slow", session="agent:main:a")
    await model.asked.wait()
    model.asked.clear()
    await client.send("quick", session="agent:main:b")
    await asyncio.wait_for(model.asked.wait(), 5)
    assert len(model.requests) == 2
    model.answer("x")
    model.answer("y")


@pytest.mark.parametrize("way", ["chat.abort", "stop word", "/stop"])
async def test_an_aborted_answer_keeps_what_had_arrived(client: SealedClient, model: ScriptedModel, way: str) -> None:
    run = await client.send("tell me a story")
    model.script.put_nowait("Once upon")
    await client.wait_delta(run)
    if way == "chat.abort":
        answer = await client.call("chat.abort", sessionKey=MAIN, runId=run)
    else:
        word = "Stop." if way == "stop word" else way
        answer = await client.call("chat.send", sessionKey=MAIN, message=word, idempotencyKey="stop-1")
    assert answer == {"ok": True, "aborted": True, "runIds": [run]}
    end = await client.wait_end(run)
    assert (end["state"], end["stopReason"], text_of(end)) == ("aborted", "rpc", "Once upon")
    assert await client.history() == [("user", "tell me a story"), ("assistant", "Once upon")]
    model.answer("again")
    assert await client.say("next") == "again"


async def test_an_abort_ends_the_request_to_the_provider(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    await model.asked.wait()
    await client.call("chat.abort", sessionKey=MAIN)
    await client.wait_end(run)
    assert model.closed_streams == 1


async def test_an_abort_takes_back_what_waits(client: SealedClient, model: ScriptedModel) -> None:
    first = await client.send("first")
    await model.asked.wait()
    second = await client.send("second")
    answer = await client.call("chat.abort", sessionKey=MAIN)
    assert answer["runIds"] == [first, second]
    assert (await client.wait_end(second))["state"] == "aborted"
    await client.wait_end(first)
    assert len(model.requests) == 1


async def test_nothing_to_abort_is_no_error(client: SealedClient) -> None:
    assert await client.call("chat.abort", sessionKey=MAIN) == {"ok": True, "aborted": False, "runIds": []}


async def test_a_failure_is_told_in_words_and_kept(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    model.script.put_nowait("Half an ans")
    model.script.put_nowait(ModelFailure(ErrorKind.RATE_LIMIT, "The limit is reached. Ask again in a minute.", reason=Reason.RATE_LIMITED))
    end = await client.wait_end(run)
    assert (end["state"], end["errorKind"]) == ("error", "rate_limit")
    assert end["errorMessage"] == "The limit is reached. Ask again in a minute."
    assert text_of(end) == "Half an ans"
    kept = (await client.call("chat.history", sessionKey=MAIN))["messages"][-1]
    assert (kept["stopReason"], kept["errorMessage"], kept["errorKind"]) == ("error", end["errorMessage"], "rate_limit")


async def test_a_fault_of_ours_is_an_error_and_the_session_goes_on(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    model.script.put_nowait(RuntimeError("a fault"))
    end = await client.wait_end(run)
    assert (end["state"], end["errorKind"]) == ("error", "unknown")
    assert "a fault" not in end["errorMessage"]
    model.answer("fine")
    assert await client.say("again") == "fine"


async def test_a_timeout_ends_the_turn_with_what_there_is(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello", timeoutMs=50)
    model.script.put_nowait("Wai")
    end = await client.wait_end(run)
    assert (end["state"], end["errorKind"], text_of(end)) == ("error", "timeout", "Wai")


async def test_a_refusal_is_left_out_of_what_the_model_gets_next(client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("bad question")
    model.script.put_nowait("I would")
    model.script.put_nowait(ModelFailure(ErrorKind.REFUSAL, "The model declined."))
    await client.wait_end(run)
    model.answer("yes")
    await client.say("good question")
    assert [words(turn) for turn in model.requests[-1].turns] == ["good question"]


async def test_events_reach_every_device_that_may_read(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    reader = Seal("b" * 64, "operator", (Scope.READ,), 1)
    pairing = Seal("c" * 64, "operator", (Scope.PAIRING,), 1)
    async with SealedClient.connect(live.address, reader) as other, SealedClient.connect(live.address, pairing) as third:
        await other.call("sessions.messages.subscribe", key="main")
        await other.call("sessions.subscribe")
        model.answer("hi")
        run = await client.send("hello")
        assert text_of(await other.wait_end(run)) == "hi"
        await client.wait_end(run)
        for role, text in (("user", "hello"), ("assistant", "hi")):
            told = await other.wait_for(lambda event, role=role: event["event"] == "session.message" and _role(event) == role)  # type: ignore[misc]
            assert (text_of(told["payload"]), told["payload"]["runId"]) == (text, run)
        await other.wait_for(lambda event: event["event"] == "sessions.changed" and event["payload"].get("phase") == "ended")
        with pytest.raises(CallFailed, match="missing scope"):
            await other.send("not allowed")
        with pytest.raises(CallFailed, match="missing scope"):
            await third.call("health")
        assert third.events == []


async def test_agent_events_tell_the_life_of_a_run(client: SealedClient, model: ScriptedModel) -> None:
    model.answer("hi")
    run = await client.send("hello")
    await client.wait_for(lambda event: event["event"] == "agent" and event["payload"]["data"].get("phase") == "end")
    streams = [event["payload"]["stream"] for event in client.events if event["event"] == "agent" and event["payload"]["runId"] == run]
    assert streams == ["lifecycle", "assistant", "lifecycle"]


def _role(event: dict[str, Any]) -> object:
    return event["payload"]["message"]["role"]


BAD_PARAMS = [
    ("chat.send", {}, "must have required property"),
    ("chat.send", {"sessionKey": MAIN, "message": "x", "idempotencyKey": "k", "foo": 1}, "unexpected property 'foo'"),
    ("chat.send", {"sessionKey": MAIN, "message": "  ", "idempotencyKey": "k"}, "empty"),
    ("chat.send", {"sessionKey": "agent:other:main", "message": "x", "idempotencyKey": "k"}, "unknown agent"),
    ("chat.send", {"sessionKey": MAIN, "message": "x", "idempotencyKey": "k", "thinking": "very"}, "thinking is one of"),
    ("chat.send", {"sessionKey": MAIN, "message": "x", "idempotencyKey": "k", "attachments": [{}]}, "file is empty"),
    ("chat.history", {"sessionKey": MAIN, "limit": 0}, "must be >= 1"),
    ("sessions.patch", {"key": MAIN, "sendPolicy": "deny"}, "'sendPolicy' is not served"),
    ("sessions.patch", {"key": MAIN, "model": "two words"}, "no model's name"),
    ("sessions.patch", {"key": MAIN, "thinkingLevel": "high"}, "has no thinking levels"),
    ("sessions.delete", {"key": "main"}, "main session cannot be deleted"),
    ("no.such.method", {}, "unknown method"),
    ("device.pair.list", {}, "unknown method"),
]


@pytest.mark.parametrize(("method", "params", "words"), BAD_PARAMS, ids=[f"{method} {words}" for method, _, words in BAD_PARAMS])
async def test_a_bad_request_is_told_and_keeps_the_socket(client: SealedClient, method: str, params: dict[str, object], words: str) -> None:
    with pytest.raises(CallFailed, match=words) as caught:
        await client.call_with(method, params)
    assert caught.value.error["code"] == "INVALID_REQUEST"
    assert (await client.call("health"))["ok"] is True


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"type":"req"}', '{"type":"req","id":"1","method":5}', "[" * 3000])
async def test_what_is_no_frame_gets_an_error_and_keeps_the_socket(client: SealedClient, text: str) -> None:
    response = await client.raw(text)
    assert response["ok"] is False
    assert response["error"]["code"] == "INVALID_REQUEST"
    assert (await client.call("health"))["ok"] is True


async def test_sessions_are_listed_labelled_reset_and_deleted(client: SealedClient, model: ScriptedModel) -> None:
    model.answer("hi")
    await client.say("a question about cats", session="cats")
    await client.call("sessions.patch", key="cats", label="Cats", model="thinker-9", thinkingLevel="high")
    listed = await client.call("sessions.list", includeDerivedTitles=True, includeLastMessage=True)
    (row,) = listed["sessions"]
    assert (row["key"], row["label"], row["model"], row["thinkingLevel"]) == ("agent:main:cats", "Cats", "thinker-9", "high")
    assert (row["derivedTitle"], row["lastMessagePreview"], row["totalTokens"]) == ("a question about cats", "hi", 15)
    model.answer("deep")
    await client.say("think", session="cats")
    assert (model.requests[-1].model, model.requests[-1].thinking) == ("thinker-9", "high")
    assert (await client.call("sessions.list", search="dogs"))["count"] == 0
    before = (await client.call("chat.history", sessionKey="cats"))["sessionId"]
    await client.call("sessions.reset", key="cats")
    after = await client.call("chat.history", sessionKey="cats")
    assert after["messages"] == []
    assert after["sessionId"] not in (before, None)
    assert (await client.call("sessions.delete", key="cats"))["deleted"] is True
    assert (await client.call("sessions.list"))["totalCount"] == 0


async def test_slash_commands_are_answered_here_and_once(client: SealedClient, model: ScriptedModel) -> None:
    model.answer("hi")
    await client.say("hello")
    status = await client.say("/status")
    assert "Messages in this conversation: 2" in status
    assert "`other-model`" in await client.say("/model other-model")
    await client.say("/new", key="new-1")
    again = await client.call("chat.send", sessionKey=MAIN, message="/new", idempotencyKey="new-1")
    assert again["status"] == "ok"
    model.answer("fresh")
    await client.say("who are you")
    assert [words(turn) for turn in model.requests[-1].turns] == ["who are you"]
    assert model.requests[-1].model == "other-model"
    model.answer("a path")
    assert await client.say("/etc/passwd what is it") == "a path"


async def test_a_flood_of_messages_is_refused_and_not_forgotten(client: SealedClient, model: ScriptedModel) -> None:
    first = await client.send("first")
    await model.asked.wait()
    waiting = [await client.send(f"{number}") for number in range(20)]
    with pytest.raises(CallFailed) as caught:
        await client.send("one too many")
    assert (caught.value.error["code"], caught.value.error["retryable"]) == ("UNAVAILABLE", True)
    for _ in range(21):
        model.answer("ok")
    for run in (first, *waiting):
        assert (await client.wait_end(run))["state"] == "final"


@pytest.mark.parametrize("seal", [ADMIN])
async def test_a_large_message_comes_back_whole(client: SealedClient, model: ScriptedModel, seal: Seal) -> None:
    large = "ü" * 900_000
    model.answer("noted")
    await client.say(large)
    assert (await client.history())[0] == ("user", large)
