"""A conversation that outgrows the model's window: memory is written first, a summary stands for what was, people still see all of it."""

from __future__ import annotations

import json

import pytest

from tests.agent.stage import GROUP, Stage
from tests.fakes.anthropic_api import ApiError, Call, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, text_of

LONG = "The cat is called Minka and eats at six. " * 250
TOO_LONG = ApiError(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")


async def test_a_window_that_is_full_is_made_room_in_and_the_question_is_answered(stage: Stage) -> None:
    await stage.client.say(LONG.strip())
    stage.fake.script(TOO_LONG, Plan("Minka is a cat."), Plan("At six."))
    run = await stage.client.send("When does she eat?")
    assert text_of(await stage.client.wait_end(run)) == "At six."
    told = [event["phase"] for event in stage.agent_events(run, "compaction")]
    assert told == ["start", "end"]
    assert [payload["phase"] for payload in stage.client.chat(run) if payload["state"] == "status"] == ["compacting"]
    last = stage.bodies[-1]
    assert "Minka is a cat." in json.dumps(last)
    assert LONG[:200] not in json.dumps(last)
    assert said_by_person(last)[-1] == "When does she eat?"
    assert [text for role, text in await stage.client.history() if role == "user"] == [LONG.strip(), "When does she eat?"]
    stage.fake.script(Plan("Yes."))
    await stage.client.say("Sure?")
    assert said_by_person(stage.bodies[-1])[-2:] == ["When does she eat?", "Sure?"]


async def test_a_window_that_stays_full_ends_in_words(stage: Stage) -> None:
    await stage.client.say("hello")
    stage.fake.script(TOO_LONG, Plan("Short."), TOO_LONG)
    end = await stage.client.wait_end(await stage.client.send("and?"))
    assert (end["state"], end["errorKind"]) == ("error", "context_length")
    assert "/new" in end["errorMessage"]
    end = await stage.client.wait_end(await stage.client.send("[fake:too-large]", session="agent:main:fresh"))
    assert (end["state"], end["errorKind"]) == ("error", "context_length")


@pytest.mark.parametrize("how", ["/compact", "sessions.compact"])
async def test_memory_is_written_before_the_summary(how: str, stage: Stage) -> None:
    await stage.client.say(LONG.strip())
    await stage.client.say("Thanks.")
    note = Call("write", {"path": "MEMORY.md", "content": "Minka eats at six."})
    stage.fake.script(Plan(calls=(note,)), Plan("NOTED"), Plan("About Minka."))
    if how == "/compact":
        assert "summarised" in await stage.client.say("/compact")
    else:
        assert (await stage.client.call("sessions.compact", key=MAIN))["compacted"] is True
    assert (stage.workspace / "MEMORY.md").read_text() == "Minka eats at six."
    flush, after, summary = stage.bodies[-3:]
    assert flush["tools"] == stage.bodies[0]["tools"]  # what was said before is read from the cache
    assert flush["system"][0]["text"] == stage.bodies[0]["system"][0]["text"]
    assert after["messages"][-1]["content"][0]["type"] == "tool_result"
    assert "tools" not in summary
    stage.fake.script(Plan("Yes."))
    await stage.client.say("And now?")
    sent = json.dumps(stage.bodies[-1])
    assert "About Minka." in sent
    assert said_by_person(stage.bodies[-1])[-2:] == ["Thanks.", "And now?"]
    assert "Minka eats at six." in sent  # memory stands in the prompt
    assert "NOTED" not in json.dumps(await stage.messages())


async def test_what_a_group_said_is_not_written_into_memory(stage: Stage) -> None:
    await stage.client.say(LONG.strip(), session=GROUP)
    await stage.client.say("Thanks.", session=GROUP)
    stage.fake.script(Plan("About Minka."))
    assert (await stage.client.call("sessions.compact", key=GROUP))["compacted"] is True
    assert len(stage.bodies) == 3  # two turns and the summary alone


async def test_a_second_summary_knows_of_the_first(stage: Stage) -> None:
    for number in (1, 2):
        await stage.client.say(f"{number} {LONG.strip()}")
        await stage.client.say("Thanks.")
        stage.fake.script(Plan("NOTED"), Plan(f"summary {number}"))
        await stage.client.call("sessions.compact", key=MAIN)
    assert "summary 1" in json.dumps(stage.bodies[-1])
    stage.fake.script(Plan("Yes."))
    await stage.client.say("And now?")
    assert "summary 2" in json.dumps(stage.bodies[-1])
    assert "summary 1" not in json.dumps(stage.bodies[-1])


async def test_a_short_conversation_is_left_as_it_is(stage: Stage) -> None:
    assert "nothing to summarise" in await stage.client.say("/compact")
    await stage.client.say("hello")
    assert "nothing was summarised" in await stage.client.say("/compact")
    assert len(stage.bodies) == 1


async def test_a_summary_that_fails_changes_nothing(stage: Stage) -> None:
    await stage.client.say(LONG.strip())
    await stage.client.say("Thanks.")
    stage.fake.script(Plan("NOTED"), ApiError(401, "authentication_error", "invalid x-api-key"))
    assert "did not accept the key" in await stage.client.say("/compact")
    stage.fake.script(Plan("Yes."))
    await stage.client.say("And now?")
    assert said_by_person(stage.bodies[-1]) == [LONG.strip(), "Thanks.", "And now?"]
