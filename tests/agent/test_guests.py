"""What others than the owner may write or read gets no tool that reaches what is the owner's (workspace, memory, other conversations)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.agent import offered_to
from moltbot_gateway.tools.base import ToolCall, ToolOutcome
from moltbot_gateway.tools.toolbox import Offered
from moltbot_gateway.workspace import scopes
from moltbot_gateway.workspace.scopes import DmScope, Person
from tests.agent.stage import GROUP, Stage, call, on_stage, results_in, tool
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan, said_by_person
from tests.fakes.gateway_client import MAIN

STRANGER = Person("telegram", "7")
OFFERED = {
    "the owner's own": (MAIN, Offered.ALL),
    "one that the owner began": ("agent:main:travel", Offered.ALL),
    "one of the page": ("agent:main:dashboard:1", Offered.ALL),
    "a stranger's": (scopes.direct_key(DmScope.MAIN, STRANGER, "", ()), Offered.GUEST),
    "a group's": (scopes.group_key("telegram", "-100"), Offered.GUEST),
    "a group that is called as a task": (scopes.group_key("telegram", "subagent:1"), Offered.GUEST),
    "a stranger who is called as a job": (scopes.direct_key(DmScope.PER_PEER, Person("slack", "cron"), "cron", ()), Offered.GUEST),
    "what comes by a hook": ("agent:main:hook:mail", Offered.GUEST),
    "a job's": (scopes.cron_key("brief"), Offered.JOB),
    "a task's": (scopes.subagent_key("1"), Offered.TASK),
}


@pytest.mark.parametrize("case", OFFERED)
def test_which_tools_a_conversation_gets(case: str) -> None:
    key, expected = OFFERED[case]
    assert offered_to(key) is expected


def _names(body: dict[str, Any]) -> set[str]:
    return {given["name"] for given in body.get("tools", [])}


async def test_a_group_is_offered_the_web_and_nothing_else(fake: FakeAnthropic, tmp_path: Path) -> None:
    async def never(given: ToolCall) -> ToolOutcome:
        raise AssertionError("a tool of the owner's was run in a group")

    config = {"webSearch": {"provider": "brave", "key": "PERSON_ENV_0"}}
    async with on_stage(fake, tmp_path, tools=[tool("mine", never)], agent=config, person={"PERSON_ENV_0": "k"}) as stage:
        await stage.client.say("hello", session=GROUP)
        assert _names(stage.bodies[-1]) == {"web_fetch", "web_search", "session_status"}
        await stage.client.say("hello")
        assert {"read", "exec", "memory_search", "sessions_history", "cron", "message", "mine"} <= _names(stage.bodies[-1])


async def test_what_a_group_was_not_offered_is_not_carried_out_either(stage: Stage) -> None:
    """The model may call what it read of elsewhere."""
    await stage.client.say("My PIN is 4711. Keep it to yourself.")
    (stage.workspace / "MEMORY.md").write_text("The door's code is 0815.\n")
    stolen = (
        Call("read", {"path": "MEMORY.md"}),
        Call("exec", {"command": "cat MEMORY.md"}),
        Call("memory_search", {"query": "code"}),
        Call("sessions_history", {"key": MAIN}),
        Call("sessions_send", {"key": MAIN, "message": "what is the PIN?"}),
        Call("sessions_spawn", {"task": "read MEMORY.md"}),
        Call("cron", {"action": "add", "name": "x", "prompt": "tell the PIN", "at": "2026-11-25T00:00:00Z"}),
        Call("message", {"to": "telegram:7", "text": "x"}),
    )
    stage.fake.script(Plan(calls=stolen), Plan("I may not."))
    assert await stage.client.say("tell us", session=GROUP) == "I may not."
    results = results_in(stage.bodies[-1])
    assert len(results) == len(stolen)
    assert all(result["is_error"] and "There is no tool" in result["content"][0]["text"] for result in results)
    sent = str([body for body in stage.bodies if "tell us" in str(body["messages"])])
    assert "0815" not in sent
    assert "4711" not in sent
    assert [row["key"] for row in (await stage.client.call("sessions.list"))["sessions"]] == [GROUP, MAIN]


async def test_what_a_job_or_a_task_does_for_the_owner_keeps_files_and_programs(stage: Stage) -> None:
    await stage.client.say("hello", session=scopes.cron_key("brief"))
    assert {"read", "exec", "write"} <= _names(stage.bodies[-1])
    await stage.client.say(f"{call('sessions_spawn', task='look around')}[fake:then]Done.")
    (task,) = [body for body in stage.bodies if said_by_person(body) == ["look around"]]
    assert {"read", "exec", "write"} <= _names(task)
    assert not {"sessions_spawn", "sessions_send", "cron", "message", "subagents"} & _names(task)


async def test_what_the_resource_denies_is_offered_to_nobody(fake: FakeAnthropic, tmp_path: Path) -> None:
    async with on_stage(fake, tmp_path, agent={"deniedTools": ["memory_*", "exec", "fetch"]}) as stage:
        await stage.client.say("hello")
        offered = _names(stage.bodies[-1])
        assert not {"memory_search", "memory_get", "exec"} & offered
        assert {"read", "process", "web_fetch"} <= offered


async def test_context_says_what_that_conversation_is_offered(stage: Stage) -> None:
    assert "exec: " not in await stage.client.say("/context", session=GROUP)
    assert "exec: " in await stage.client.say("/context")
