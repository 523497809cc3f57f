"""Tasks and other conversations: begun, waited for, stopped, reported; and never waiting for each other for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

from moltbot_gateway.tools.base import ToolCall, ToolOutcome
from tests.agent.phases import asked
from tests.agent.stage import GROUP, Stage, call, on_stage, results_in, tool
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, text_of

OTHER = "agent:main:other"


async def test_tasks_work_side_by_side_and_their_answers_come_back_in_order(fake: FakeAnthropic, tmp_path: Path) -> None:
    barrier = asyncio.Barrier(2)

    async def meet(given: ToolCall) -> ToolOutcome:
        await barrier.wait()
        return ToolOutcome(given.session_key)

    async with on_stage(fake, tmp_path, tools=[tool("meet", meet)]) as stage:
        tasks = [Call("sessions_spawn", {"task": f"{call('meet')}[fake:then]{word}"}) for word in ("one", "two")]
        fake.script(Plan(calls=tuple(tasks)))
        assert await stage.client.say("do both [fake:then]{results}") == "do both one\ntwo"
        rows = (await stage.client.call("sessions.list"))["sessions"]
        assert sorted(row["kind"] for row in rows) == ["main", "subagent", "subagent"]


async def test_a_task_that_is_not_waited_for_reports_by_itself(stage: Stage) -> None:
    stage.fake.script(
        Plan(calls=(Call("sessions_spawn", {"task": "look around", "wait": False, "label": "Look"}),)),
        *[Plan("It runs."), Plan("I saw it.")],
    )
    await stage.client.send("begin", key="1")
    report = await stage.client.wait_for(
        lambda event: event["event"] == "chat" and event["payload"]["runId"].startswith("report:") and event["payload"]["state"] == "final"
    )
    assert text_of(report["payload"])
    told = [message for message in await stage.messages() if message["role"] == "user"]
    assert "The task “Look” ended" in text_of({"message": told[-1]})
    assert told[-1]["announce"].startswith("agent:main:subagent:")


async def test_stopping_a_turn_stops_the_tasks_it_waits_for(stage: Stage) -> None:
    stage.fake.script(
        Plan(calls=(Call("sessions_spawn", {"task": "a"}), Call("sessions_spawn", {"task": "b"}))), *[Plan("never", head_pause=True)] * 2
    )
    run = await stage.client.send("begin")
    await asked(stage.fake, 3)
    await stage.client.call("chat.abort", sessionKey=MAIN)
    assert (await stage.client.wait_end(run))["state"] == "aborted"
    await stage.until_idle()
    assert stage.fake.open_streams == 0
    for row in (await stage.client.call("sessions.list"))["sessions"]:
        assert (await stage.messages(row["key"]))[-1]["stopReason"] == "aborted"


async def test_a_turn_that_is_stopped_as_it_begins_a_task_leaves_none_behind(stage: Stage) -> None:
    stage.fake.script(Plan(calls=(Call("sessions_spawn", {"task": "a"}),)), Plan("never", head_pause=True))
    run = await stage.client.send("begin")
    await stage.wait_tool(run)
    await stage.client.call("chat.abort", sessionKey=MAIN)
    await stage.client.wait_end(run)
    await stage.until_idle()


async def test_subagents_lists_and_stops_tasks(stage: Stage) -> None:
    stage.fake.script(
        Plan(calls=(Call("sessions_spawn", {"task": "look", "wait": False, "label": "Look"}), Call("subagents", {"action": "list"}))),
        Plan("never", head_pause=True),
        Plan("never", head_pause=True),
    )
    await stage.client.send("begin")
    await asked(stage.fake, 3)
    key = next(row["key"] for row in (await stage.client.call("sessions.list"))["sessions"] if row["kind"] == "subagent")
    assert f"{key}: Look" in (await stage.results())[1]
    await stage.client.call("chat.abort", sessionKey=MAIN)
    stage.fake.script(Plan(calls=(Call("subagents", {"action": "stop", "key": key}),)), Plan("Stopped."))
    assert await stage.client.say("stop it")
    assert "It is stopped." in await stage.results()
    assert (await stage.messages(key))[-1]["stopReason"] == "aborted"


async def test_other_conversations_are_listed_read_and_written_to(stage: Stage) -> None:
    await stage.client.say("we go to Rome", session=OTHER)
    stage.fake.script(Plan(calls=(Call("sessions_list", {}), Call("sessions_history", {"key": OTHER}))), Plan("Rome."))
    assert await stage.client.say("where do we go?") == "Rome."
    listed, said = (result["content"][0]["text"] for result in results_in(stage.bodies[-1]))
    assert OTHER in listed
    assert "we go to Rome" in said
    stage.fake.script(Plan(calls=(Call("sessions_send", {"key": OTHER, "message": "when?"}),)), Plan("In May."), Plan("In May, it says."))
    assert await stage.client.say("ask when") == "In May, it says."
    assert results_in(stage.bodies[-1])[0]["content"][0]["text"] == "In May."
    assert [text for _, text in await stage.client.history(OTHER)][-2:] == ["when?", "In May."]


async def test_two_conversations_never_wait_for_each_other(stage: Stage) -> None:
    await stage.client.say("hello", session=OTHER)
    stage.fake.script(
        Plan(calls=(Call("sessions_send", {"key": OTHER, "message": "what do you say?"}),)),
        Plan(calls=(Call("sessions_send", {"key": MAIN, "message": "what do you say?"}),)),
        Plan("I say yes."),
        Plan("It says yes."),
    )
    assert await stage.client.say("ask it") == "It says yes."
    assert "waits for the answer of this one" in (await stage.results(OTHER))[0]


async def test_what_is_sent_to_a_group_brings_no_tools_of_the_owner_there(stage: Stage) -> None:
    await stage.client.say("hello", session=GROUP)
    stage.fake.script(Plan(calls=(Call("sessions_send", {"key": GROUP, "message": "hi all"}),)), Plan("hi"), Plan("Done."))
    await stage.client.say("greet them")
    there = next(body for body in stage.bodies if said_by_person(body)[-1] == "hi all")
    assert {given["name"] for given in there["tools"]} <= {"web_fetch", "web_search", "session_status"}
