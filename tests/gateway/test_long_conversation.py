"""A conversation of thousands of messages: it is summarised before the oldest would fall away unsaid."""

from __future__ import annotations

from pathlib import Path

from moltbot_gateway.chat.compaction import DUE
from moltbot_gateway.chat.context import MAX_MESSAGES, SUMMARY_HEAD
from moltbot_gateway.store import conversations
from moltbot_gateway.store.records import Connection, NewMessage
from tests.fakes.anthropic_api import FakeAnthropic, Plan
from tests.fakes.gateway_client import MAIN, SealedClient
from tests.gateway.pod import Live, Pod, start


async def _talk(live: Live, messages: int) -> None:
    """So many short messages are in the main conversation, as if they had been said."""

    def write(db: Connection) -> None:
        session = conversations.ensure_session(db, MAIN, 1)
        for number in range(messages // 2):
            conversations.append_message(db, session, NewMessage("user", f"word {number}", {}), at_ms=number, run_id=f"run-{number}")
            conversations.append_message(db, session, NewMessage("assistant", "Yes.", {}), at_ms=number, run_id=f"run-{number}")

    await live.running.gateway.database.write(write)


async def test_a_conversation_of_too_many_messages_is_summarised_though_it_fits_the_window(tmp_path: Path) -> None:
    fake = FakeAnthropic()
    await fake.start()
    environ = {
        "MOLTBOT_MODEL_ADAPTER": "anthropic",
        "MOLTBOT_MODEL_NAME": "claude-sonnet-4-6",  # a window of a million tokens, of which this is a hundredth
        "MOLTBOT_MODEL_API_KEY": fake.api_key,
        "MOLTBOT_MODEL_BASE_URL": fake.url,
    }
    try:
        async with start(Pod(tmp_path, environ=environ)) as live, SealedClient.connect(live.address) as client:
            await _talk(live, int(MAX_MESSAGES * DUE) - 10)
            await client.say("Still all of it?")
            assert len(fake.requests) == 1
            assert "word 0" in str(fake.requests[0].body["messages"][0])
            await _talk(live, 20)
            fake.script(Plan("NOTED"), Plan("They said words."), Plan("Now in short."))
            assert await client.say("And now?") == "Now in short."
            assert f"{SUMMARY_HEAD}\n\nThey said words." in str(fake.requests[-1].body["messages"][0]["content"][0]["text"])
            assert len(fake.requests[-1].body["messages"]) < MAX_MESSAGES / 4
            assert "word 0" in str(fake.requests[-2].body["messages"])
    finally:
        await fake.stop()
