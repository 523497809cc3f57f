"""The time in front of a person's words: the prompt has no clock, so that it stays the same from turn to turn. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def zone(name: str) -> tzinfo:
    """An unknown zone is UTC: a wrong word in a resource must not keep anybody from being answered."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def stamp(at_ms: int, time_zone: str) -> str:
    """`[Tue 2026-11-24 11:40 CET]`; `at_ms` since 1970."""
    at = datetime.fromtimestamp(at_ms / 1000, zone(time_zone))
    return f"[{_DAYS[at.weekday()]} {at:%Y-%m-%d %H:%M} {at.tzname() or 'UTC'}]"
