"""A turn by Claude through a running gateway: sealed socket, SDK, strict API; and an error in words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.anthropic_api import ApiError, FakeAnthropic
from tests.fakes.gateway_client import MAIN, SealedClient, text_of
from tests.gateway.pod import Pod, start

KEY = "sk-ant-test-key"


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    server = FakeAnthropic(hold=5.0)
    await server.start()
    yield server
    await server.stop()


async def test_a_turn_by_claude_through_the_gateway(fake: FakeAnthropic, tmp_path: Path) -> None:
    """The whole path: sealed socket, SDK, strict API; then an error in words, in the conversation and in the report's condition."""
    environ = {"MOLTBOT_MODEL_ADAPTER": "anthropic", "MOLTBOT_MODEL_API_KEY": KEY, "MOLTBOT_MODEL_BASE_URL": f"{fake.url}/v1/"}
    async with start(Pod(tmp_path, environ=environ)) as live, SealedClient.connect(live.address) as client:
        assert (await client.say("hello")).startswith("You said: hello")
        assert "turn 2" in await client.say("again")
        assert live.running.gateway.conditions.get("ModelReady") is not None
        run = await client.send("[fake:unauthorized]")
        end = await client.wait_end(run)
        assert (end["state"], end["errorKind"]) == ("error", "unknown")
        assert "did not accept the key" in end["errorMessage"]
        async with live.address.control() as control:
            conditions = (await control.get("/report"))["conditions"]
        assert isinstance(conditions, list)
        assert ("ModelReady", "False", "ModelAuthenticationFailed") in [
            (item["type"], item["status"], item["reason"]) for item in conditions
        ]
        history = (await client.call("chat.history", sessionKey=MAIN))["messages"]
        assert history[-1]["errorMessage"] == end["errorMessage"]
        assert history[1]["usage"]["totalTokens"] > 0
        assert "turn 4" in await client.say("and now")
        assert [text_of({"message": message}) for message in history[:1]] == ["hello"]


async def test_a_fallback_that_answers_is_told_and_so_is_the_return(fake: FakeAnthropic, tmp_path: Path) -> None:
    environ = {"MOLTBOT_MODEL_ADAPTER": "anthropic", "MOLTBOT_MODEL_API_KEY": KEY, "MOLTBOT_MODEL_BASE_URL": fake.url}
    environ["MOLTBOT_AGENT"] = '{"model": {"fallbacks": ["claude-haiku-5-5"]}}'
    overloaded = ApiError(529, "overloaded_error", "Overloaded", {"retry-after": "0"})
    async with start(Pod(tmp_path, environ=environ)) as live, SealedClient.connect(live.address) as client:
        conditions = live.running.gateway.conditions
        fake.script(overloaded, overloaded)
        assert "claude-haiku-5-5" in await client.say("hello")
        ready = conditions.get("ModelReady")
        assert ready is not None
        assert (ready.status, ready.reason) == ("True", "ModelFallback")
        assert "claude-haiku-5-5 answers in place of claude-sonnet-5-5" in ready.message
        assert "overloaded" in ready.message
        await client.call("sessions.patch", key=MAIN, model="claude-opus-5-5")
        assert "claude-opus-5-5" in await client.say("and you?")
        ready = conditions.get("ModelReady")
        assert ready is not None
        assert ready.reason == "Answered"
