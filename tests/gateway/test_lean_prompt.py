"""What a message costs before it says anything: everything that is sent with it."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.gateway_client import SealedClient
from tests.gateway.pod import Pod, start


async def test_hello_with_the_default_tools_sends_less_than_twelve_thousand_bytes(tmp_path: Path) -> None:
    fake = FakeAnthropic()
    await fake.start()
    try:
        environ = {"MOLTBOT_MODEL_ADAPTER": "anthropic", "MOLTBOT_MODEL_API_KEY": fake.api_key, "MOLTBOT_MODEL_BASE_URL": fake.url}
        async with start(Pod(tmp_path, environ=environ)) as live, SealedClient.connect(live.address) as client:
            await client.say("hello")
    finally:
        await fake.stop()
    request = fake.requests[-1]
    assert {"read", "exec", "web_fetch", "memory_search", "cron", "sessions_spawn"} <= {tool["name"] for tool in request.body["tools"]}
    assert int(request.headers["content-length"]) < 12_000
