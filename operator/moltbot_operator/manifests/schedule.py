"""The backup's cron expression: offset for each Moltbot, and how far apart its times are at most. Pure."""

from __future__ import annotations

import hashlib
import re

DEFAULT_SCHEDULE = "*/5 * * * *"
_DAY_SECONDS = 86400


def offset_schedule(schedule: str, uid: str) -> str:
    """The default schedule moved by 0 to 4 minutes, by the uid, so that a thousand do not fire together; any other one as it is."""
    if schedule != DEFAULT_SCHEDULE:
        return schedule
    minute = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") % 5
    return f"{minute}-59/5 * * * *"


def longest_gap_seconds(schedule: str) -> int:
    """The longest time between two firings on one day, in seconds; a day when days, months or weekdays are restricted or it is not read."""
    fields = schedule.split()
    if len(fields) != 5 or fields[2:] != ["*", "*", "*"]:
        return _DAY_SECONDS
    minutes, hours = _values(fields[0], 60), _values(fields[1], 24)
    if not minutes or not hours:
        return _DAY_SECONDS
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    following = [*times[1:], times[0] + 24 * 60]
    return max(after - before for before, after in zip(times, following, strict=True)) * 60


def _values(text: str, size: int) -> set[int]:
    """Values of one field (`*`, `*/n`, `a`, `a-b`, `a-b/n`, lists of them); empty when it is not understood."""
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\*)|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if match is None:
            return set()
        step = int(match[4] or 1)
        first = 0 if match[1] else int(match[2])
        last = size - 1 if match[1] or (match[4] and not match[3]) else int(match[3] or match[2])
        if step == 0 or first >= size or last >= size:
            return set()
        values.update(range(first, last + 1, step))
    return values
