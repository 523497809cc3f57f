"""Stopping a turn wherever it is: at once, what was said is kept, nothing goes on behind it, and the next turn works."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.agent.phases import PHASES, SLEEP, SLEEP_SECONDS, asked
from tests.agent.stage import Stage, on_stage
from tests.fakes.anthropic_api import Call, FakeAnthropic, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, text_of

# Seconds; what a person takes for "at once" on a busy machine.
AT_ONCE = 3.0


def programs(word: str) -> list[str]:
    """Command lines of all processes here that contain the word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["/stop", "chat.abort"])
async def test_stop_takes_effect_at_once_in_every_phase(phase: str, how: str, fake: FakeAnthropic, tmp_path: Path) -> None:
    wanted = PHASES[phase]
    async with on_stage(fake, tmp_path, agent=wanted.agent) as stage:
        fake.script(*wanted.plans)
        for text in wanted.before:
            await stage.client.say(text)
        run = await stage.client.send("do it")
        await wanted.reached(stage.client, fake, stage.workspace, run)
        began = time.monotonic()
        params = {"sessionKey": MAIN, "message": "/stop", "idempotencyKey": "stop"} if how == "/stop" else {"sessionKey": MAIN}
        answer = await stage.client.call_with("chat.send" if how == "/stop" else "chat.abort", params)
        assert answer == {"ok": True, "aborted": True, "runIds": [run]}
        end = await stage.client.wait_end(run)
        assert time.monotonic() - began < AT_ONCE
        assert (end["state"], end["stopReason"], text_of(end)) == ("aborted", "rpc", wanted.kept)
        await stage.until_idle()
        assert fake.open_streams == 0
        assert programs(SLEEP_SECONDS) == []
        messages = await stage.messages()
        assert (messages[-1]["stopReason"], text_of({"message": messages[-1]})) == ("aborted", wanted.kept)
        stopped = [message for message in messages if message["role"] == "toolResult" and message["isError"]]
        assert len([message for message in messages if message["role"] == "toolResult"]) == wanted.calls
        assert all("stopped" in message["content"][0]["text"] for message in stopped)
        assert await stage.client.call("exec.approval.list") == []
        # The strict fake refuses a conversation that is not whole.
        fake.script(Plan("And on."))
        assert await stage.client.say("what now?") == "And on."
        assert "do it" in said_by_person(stage.bodies[-1])


async def test_a_message_that_waits_is_taken_back_and_never_reaches_the_model(stage: Stage) -> None:
    stage.fake.script(Plan("never", head_pause=True))
    first = await stage.client.send("first")
    await asked(stage.fake, 1)
    second, third = await stage.client.send("second"), await stage.client.send("third")
    assert (await stage.client.call("chat.abort", sessionKey=MAIN, runId=second))["runIds"] == [second]
    assert (await stage.client.wait_end(second))["state"] == "aborted"
    assert not [payload for payload in stage.client.chat(first) if payload["state"] == "aborted"]
    stage.fake.script(Plan("third's"))
    await stage.client.call("chat.abort", sessionKey=MAIN, runId=first)
    assert text_of(await stage.client.wait_end(third)) == "third's"
    assert said_by_person(stage.bodies[-1]) == ["first", "third"]
    shown = [(text_of({"message": message}), bool(message.get("withdrawn"))) for message in await stage.messages()]
    assert ("second", True) in shown


async def test_what_is_taken_back_during_a_turn_is_not_read_by_its_next_step(stage: Stage) -> None:
    stage.fake.script(Plan(calls=(Call("exec", {"command": "touch here; while [ ! -e go ]; do sleep 0.02; done"}),)), Plan("Done."))
    run = await stage.client.send("begin")
    await stage.wait_tool(run)
    other = await stage.client.send("forget this")
    await stage.client.call("chat.abort", sessionKey=MAIN, runId=other)
    (stage.workspace / "go").touch()
    assert text_of(await stage.client.wait_end(run)) == "Done."
    assert said_by_person(stage.bodies[-1]) == ["begin"]


async def test_stop_ends_everything_that_waits_although_the_next_could_begin_meanwhile(stage: Stage) -> None:
    stage.fake.script(Plan("never", head_pause=True))
    runs = [await stage.client.send("0")]
    await asked(stage.fake, 1)
    runs += [await stage.client.send(str(number)) for number in range(1, 9)]
    answer = await stage.client.call("chat.abort", sessionKey=MAIN)
    assert answer["runIds"] == runs
    assert {(await stage.client.wait_end(run))["state"] for run in runs} == {"aborted"}
    await stage.until_idle()
    assert len(stage.fake.requests) == 1


async def test_several_calls_at_once_all_end(stage: Stage) -> None:
    stage.fake.script(Plan(calls=(SLEEP, SLEEP, Call("write", {"path": "later.txt", "content": "x"}))))
    run = await stage.client.send("do it")
    await stage.wait_tool(run)
    await stage.client.call("chat.abort", sessionKey=MAIN)
    await stage.client.wait_end(run)
    assert len(await stage.results()) == 3
    assert not (stage.workspace / "later.txt").exists()
    assert programs(SLEEP_SECONDS) == []


async def test_stop_without_anything_to_stop_says_so(stage: Stage) -> None:
    answer = await stage.client.call_with("chat.send", {"sessionKey": MAIN, "message": "stop", "idempotencyKey": "x"})
    assert answer == {"ok": True, "aborted": False, "runIds": []}
    assert await stage.messages() == []


async def test_stop_that_is_sent_again_stops_nothing_that_was_begun_since(stage: Stage) -> None:
    """A client whose connection broke sends what it has no answer to once more."""
    await stage.client.call("chat.send", sessionKey=MAIN, message="/stop", idempotencyKey="stop-1")
    stage.fake.script(Plan("The answer.", head_pause=False))
    run = await stage.client.send("go on")
    again = await stage.client.call("chat.send", sessionKey=MAIN, message="/stop", idempotencyKey="stop-1")
    assert (again["aborted"], again["runIds"]) == (False, [])
    assert (await stage.client.wait_end(run))["state"] == "final"
