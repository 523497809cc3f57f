"""A cron expression and the moments that it names. Pure.

Five fields, as crontab(5) has them: minute, hour, day of month, month, day of week; lists, ranges (also over the end: `22-2`), steps,
names of months and days, and `@daily` and its like. Where both days are restricted, either suffices.

Days on which the clock is changed (ADR 7):
- a job whose hour is `*` goes by what the clock shows: what is skipped does not happen, an hour that comes twice is gone through twice;
- any other happens once: a time that is skipped at the moment of the change (02:30 at 03:00), one that comes twice the first time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from moltbot_gateway.errors import BadSchedule

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
# Leap days are at most 8 years apart (1896, 1904; 2096, 2104): what is not met by then never comes.
_SEARCH_DAYS = 9 * 366
# How a field that restricts nothing is written; 0-6 does restrict, for crontab(5) and Kubernetes.
_ANY = ("*", "?", "*/1")
_ALL_HOURS = frozenset(range(24))


@dataclass(frozen=True)
class Cron:
    """`either_day`: the day of the month or that of the week suffices; else both must fit. Sunday is 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def matches_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week


def parse_cron(expression: str) -> Cron:
    """Raises BadSchedule, in words for whoever wrote it."""
    text = _MACROS.get(expression.strip().lower(), expression)
    fields = text.split()
    if len(fields) != 5:
        raise BadSchedule(
            f"cron needs 5 fields (minute, hour, day of month, month, day of week), and {expression.strip()[:80]!r} has {len(fields)}: "
            "write 0 7 * * 1-5 for 07:00 from Monday to Friday"
        )
    minute, hour, day, month, weekday = fields
    days = frozenset(_field("day of month", day, 1, 31))
    weekdays = frozenset(number % 7 for number in _field("day of week", weekday, 0, 7, _DAYS))
    return Cron(
        tuple(sorted(_field("minute", minute, 0, 59))),
        tuple(sorted(_field("hour", hour, 0, 23))),
        days,
        frozenset(_field("month", month, 1, 12, _MONTHS)),
        weekdays,
        either_day=day not in _ANY and weekday not in _ANY,
    )


def _field(name: str, text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> set[int]:
    chosen: set[int] = set()
    for item in text.replace("?", "*").split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise BadSchedule(
                f"cron's {name} {text[:40]!r} cannot be read: a number, *, a range (1-5), a step (*/10) or a list of these (1,15)"
            )
        first, last, step = match[1], match[2], int(match[3] or 1)
        if step == 0:
            raise BadSchedule(f"cron's {name} {text[:40]!r}: the step after / is a whole number from 1 on")
        if first == "*":
            start, end = low, high
        else:
            start = _number(name, first, low, high, names or {})
            end = _number(name, last, low, high, names or {}) if last else (high if match[3] else start)
        top = 6 if name == "day of week" else high  # 7 is Sunday once more
        span = range(start, end + 1) if start <= end else [*range(start, top + 1), *range(low, end + 1)]
        chosen.update(list(span)[::step])
    return chosen


def _number(name: str, text: str, low: int, high: int, names: Mapping[str, int]) -> int:
    value = names.get(text[:3].lower()) if text.isalpha() else int(text) if text.isdecimal() else None
    if value is None or not low <= value <= high:
        words = f" or a name ({', '.join(list(names)[:3])} …)" if names else ""
        raise BadSchedule(f"cron's {name} is {low} to {high}{words}, not {text[:20]!r}")
    return value


def next_moment(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment later than `after`, in UTC; `None`: never (30 February)."""
    if set(cron.hours) == _ALL_HOURS:
        return _next_by_the_clock(cron, zone, after)
    local = after.astimezone(zone).replace(tzinfo=None)
    for offset in range(_SEARCH_DAYS):
        day = local.date() + timedelta(days=offset)
        if not cron.matches_day(day):
            continue
        for hour in cron.hours:
            for minute in cron.minutes:
                wanted = datetime.combine(day, time(hour, minute))
                # What the clock has shown already has been, or is the second time; neither counts.
                if wanted > local and (moment := moment_of(wanted, zone)) > after:
                    return moment
    return None


def _next_by_the_clock(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Minute by minute as the clock shows them; days that do not fit are jumped over."""
    moment = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    last = moment + timedelta(days=_SEARCH_DAYS)
    while moment < last:
        local = moment.astimezone(zone)
        if not cron.matches_day(local.date()):
            moment = max(moment_of(datetime.combine(local.date() + timedelta(days=1), time()), zone), moment + timedelta(minutes=1))
        elif local.minute in cron.minutes:
            return moment
        else:
            moment += timedelta(minutes=1)
    return None


def moment_of(wanted: datetime, zone: ZoneInfo) -> datetime:
    """When clocks of that zone show this (the first time); where they skip it, the moment of the change. In UTC."""
    early, late = wanted.replace(tzinfo=zone, fold=0), wanted.replace(tzinfo=zone, fold=1)
    before, behind = early.utcoffset(), late.utcoffset()
    assert before is not None
    assert behind is not None
    moment = early.astimezone(UTC)
    if behind <= before:  # an ordinary time, or one that comes twice (PEP 495)
        return moment
    # Skipped: the change lies between the two readings.
    low, high = late.astimezone(UTC), moment
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
