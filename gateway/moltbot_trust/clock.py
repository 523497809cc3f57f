"""Time as an argument. `SystemClock` is the real one; tests bring one that stands still (tests/fakes/clock.py)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Three kinds of time; what compares with another machine uses `now`/`epoch`, what measures or waits uses `monotonic`/`sleep`."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""

    def epoch(self) -> float:
        """The same as seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait; safe to cancel."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def epoch(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def format_time(moment: datetime) -> str:
    """RFC 3339, UTC, to the second, as Kubernetes writes it: `2026-11-24T08:00:00Z`. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """The same to the microsecond, as Kubernetes writes a metav1.MicroTime: `2026-11-24T08:00:00.000000Z`."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read RFC 3339 with `Z` or an offset, up to 9 digits of fraction (kept: 6). Raises ValueError, also for a time without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone: write it in UTC, as 2026-11-24T08:00:00Z")
    return moment.astimezone(UTC)
