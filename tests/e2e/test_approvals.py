"""What needs a person's word: asked over the router's WebSocket, and never waited for without end."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from moltbot_kube.resources import MOLTBOTS
from tests.e2e.cluster import Place
from tests.e2e.devices import Device, call_marker, claude, open_device, open_model
from tests.fakes.gateway_client import SealedClient, text_of

# Seconds that a person has (moltbot_gateway.tools.approvals).
PATIENCE = 300


async def asked_for(ada: SealedClient, run: str) -> dict[str, Any]:
    event = await ada.wait_for(lambda event: event["event"] == "exec.approval.requested" and event["payload"]["request"]["runId"] == run)
    payload: dict[str, Any] = event["payload"]
    return payload


def exec_marker(command: str) -> str:
    return f"{call_marker('exec', command=command)} [fake:then] {{results}}"


async def test_a_device_allows_once_always_or_denies(place: Place) -> None:
    """Nothing runs before somebody said so; what is allowed always is allowed after a sleep too."""
    async with open_model() as fake:
        await claude(place, fake, {})
        async with open_device(place) as device:
            async with device.connect() as ada, device.connect() as other:
                run = await ada.send(exec_marker("touch made; echo done"))
                wanted = await asked_for(ada, run)
                assert wanted["request"]["command"] == "touch made; echo done"
                assert [one["id"] for one in await other.call("exec.approval.list")] == [wanted["id"]]
                await other.call("exec.approval.resolve", id=wanted["id"], decision="allow-once")
                assert text_of(await ada.wait_end(run)) == "done"
                run = await ada.send(exec_marker("touch made; echo done"))
                wanted = await asked_for(ada, run)
                await ada.call("exec.approval.resolve", id=wanted["id"], decision="deny")
                assert "did not allow this call" in text_of(await ada.wait_end(run))
                run = await ada.send(exec_marker("cat made && echo is there"))
                await ada.call("exec.approval.resolve", id=(await asked_for(ada, run))["id"], decision="allow-always")
                assert text_of(await ada.wait_end(run)) == "is there"
            await place.put_to_sleep("ada")
            async with device.connect() as ada:
                assert await ada.say(exec_marker("cat made && echo is there")) == "is there"


async def test_a_person_who_asks_for_sleep_is_obeyed_although_an_approval_is_open(place: Place) -> None:
    async with open_model() as fake:
        await claude(place, fake, {"sleepAfter": "never"})
        async with open_device(place, "ada") as device:
            begun = time.monotonic()
            async with device.connect() as ada:
                await asked_for(ada, await ada.send(exec_marker("echo never")))
            await place.put_to_sleep("ada")
            assert time.monotonic() - begun < PATIENCE / 2
            await _nothing_was_run(device)


@pytest.mark.skipif("MOLTBOT_LONG_TESTS" not in os.environ, reason="takes the five minutes that a person has; MOLTBOT_LONG_TESTS=1 runs it")
@pytest.mark.timeout(PATIENCE + 200)
async def test_an_approval_that_nobody_gives_ends_and_it_sleeps(place: Place) -> None:
    """With a clock of its own: tests/tools/test_approvals.py."""
    async with open_model() as fake:
        await claude(place, fake, {"sleepAfter": "10s"})
        async with open_device(place, "ada") as device:
            begun = time.monotonic()
            async with device.connect() as ada:
                await asked_for(ada, await ada.send(exec_marker("echo never")))
            await place.phase("ada", "Asleep", seconds=PATIENCE + 90)
            assert time.monotonic() - begun > PATIENCE, "the turn was busy for as long as a person had"
            history = await _nothing_was_run(device)
            assert "Nobody answered within 5 minutes" in history[-1][1]
            assert (await place.get(MOLTBOTS, "ada") or {})["status"]["lastWake"]["reason"] == "person"


async def _nothing_was_run(device: Device) -> list[tuple[str, str]]:
    """The conversation after the next wake."""
    await device.wake()
    async with device.connect() as client:
        history = await client.history()
        assert "never" not in [text for role, text in history if role == "toolResult"]
        assert await client.call("exec.approval.list") == []
    return history
