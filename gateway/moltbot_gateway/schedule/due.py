"""When a job is due next: at one time, every so often, or by a cron expression in a time zone. Pure; times are milliseconds since 1970.

`Timing` is read from what `cron.list` shows as `schedule` (docs/reference/agent.md) and written back as it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from moltbot_gateway.errors import BadSchedule
from moltbot_gateway.schedule.cron import next_moment, parse_cron

# A job that ran more often would never let the assistant rest, and crontab knows nothing shorter either.
LEAST_EVERY_MS = 60_000
# Beyond it a time is a mistake of units (microseconds), and the operator takes none for a due time (ten years).
FURTHEST_MS = 9 * 365 * 86_400_000


@dataclass(frozen=True)
class At:
    at_ms: int


@dataclass(frozen=True)
class Every:
    """Due at `anchor_ms` and every `every_ms` after it."""

    every_ms: int
    anchor_ms: int


@dataclass(frozen=True)
class ByCron:
    """`zone`: an IANA name."""

    expression: str
    zone: str


Timing = At | Every | ByCron


def next_due(timing: Timing, after_ms: int) -> int | None:
    """The first due time later than `after_ms`; `None`: there is none. Raises BadSchedule for an expression or zone that cannot be."""
    match timing:
        case At(at_ms):
            return at_ms if at_ms > after_ms else None
        case Every(every_ms, anchor_ms):
            return anchor_ms if anchor_ms > after_ms else anchor_ms + ((after_ms - anchor_ms) // every_ms + 1) * every_ms
        case ByCron(expression, zone):
            after = datetime.fromtimestamp(after_ms // 1000, UTC)
            moment = next_moment(_cron(expression), find_zone(zone), after)
            return None if moment is None else int(moment.timestamp()) * 1000


_cron = functools.lru_cache(maxsize=128)(parse_cron)


def check_timing(timing: Timing, now_ms: int, *, past: bool = False) -> None:
    """Raises BadSchedule: it can never be due, or would be too often. `past`: a time may be past."""
    match timing:
        case At(at_ms) if at_ms > now_ms + FURTHEST_MS:
            raise BadSchedule("that time is more than nine years away; it is in milliseconds since 1970")
        case At(at_ms) if at_ms <= now_ms and not past:
            when = datetime.fromtimestamp(at_ms / 1000, UTC)
            raise BadSchedule(f"that time is past ({when:%Y-%m-%d %H:%M} UTC)")
        case Every(every_ms, anchor_ms) if max(every_ms, anchor_ms - now_ms) > FURTHEST_MS:
            raise BadSchedule("that is more than nine years away; everyMs is in milliseconds, anchorMs in milliseconds since 1970")
        case Every(every_ms) if every_ms < LEAST_EVERY_MS:
            raise BadSchedule("a job runs at most once a minute (everyMs is at least 60000)")
        case ByCron(expression) if next_due(timing, now_ms) is None:
            raise BadSchedule(f"no day ever fits cron {expression!r}")
        case _:
            pass


def find_zone(name: str) -> ZoneInfo:
    """Raises BadSchedule, with the nearest name that there is."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"there is no time zone {name[:64]!r}{_nearest(name)}") from error


def _nearest(name: str) -> str:
    import difflib

    zones = available_timezones()
    by_word = {zone.lower(): zone for zone in zones} | {
        zone.rpartition("/")[2].lower(): zone for zone in sorted(zones, reverse=True) if "/" in zone
    }
    found = difflib.get_close_matches(name.strip().lower().replace(" ", "_"), by_word, n=1, cutoff=0.6)
    return f"; did you mean {by_word[found[0]]}?" if found else "; zones are named as Europe/Berlin or America/New_York"


def timing_to_wire(timing: Timing) -> dict[str, object]:
    match timing:
        case At(at_ms):
            return {"kind": "at", "atMs": at_ms}
        case Every(every_ms, anchor_ms):
            return {"kind": "every", "everyMs": every_ms, "anchorMs": anchor_ms}
        case ByCron(expression, zone):
            return {"kind": "cron", "expr": expression, "tz": zone}


def timing_from_wire(value: Mapping[str, object], zone: str, now_ms: int) -> Timing:
    """What `cron.add` brings, or the store kept. `zone`: the assistant's own, for what names none. `at` may stand instead of `atMs`, as
    ISO 8601. Raises BadSchedule."""
    match value.get("kind"):
        case "at":
            at_ms, text = value.get("atMs"), value.get("at")
            if isinstance(at_ms, int | float):
                return At(int(at_ms))
            if isinstance(text, str):
                return At(read_time(text, zone))
            raise BadSchedule("a schedule of kind at needs atMs or at")
        case "every":
            every, anchor = value.get("everyMs"), value.get("anchorMs")
            if not isinstance(every, int | float) or every < 1:
                raise BadSchedule("a schedule of kind every needs everyMs")
            return Every(int(every), int(anchor) if isinstance(anchor, int | float) else now_ms)
        case "cron":
            return ByCron(str(value.get("expr", "")), str(value.get("tz") or zone))
        case kind:
            raise BadSchedule(f"a schedule's kind is at, every or cron, not {str(kind)[:40]!r}")


def read_time(text: str, zone: str) -> int:
    """ISO 8601; without a zone it is a time of `zone`. Raises BadSchedule."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadSchedule(f"{text[:40]!r} is no time: write 2026-11-24T08:00, or with a zone 2026-11-24T08:00:00+01:00") from error
    try:
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=find_zone(zone))).timestamp() * 1000)
    except (OverflowError, ValueError) as error:
        raise BadSchedule(f"{text[:40]!r} is no time that comes") from error
