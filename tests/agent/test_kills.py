"""The process killed in every phase of a turn and started again: what was there is shown, nothing is carried out twice, the person can let
it go on, and the conversation is whole for the model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.phases import PHASES, SLEEP_SECONDS, STARTED, asked, file_there, started
from tests.agent.stage import call, environ_of
from tests.agent.test_stop import programs
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, SealedClient, text_of
from tests.gateway.pod import Pod


@pytest.fixture(autouse=True)
async def none_left() -> AsyncIterator[None]:
    """Also when a test fails."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.process.returncode is None:
            await process.kill()


@pytest.mark.parametrize("phase", PHASES)
async def test_killed_in_any_phase_it_is_shown_and_goes_on(phase: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    wanted = PHASES[phase]
    pod = Pod(tmp_path, environ=environ_of(fake, wanted.agent))
    workspace = tmp_path / "current" / "workspace"
    fake.script(*wanted.plans)
    first = await started(pod)
    async with SealedClient.connect(first.address) as client:
        for text in wanted.before:
            await client.say(text)
        run = await client.send("do it", key="the-run")
        await wanted.reached(client, fake, workspace, run)
        await first.kill()
    async with asyncio.timeout(10):  # what a tool had started dies with us, as soon as it notices
        while programs(SLEEP_SECONDS):
            await asyncio.sleep(0.01)
    answered = len(fake.requests)
    fake.script(Plan("Finished."), Plan("And on."))
    second = await started(pod)
    async with SealedClient.connect(second.address) as client:
        messages = (await client.call("chat.history", sessionKey=MAIN))["messages"]
        assert (messages[-1]["stopReason"], messages[-1]["interrupted"]) == ("interrupted", True)
        assert "interrupted" in messages[-1]["errorMessage"]
        assert wanted.kept.startswith(text_of({"message": messages[-1]}))
        # The same frame once more (rule 4) begins nothing, and nothing begins by itself.
        again = await client.call("chat.send", sessionKey=MAIN, message="do it", idempotencyKey="the-run")
        assert again == {"runId": "the-run", "status": "ok"}
        assert len(fake.requests) == answered
        went_on = await client.call("chat.continue", sessionKey=MAIN, idempotencyKey="goes-on")
        assert went_on["status"] == "started"
        assert text_of(await client.wait_end("goes-on")) == "Finished."
        results = [
            block for message in fake.requests[-1].body["messages"] for block in message["content"] if block["type"] == "tool_result"
        ]
        dangling = [block for block in results if "may or may not have happened" in str(block["content"])]
        assert (len(results), len(dangling)) == (wanted.calls, min(wanted.calls, 1))
        assert await client.say("and now?") == "And on."
        assert "do it" in said_by_person(fake.requests[-1].body)
    assert await second.terminate() == 0


async def test_what_waited_is_answered_after_the_start_in_its_order_and_once(fake: FakeAnthropic, tmp_path: Path) -> None:
    pod = Pod(tmp_path, environ=environ_of(fake))
    fake.script(Plan("never", head_pause=True))
    first = await started(pod)
    async with SealedClient.connect(first.address) as client:
        await client.send("one", key="1")
        await asked(fake, 1)
        for number in ("2", "3"):
            await client.send(number, key=number)
        await first.kill()
    second = await started(pod)
    async with SealedClient.connect(second.address) as client:
        for number in ("2", "3"):
            again = await client.call("chat.send", sessionKey=MAIN, message=number, idempotencyKey=number)
            assert again["status"] in ("in_flight", "ok")
        await client.say("4")
        history = [(message["role"], message.get("runId")) for message in (await client.call("chat.history", sessionKey=MAIN))["messages"]]
    assert history[:-2] == [(role, number) for number in ("1", "2", "3") for role in ("user", "assistant")]
    assert [said_by_person(request.body)[-1] for request in fake.requests] == ["one", "2", "3", "4"]
    await second.terminate()


@pytest.mark.parametrize("mode", ["collect", "steer"])
async def test_messages_that_joined_a_turn_end_with_it_when_it_is_killed(mode: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    pod = Pod(tmp_path, environ=environ_of(fake))
    workspace = tmp_path / "current" / "workspace"
    wait = Call("exec", {"command": "touch here; while [ ! -e go ]; do sleep 0.02; done"})
    first = await started(pod)
    async with SealedClient.connect(first.address) as client:
        await client.call("sessions.patch", key=MAIN, queueMode=mode)
        fake.script(Plan(calls=(wait,)), Plan("never", head_pause=True), *([Plan("never", head_pause=True)] if mode == "collect" else []))
        await client.send("one", key="1")
        await file_there(workspace / "here")
        await client.send("two", key="2")
        await client.send("three", key="3")
        (workspace / "go").touch()
        await asked(fake, 2)
        if mode == "collect":
            await client.call("chat.abort", sessionKey=MAIN, runId="1")
            await asked(fake, 3)
        assert said_by_person(fake.requests[-1].body) == ["one", "two", "three"]
        await first.kill()
    second = await started(pod)
    async with SealedClient.connect(second.address) as client:
        for number in ("1", "2", "3"):
            again = await client.call("chat.send", sessionKey=MAIN, message=number, idempotencyKey=number)
            assert again["status"] == "ok"
        asked_before = len(fake.requests)
        fake.script(Plan("And on."))
        assert await client.say("and now?") == "And on."
        assert len(fake.requests) == asked_before + 1
        assert said_by_person(fake.requests[-1].body) == ["one", "two", "three", "and now?"]
    await second.terminate()


async def test_a_task_that_was_cut_off_is_neither_begun_again_nor_forgotten(fake: FakeAnthropic, tmp_path: Path) -> None:
    pod = Pod(tmp_path, environ=environ_of(fake))
    fake.script(Plan(calls=(Call("sessions_spawn", {"task": "look around"}),)), Plan("never", head_pause=True))
    first = await started(pod)
    async with SealedClient.connect(first.address) as client:
        await client.send("begin", key="1")
        await asked(fake, 2)
        await first.kill()
    second = await started(pod)
    async with SealedClient.connect(second.address) as client:
        rows = (await client.call("sessions.list"))["sessions"]
        task = next(row["key"] for row in rows if row["kind"] == "subagent")
        messages = (await client.call("chat.history", sessionKey=task))["messages"]
        assert messages[-1]["interrupted"] is True
        assert len(fake.requests) == 2
        fake.script(Plan("Never mind."))
        assert await client.say("what became of it?") == "Never mind."
        assert "may or may not have happened" in json.dumps(fake.requests[-1].body)
    await second.terminate()


async def test_a_call_that_was_carried_out_is_not_carried_out_again(fake: FakeAnthropic, tmp_path: Path) -> None:
    pod = Pod(tmp_path, environ=environ_of(fake))
    workspace = tmp_path / "current" / "workspace"
    first = await started(pod)
    async with SealedClient.connect(first.address) as client:
        await client.send(f"{call('exec', command='echo once >> count.txt')}[fake:then][fake:slow-head times=1]Done.", key="1")
        await asked(fake, 2)
        await first.kill()
    second = await started(pod)
    async with SealedClient.connect(second.address) as client:
        fake.script(Plan("It is written."))
        await client.call("chat.continue", sessionKey=MAIN, idempotencyKey="2")
        assert text_of(await client.wait_end("2")) == "It is written."
    assert (workspace / "count.txt").read_text() == "once\n"
    await second.terminate()
