"""What becomes of messages that are sent while an answer is written: by the conversation's mode, each with an end of its own."""

from __future__ import annotations

import pytest

from tests.agent.phases import asked
from tests.agent.stage import Stage
from tests.fakes.anthropic_api import ApiError, Call, Plan, said_by_person
from tests.fakes.gateway_client import MAIN, text_of

WAIT = Call("exec", {"command": "while [ ! -e go ]; do sleep 0.02; done"})


async def _begin(stage: Stage, mode: str | None, *plans: Plan | ApiError) -> str:
    """A turn that is in the middle of a call until `go`."""
    if mode is not None:
        await stage.client.call("sessions.patch", key=MAIN, queueMode=mode)
    stage.fake.script(Plan(calls=(WAIT,)), *plans)
    run = await stage.client.send("one")
    await stage.wait_tool(run)
    return run


def _go(stage: Stage) -> None:
    (stage.workspace / "go").touch()


@pytest.mark.parametrize("mode", [None, "followup"])
async def test_followup_answers_one_after_the_other(mode: str | None, stage: Stage) -> None:
    """The default."""
    runs = [await _begin(stage, mode, Plan("1"), Plan("2"), Plan("3"))]
    runs += [await stage.client.send(word) for word in ("two", "three")]
    _go(stage)
    assert [text_of(await stage.client.wait_end(run)) for run in runs] == ["1", "2", "3"]
    assert [said_by_person(body) for body in stage.bodies[1:]] == [["one"], ["one", "two"], ["one", "two", "three"]]


async def test_collect_answers_together_what_came_meanwhile(stage: Stage) -> None:
    first = await _begin(stage, "collect", Plan("1"), Plan("2 and 3"))
    second, third = await stage.client.send("two"), await stage.client.send("three")
    _go(stage)
    assert text_of(await stage.client.wait_end(first)) == "1"
    assert text_of(await stage.client.wait_end(second)) == "2 and 3"
    joined = await stage.client.wait_end(third)
    assert (joined["state"], joined["mergedInto"], "message" in joined) == ("final", second, False)
    assert [said_by_person(body) for body in stage.bodies[1:]] == [["one"], ["one", "two", "three"]]
    assert [text for _, text in await stage.client.history() if text in ("one", "two", "three", "1", "2 and 3")] == [
        "one",
        "1",
        "two",
        "three",
        "2 and 3",
    ]


async def test_steer_puts_a_message_into_the_running_turn_behind_the_results(stage: Stage) -> None:
    first = await _begin(stage, "steer", Plan("both"))
    second = await stage.client.send("two")
    _go(stage)
    assert text_of(await stage.client.wait_end(first)) == "both"
    assert (await stage.client.wait_end(second))["mergedInto"] == first
    last = stage.bodies[-1]["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text", "text"]
    assert last[-1]["text"] == "two"
    assert len(stage.bodies) == 2


async def test_steer_after_the_last_step_is_a_followup(stage: Stage) -> None:
    await stage.client.call("sessions.patch", key=MAIN, queueMode="steer")
    stage.fake.word_pause = 0.02
    stage.fake.script(Plan("a slow answer of some words"), Plan("2"))
    first = await stage.client.send("one")
    await stage.client.wait_delta(first)
    second = await stage.client.send("two")
    assert text_of(await stage.client.wait_end(first)) == "a slow answer of some words"
    assert text_of(await stage.client.wait_end(second)) == "2"


async def test_interrupt_stops_the_running_turn_and_is_next(stage: Stage) -> None:
    first = await _begin(stage, "interrupt", Plan("2"))
    second = await stage.client.send("two")
    assert (await stage.client.wait_end(first))["state"] == "aborted"
    assert text_of(await stage.client.wait_end(second)) == "2"
    assert said_by_person(stage.bodies[-1]) == ["one", "two"]


async def test_who_joined_a_turn_that_fails_hears_why(stage: Stage) -> None:
    first = await _begin(stage, "steer", ApiError(401, "authentication_error", "invalid x-api-key"))
    second = await stage.client.send("two")
    _go(stage)
    ends = [await stage.client.wait_end(run) for run in (first, second)]
    assert [end["state"] for end in ends] == ["error", "error"]
    assert ends[0]["errorMessage"] == ends[1]["errorMessage"]


async def test_stopping_a_message_that_joined_stops_the_turn_it_is_in(stage: Stage) -> None:
    first = await _begin(stage, "steer", Plan("never", head_pause=True))
    second = await stage.client.send("two")
    _go(stage)
    await asked(stage.fake, 2)
    assert (await stage.client.call("chat.abort", sessionKey=MAIN, runId=second))["runIds"] == [first]
    assert {(await stage.client.wait_end(run))["state"] for run in (first, second)} == {"aborted"}


async def test_a_message_with_wishes_of_its_own_joins_nothing(stage: Stage) -> None:
    first = await _begin(stage, "steer", Plan("1"), Plan("2"))
    second = await stage.client.send("two", timeoutMs=60_000)
    _go(stage)
    assert [text_of(await stage.client.wait_end(run)) for run in (first, second)] == ["1", "2"]


async def test_the_twenty_first_waiting_message_is_refused_and_none_is_lost(stage: Stage) -> None:
    stage.fake.script(Plan("never", head_pause=True), *(Plan(str(number)) for number in range(20)))
    first = await stage.client.send("first")
    await asked(stage.fake, 1)
    waiting = [await stage.client.send(f"message {number}") for number in range(20)]
    with pytest.raises(Exception, match="wait for their answers already"):
        await stage.client.send("one too many")
    await stage.client.call("chat.abort", sessionKey=MAIN, runId=first)
    assert [text_of(await stage.client.wait_end(run)) for run in waiting] == [str(number) for number in range(20)]
