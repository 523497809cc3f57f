"""What an approved device can send: odd texts are answered, and nothing after them is stuck (rule 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.test_strangers import DEEP
from tests.router.test_sockets import SEND
from tests.router.world import Browser, running_router

HALF = '{"type":"req","id":"s","method":"chat.send","params":{"sessionKey":"agent:main:main","message":"\\ud83d","idempotencyKey":"half"}}'
HALF_ID = '{"type":"req","id":"\\ud83d","method":"health"}'


@pytest.mark.parametrize("awake", [True, False])
async def test_nothing_waits_behind_an_odd_frame(tmp_path: Path, awake: bool) -> None:
    """Half a character is what a page sends of an emoji that was cut in two: no UTF-8 text upstream can hold it."""
    async with running_router(tmp_path / "router") as world:
        if awake:
            await world.wake()
        async with world.connected(Browser()) as wire:
            for text in (HALF, HALF_ID, DEEP, "{", "[]"):
                await wire.socket.send_str(text)
            request = await wire.send("chat.send", SEND | {"idempotencyKey": "after"})
            if not awake:
                await world.wake()
            assert (await wire.answer("s"))["ok"]
            assert (await wire.answer(request))["ok"]
