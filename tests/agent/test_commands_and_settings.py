"""Slash commands, and what a person chooses for one conversation."""

from __future__ import annotations

import json

import pytest

from moltbot_gateway.chat.commands import COMMANDS
from moltbot_protocol.methods import Scope
from moltbot_trust.seals import Seal
from tests.agent.stage import Stage
from tests.fakes.anthropic_api import Plan, said_by_person
from tests.fakes.gateway_client import MAIN, CallFailed, SealedClient

# What is sent, and what the answer says. The model hears of none of them.
ANSWERS: dict[str, str] = {
    "/help": "`/stop`",
    "/commands": "`/compact`",
    "/status": "Messages in this conversation: 2",
    "/model": "is answered by `claude-sonnet-5-5`",
    "/model claude-haiku-4-5": "`claude-haiku-4-5` answers here",
    "/think HIGH": "Thinking: high.",
    "/think": "Now: off",
    "/think a lot": "Levels: off, minimal",
    "/verbose full": "Verbose: full.",
    "/v": "takes one of off, on, full",
    "/usage": "Today: ",
    "/usage tokens": "Usage: tokens.",
    "/queue Steer": "Queue: steer.",
    "/queue": "Now: followup",
    "/compact": "nothing was summarised",
    "/context": "System prompt: ",
    "/continue": "nothing to continue",
    "/approve": "once|always|deny",
    "/approve x once": "unknown or expired",
    "/skill": "`/skill <name>",
    "/skill nothing": "no skill `nothing`",
    "/whoami": "operator.admin",
    "/activation": "No channel is connected",
    "/send off": "No channel is connected",
    "/new": "A new conversation",
    "/reset": "A new conversation",
}


@pytest.mark.parametrize("text", ANSWERS)
async def test_a_command_is_answered_without_the_model(text: str, stage: Stage) -> None:
    await stage.client.say("hello")
    assert ANSWERS[text] in await stage.client.say(text)
    assert len(stage.bodies) == 1
    await stage.client.say("and now?")
    said = said_by_person(stage.bodies[-1])
    assert said == (["and now?"] if text in ("/new", "/reset") else ["hello", "and now?"])


def test_every_command_is_in_the_table_or_has_a_test_of_its_own() -> None:
    assert {command.name for command in COMMANDS} - {text[1:].split()[0] for text in ANSWERS} == {"stop", "restart"}


async def test_settings_are_kept_used_and_taken_back(stage: Stage) -> None:
    await stage.client.call("sessions.patch", key=MAIN, model="claude-haiku-4-5", thinkingLevel="high", queueMode="collect", label="Mine")
    await stage.client.say("hello")
    assert (stage.bodies[-1]["model"], stage.bodies[-1]["thinking"]["type"]) == ("claude-haiku-4-5", "enabled")
    (row,) = (await stage.client.call("sessions.list"))["sessions"]
    assert (row["model"], row["thinkingLevel"], row["queueMode"], row["label"]) == ("claude-haiku-4-5", "high", "collect", "Mine")
    await stage.client.call("sessions.patch", key=MAIN, model=None, thinkingLevel=None, queueMode=None, label=None)
    await stage.client.say("again")
    assert stage.bodies[-1]["model"] == "claude-sonnet-5-5"
    (row,) = (await stage.client.call("sessions.list"))["sessions"]
    assert (row["thinkingLevel"], row["queueMode"], row.get("label")) == ("off", "followup", None)
    await stage.client.say("elsewhere", session="agent:main:other")
    assert stage.bodies[-1]["model"] == "claude-sonnet-5-5"


@pytest.mark.parametrize(
    "change", [{"queueMode": "x"}, {"thinkingLevel": "x"}, {"model": "a b"}, {"label": "x" * 513}, {"verboseLevel": 5}]
)
async def test_a_setting_that_cannot_be_is_refused_and_changes_nothing(change: dict[str, object], stage: Stage) -> None:
    await stage.client.say("hello")
    before = (await stage.client.call("sessions.describe", key=MAIN))["session"]
    with pytest.raises(CallFailed):
        await stage.client.call_with("sessions.patch", {"key": MAIN, **change})
    assert (await stage.client.call("sessions.describe", key=MAIN))["session"] == before


async def test_a_command_sent_twice_is_carried_out_once(stage: Stage) -> None:
    await stage.client.say("hello")
    params = {"sessionKey": MAIN, "message": "/new", "idempotencyKey": "same"}
    assert (await stage.client.call_with("chat.send", params))["status"] == "started"
    await stage.client.say("in the new one")
    assert (await stage.client.call_with("chat.send", params))["status"] == "ok"
    assert "in the new one" in json.dumps(await stage.messages())


async def test_new_with_words_begins_with_them(stage: Stage) -> None:
    await stage.client.say("hello")
    stage.fake.script(Plan("Begun."))
    assert await stage.client.say("/new what is this?") == "Begun."
    assert said_by_person(stage.bodies[-1]) == ["what is this?"]


async def test_a_skill_is_used_by_its_name(stage: Stage) -> None:
    skill = stage.workspace / "skills" / "tea" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: tea\ndescription: Makes tea.\n---\nBoil water.\n")
    await stage.client.say("hello")
    await stage.client.say("/skill tea green please")
    assert said_by_person(stage.bodies[-1])[-1].startswith("Use the skill tea: read skills/tea/SKILL.md")
    assert said_by_person(stage.bodies[-1])[-1].endswith("green please")


async def test_only_an_administrator_restarts_it(stage: Stage) -> None:
    async with SealedClient.connect(stage.live.address, Seal("b" * 64, "operator", (Scope.READ, Scope.WRITE), 1, "a writer")) as other:
        assert "operator.admin" in await other.say("/restart")
    assert not stage.live.running.gateway.done.is_set()


async def test_a_conversation_that_is_deleted_while_it_answers_leaves_nothing(stage: Stage) -> None:
    other = "agent:main:other"
    run = await stage.client.send("[fake:stall]", session=other)
    await stage.client.wait_delta(run)
    assert (await stage.client.call("sessions.delete", key=other))["deleted"] is True
    assert await stage.messages(other) == []
    assert other not in [row["key"] for row in (await stage.client.call("sessions.list"))["sessions"]]
    stage.fake.script(Plan("Anew."))
    await stage.client.say("hello", session=other)
    assert [text for _, text in await stage.client.history(other)] == ["hello", "Anew."]
