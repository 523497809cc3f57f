"""What the pictures tell: the resource, and the words of a stand-in that speaks Claude's wire protocol (tests/fakes). Tools are real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from types import TracebackType

from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.anthropic_script import Call, Plan

ASSISTANT = {
    "secretsFrom": [{"name": "ada"}],
    "timeZone": "Europe/Berlin",
    "model": {"name": "claude-sonnet-5-5", "thinking": "low", "limits": {"tokensPerDay": 400_000, "dollarsPerDay": "5.00"}},
    "workspace": {
        "files": [
            {"path": "quotes/nordlicht.md", "content": "# Nordlicht Internet\n\n- 39.90 € a month\n- set-up 0 €\n- 250 Mbit/s\n"},
            {"path": "quotes/suedwind.md", "content": "# Südwind\n\n- 34.90 € a month\n- set-up 89.00 €\n- 250 Mbit/s\n"},
            {"path": "notes.md", "content": "# Notes\n\n- spare key: blue flowerpot\n- internet: undecided\n"},
        ]
    },
    "skills": [
        {
            "name": "invoices",
            "content": "---\nname: invoices\ndescription: Sort invoices by month, and add them up.\n"
            "requires:\n  bins:\n  - pdftotext\n---\nText.\n",
        }
    ],
    "schedule": [
        {"name": "morning-brief", "cron": "0 7 * * 1-5", "prompt": "What is on today? Look at the calendar notes and the weather."},
        {"name": "water-the-plants", "every": "3d", "prompt": "Remind me to water the plants.", "session": "Main"},
    ],
}
_QUOTES = (
    "**Nordlicht is cheaper** over the first year, by €29.00.\n\n"
    "| | a month | set-up | first year |\n|---|---|---|---|\n| Nordlicht | €39.90 | €0.00 | **€478.80** |\n"
    "| Südwind | €34.90 | €89.00 | €507.80 |\n\nFrom the second year on Südwind is: €418.80 against €478.80. I wrote both into `notes.md`."
)
PLANS = (
    Plan(
        thought="Two quotes to compare over a year: twelve months and the set-up fee of each. I read both side by side, then the notes.",
        said="I read both quotes.",
        calls=(Call("read", {"path": "quotes/nordlicht.md"}), Call("read", {"path": "quotes/suedwind.md"})),
    ),
    Plan(
        thought="12 × 39.90 = 478.80. 12 × 34.90 + 89 = 507.80.",
        calls=(
            Call(
                "edit",
                {
                    "path": "notes.md",
                    "old": "- internet: undecided\n",
                    "new": "- internet: Nordlicht, 478.80 € in the first year (Südwind: 507.80 €)\n"
                    "- from the second year Südwind is cheaper by 60 €\n",
                },
            ),
        ),
    ),
    Plan(_QUOTES, thought=""),
    Plan(calls=(Call("exec", {"command": "df -h . | tail -1"}),), thought=""),
    Plan("The last column but one says how full it is: there is plenty of room.", thought=""),
    Plan("It says that Ada is asleep, and that the next message wakes it.", thought=""),
)


class StandIn:
    """A fake of the Messages API in a thread of its own."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._fake = FakeAnthropic(word_pause=0.02)
        self._fake.script(*plans)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        # What `moltbot up` makes the Secret of.
        self.environment: dict[str, str] = {}

    def __enter__(self) -> StandIn:
        self._thread.start()
        url = asyncio.run_coroutine_threadsafe(self._fake.start(), self._loop).result()
        self.environment = {"ANTHROPIC_API_KEY": self._fake.api_key, "ANTHROPIC_BASE_URL": url}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._fake.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
