"""Times that people write in a schedule: cron expressions, time zones, moments. What is wrong with them is said in words. Pure.

Cron expressions are those that the gateway runs (`moltbot_gateway.schedule.cron`, which the operator cannot import): a test holds that both
take the same ones.
"""

from __future__ import annotations

import difflib
import functools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MACROS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
# How a field that restricts nothing is written.
_ANY = ("*", "?", "*/1")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# 29 February comes, if not every year.
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a cron expression (crontab(5)). `names`: words for the numbers from `first` on."""

    title: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Raises ValueError, with words."""
        if text.isalpha() and text[:3].lower() in self.names:
            return self.first + self.names.index(text[:3].lower())
        if not text.isascii() or not text.isdigit():
            raise ValueError(f"{text!r} is no {self.title}")
        if not self.first <= int(text) <= self.last:
            raise ValueError(f"{text} is no {self.title}: they go from {self.first} to {self.last}")
        return int(text)

    def values(self, text: str) -> set[int]:
        """A range may go over the end: `22-2`. Raises ValueError, with words."""
        found: set[int] = set()
        for part in text.replace("?", "*").split(","):
            whole, slash, step = part.partition("/")
            if slash and (not step.isascii() or not step.isdigit() or int(step) == 0):
                raise ValueError(f"{part!r}: after / stands a whole number from 1 on")
            begin, dash, end = whole.partition("-")
            if whole == "*":
                first, last = self.first, self.last
            else:
                first = self.number(begin)
                last = self.number(end) if dash else (self.last if slash else first)
            over = [*range(first, self.last + 1), *range(self.first, last + 1)]
            span = list(range(first, last + 1)) if first <= last else over
            found.update(span[:: int(step) if slash else 1])
        return found


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)


def cron_problem(expression: str) -> str | None:
    """Why this is not a cron expression of five fields that ever comes, or None."""
    if expression.strip().lower() in _MACROS:
        return None
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        return f"{expression!r} is no cron expression, which has five fields: minute, hour, day of month, month, weekday"
    try:
        values = [field.values(text) for field, text in zip(_FIELDS, fields, strict=True)]
    except ValueError as error:
        return f"{expression!r}: {error}"
    days, months = values[2], values[3]
    if fields[4] in _ANY and all(min(days) > _LONGEST[month - 1] for month in months):
        return f"{expression!r} never comes: no such month has a day {min(days)}"
    return None


@functools.cache
def _zones() -> frozenset[str]:
    """Every name that this machine knows. `posix/…` and `right/…` are copies of a database's own."""
    return frozenset(name for name in zoneinfo.available_timezones() if not name.startswith(("posix/", "right/")) and name != "localtime")


def zone_problem(name: str) -> str | None:
    """Why this is not a time zone, with the nearest one (a whole sentence), or None. A machine without a time zone database cannot tell."""
    zones = _zones()
    if not zones or name in zones:
        return None
    lower = {zone.lower(): zone for zone in zones}
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    city = difflib.get_close_matches(name.rpartition("/")[2].lower(), cities, n=1, cutoff=0.8)
    found = lower[near[0]] if near else (cities[city[0]] if city else None)
    hint = f"did you mean {found}?" if found else "write one such as Europe/Berlin."
    return f"{name} is not a time zone that is known; {hint}"


def parse_moment(text: str, zone: str) -> datetime:
    """An RFC 3339 time; without an offset it is one of `zone`.

    Raises:
        ValueError: there is no such day or time, or this machine does not know the zone.
    """
    if re.fullmatch(r".*[+-]\d{2}:\d{2}", text[10:]) or text.endswith("Z"):
        return datetime.fromisoformat(text)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"this machine does not know the time zone {zone}") from error


def minutes_of_day(text: str) -> int:
    """`08:30` → 510; `24:00` → 1440."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
