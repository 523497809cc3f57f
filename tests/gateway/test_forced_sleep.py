"""Rule 5, `force`: Suspended, restart and sleep-now end a running turn as SIGTERM does, and nothing that waits is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway import gateway as gateway_module
from moltbot_gateway.settings import Storage
from moltbot_trust.control import Refused
from moltbot_trust.keys import Purpose
from tests.fakes.clock import FakeClock, settle
from tests.fakes.gateway_client import CallFailed, SealedClient, text_of
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, start


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def live(tmp_path: Path, model: ScriptedModel, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setattr(gateway_module, "TURN_GRACE", dict.fromkeys(Storage, 0.2))
    async with start(Pod(tmp_path), model=model, clock=clock) as started:
        yield started


@pytest.fixture
async def client(live: Live) -> AsyncIterator[SealedClient]:
    async with SealedClient.connect(live.address) as connected:
        yield connected


async def force(live: Live, quiesce_id: str = "q1", *, ttl: float = 30) -> dict[str, object]:
    async with live.address.control(Purpose.OPERATOR_GATEWAY) as channel:
        return await channel.call("POST", "/quiesce", {"id": quiesce_id, "ttlSeconds": ttl, "force": True})


async def report(live: Live) -> dict[str, object]:
    async with live.address.control(Purpose.OPERATOR_GATEWAY) as channel:
        return await channel.call("GET", "/report")


async def test_a_running_turn_is_ended_with_what_it_has_before_the_answer(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    run = await client.send("hello")
    await model.asked.wait()
    model.script.put_nowait("half an ")
    assert (await force(live))["state"] == "quiesced"
    assert (await report(live))["busy"] == []
    await client.wait_end(run)
    assert "half an" in str((await client.history())[-1])
    with pytest.raises(CallFailed):
        await client.send("more")


async def test_what_waits_is_answered_when_it_resumes_after_all(
    live: Live, client: SealedClient, model: ScriptedModel, clock: FakeClock
) -> None:
    """The operator may give up after it forced (no snapshot, say): the ttl runs out, and the queue goes on."""
    await client.send("first")
    await model.asked.wait()
    second = await client.send("second")
    await force(live, ttl=20)
    assert len(model.requests) == 1
    model.answer("to the second")
    await clock.advance(21)
    await settle()
    assert text_of(await client.wait_end(second)) == "to the second"
    model.answer("to the third")
    assert await client.say("third") == "to the third"


async def test_a_router_with_new_work_is_heard_even_while_a_turn_is_being_ended(
    live: Live, client: SealedClient, model: ScriptedModel, clock: FakeClock
) -> None:
    """Rule 5b: the id is spent, and the message that came is not left lying on disk."""
    await client.send("first")
    await model.asked.wait()
    forcing = asyncio.create_task(force(live))
    async with asyncio.timeout(5):
        while (await report(live))["state"] != "quiesced":
            await asyncio.sleep(0.005)
    async with live.address.control(Purpose.ROUTER_GATEWAY) as channel:
        assert (await channel.call("POST", "/resume", {"id": "q1"}))["state"] == "open"
    second = await client.send("second")
    with pytest.raises(Refused) as caught:
        await forcing
    assert caught.value.error == "resumed"
    model.answer("to the second")
    await clock.advance(1)
    assert text_of(await client.wait_end(second)) == "to the second"


async def test_without_force_it_stays_busy(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    await client.send("first")
    await model.asked.wait()
    async with live.address.control(Purpose.OPERATOR_GATEWAY) as channel:
        with pytest.raises(Refused) as caught:
            await channel.call("POST", "/quiesce", {"id": "q1", "ttlSeconds": 5})
        assert caught.value.error == "busy"
        with pytest.raises(Refused) as refused:
            await channel.call("POST", "/quiesce", {"id": "q1", "ttlSeconds": 5, "force": "yes"})
        assert refused.value.status == 400
    model.answer("done")
