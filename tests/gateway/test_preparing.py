"""What is made ready beside the first turn never keeps anybody from being answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from moltbot_gateway import agent
from tests.fakes.gateway_client import SealedClient
from tests.gateway.pod import Pod, start


async def test_what_breaks_while_it_is_made_ready_is_logged_and_turns_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> object:
        raise RuntimeError("nobody thought of it")

    monkeypatch.setattr(agent, "probe", broken)
    async with start(Pod(tmp_path)) as live, SealedClient.connect(live.address) as client:
        assert await client.say("hello")
    assert "assistant not prepared" in caplog.text
