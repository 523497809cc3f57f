"""Copies for a snapshot, and the end of the process (rules 5 and 8), through the gateway's ports."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from moltbot_trust.control import Refused
from moltbot_trust.keys import Purpose
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import MAIN, CallFailed, SealedClient, text_of
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, control, start, until_idle

# copies for a snapshot


async def test_a_copy_is_made_and_an_unchanged_state_is_not_copied_again(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    model.answer("hi")
    await client.say("hello")
    await until_idle(live)
    state = Purpose.STATE_GATEWAY
    first = await control(live, "POST", "/stage", state, id="s1", unless=None)
    assert first["path"] == "stage/s1.sqlite"
    copy = sqlite3.connect(Path(live.running.gateway.settings.state_dir) / "stage" / "s1.sqlite")
    assert copy.execute("SELECT text FROM messages ORDER BY id").fetchall() == [("hello",), ("hi",)]
    copy.close()
    assert await control(live, "POST", "/stage", state, id="s2", unless=first["change"]) == {"change": first["change"], "path": None}
    assert (await control(live, "GET", "/report"))["changed"] is False
    model.answer("more")
    await client.say("again")
    second = await control(live, "POST", "/stage", state, id="s3", unless=first["change"])
    assert second["path"] == "stage/s3.sqlite"
    assert second["change"] != first["change"]


async def test_a_copy_renews_the_ttl(live: Live, clock: FakeClock) -> None:
    """Rule 5b: progress renews; a large state is not resumed in the middle of its last snapshot."""
    await control(live, "POST", "/quiesce", id="q1", ttlSeconds=20)
    clock.set(19)
    await control(live, "POST", "/stage", Purpose.STATE_GATEWAY, id="s1", unless=None)
    clock.set(19)
    assert (await control(live, "POST", "/commit", id="q1"))["state"] == "committed"


async def test_a_copy_is_named_by_its_id_alone(live: Live) -> None:
    for bad in ("../s", "a/b", "", ".hidden"):
        with pytest.raises(Refused) as caught:
            await control(live, "POST", "/stage", Purpose.STATE_GATEWAY, id=bad)
        assert caught.value.status == 400


# ending


async def test_ending_interrupts_a_turn_and_keeps_its_text_and_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5: SIGTERM ends a turn; after the restart the conversation says so, and what waited is answered."""
    monkeypatch.setattr("moltbot_gateway.gateway.TURN_GRACE", dict.fromkeys(("volume", "ephemeral"), 0.05))
    model = ScriptedModel()
    async with start(Pod(tmp_path), model=model) as live, SealedClient.connect(live.address) as client:
        run = await client.send("a story")
        model.script.put_nowait("Once upon")
        await client.wait_delta(run)
        waiting = await client.send("and another")
        live.running.gateway.terminate()
        with pytest.raises(CallFailed) as caught:
            await client.send("too late")
        assert caught.value.error["details"] == {"notAccepted": "terminating"}
        ending = asyncio.create_task(live.running.gateway.end_turns())
        end = await client.wait_end(run)
        assert (end["state"], end["stopReason"], text_of(end)) == ("aborted", "interrupted", "Once upon")
        await ending
    again = ScriptedModel()
    again.answer("the second")
    async with start(Pod(tmp_path), model=again) as live, SealedClient.connect(live.address) as client:
        await until_idle(live)
        history = (await client.call("chat.history", sessionKey=MAIN))["messages"]
        assert [text_of({"message": message}) for message in history] == ["a story", "Once upon", "and another", "the second"]
        assert (history[1]["interrupted"], history[1]["stopReason"]) == (True, "interrupted")
        assert (await client.call("chat.send", sessionKey=MAIN, message="and another", idempotencyKey=waiting))["status"] == "ok"


async def test_a_turn_that_ends_in_time_is_whole(tmp_path: Path) -> None:
    model = ScriptedModel()
    async with start(Pod(tmp_path), model=model) as live, SealedClient.connect(live.address) as client:
        run = await client.send("quick")
        await model.asked.wait()
        live.running.gateway.terminate()
        ending = asyncio.create_task(live.running.gateway.end_turns())
        model.answer("done")
        assert (await client.wait_end(run))["state"] == "final"
        await ending
