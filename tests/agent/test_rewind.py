"""Edit and resend, and an answer that goes on."""

from __future__ import annotations

import base64
import json

import pytest

from tests.agent.phases import asked
from tests.agent.stage import Stage
from tests.agent.test_tool_loops import PNG
from tests.fakes.anthropic_api import Plan, said_by_person
from tests.fakes.gateway_client import MAIN, CallFailed, text_of


async def _id_of(stage: Stage, text: str) -> str:
    messages = await stage.messages()
    return str(next(message["id"] for message in messages if message["role"] == "user" and text_of({"message": message}) == text))


async def test_a_message_is_taken_back_with_all_after_it_and_sent_again(stage: Stage) -> None:
    picture = {"type": "image", "mimeType": "image/png", "fileName": "a.png", "content": base64.b64encode(PNG).decode()}
    await stage.client.say("one")
    await stage.client.say("two", attachments=[picture])
    await stage.client.say("three")
    back = await stage.client.call("chat.rewind", sessionKey=MAIN, messageId=await _id_of(stage, "two"))
    assert (back["text"], [one["fileName"] for one in back["attachments"]]) == ("two", ["a.png"])
    assert [text for role, text in await stage.client.history() if role == "user"] == ["one"]
    await stage.client.say("two, better", attachments=[{"mediaId": back["attachments"][0]["mediaId"]}])
    assert said_by_person(stage.bodies[-1]) == ["one", "two, better"]
    assert "image" in [block["type"] for block in stage.bodies[-1]["messages"][-1]["content"]]


async def test_taking_back_what_a_summary_told_of_takes_the_summary_back(stage: Stage) -> None:
    text = "the secret word is swordfish " * 400
    await stage.client.say(text.strip())
    await stage.client.say("one")
    stage.fake.script(Plan("NOTED"), Plan("It was about a fish."))
    assert (await stage.client.call("sessions.compact", key=MAIN))["compacted"] is True
    stage.fake.script(Plan("ok"))
    await stage.client.say("two")
    assert "It was about a fish." in json.dumps(stage.bodies[-1])
    first = (await stage.messages())[0]["id"]
    await stage.client.call("chat.rewind", sessionKey=MAIN, messageId=first)
    stage.fake.script(Plan("ok"))
    await stage.client.say("anew")
    assert said_by_person(stage.bodies[-1]) == ["anew"]
    assert "fish" not in json.dumps(stage.bodies[-1]["messages"])


async def test_nothing_is_taken_back_while_an_answer_is_written(stage: Stage) -> None:
    await stage.client.say("one")
    stage.fake.script(Plan("never", head_pause=True))
    await stage.client.send("two")
    await asked(stage.fake, 2)
    with pytest.raises(CallFailed, match="stop it first"):
        await stage.client.call("chat.rewind", sessionKey=MAIN, messageId=await _id_of(stage, "one"))


@pytest.mark.parametrize("message_id", ["0", "999", "x", "-1"])
async def test_only_a_message_of_the_person_here_can_be_taken_back(message_id: str, stage: Stage) -> None:
    await stage.client.say("one")
    with pytest.raises(CallFailed):
        await stage.client.call("chat.rewind", sessionKey=MAIN, messageId=message_id)
    answer = next(message["id"] for message in await stage.messages() if message["role"] == "assistant")
    with pytest.raises(CallFailed, match="no message of yours"):
        await stage.client.call("chat.rewind", sessionKey=MAIN, messageId=answer)


async def test_an_answer_that_was_stopped_goes_on_also_after_a_command(stage: Stage) -> None:
    run = await stage.client.send("[fake:stall] a story")
    await stage.client.wait_delta(run)
    await stage.client.call("chat.abort", sessionKey=MAIN)
    await stage.client.wait_end(run)
    await stage.client.say("/status")
    stage.fake.script(Plan("and so on."))
    assert (await stage.client.call("chat.continue", sessionKey=MAIN, idempotencyKey="on"))["status"] == "started"
    assert text_of(await stage.client.wait_end("on")) == "and so on."
    assert await stage.client.call("chat.continue", sessionKey=MAIN, idempotencyKey="on") == {"runId": "on", "status": "ok"}
    asked_by_us = next(message for message in await stage.messages() if message.get("runId") == "on")
    assert asked_by_us["continue"] is True


async def test_what_is_whole_or_was_refused_does_not_go_on(stage: Stage) -> None:
    with pytest.raises(CallFailed, match="nothing to continue"):
        await stage.client.call("chat.continue", sessionKey=MAIN, idempotencyKey="1")
    await stage.client.say("hello")
    assert "nothing to continue" in await stage.client.say("/continue")
    await stage.client.wait_end(await stage.client.send("[fake:refusal]"))
    with pytest.raises(CallFailed, match="nothing to continue"):
        await stage.client.call("chat.continue", sessionKey=MAIN, idempotencyKey="2")
