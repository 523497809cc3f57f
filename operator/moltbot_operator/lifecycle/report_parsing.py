"""From a pod's JSON to a report (rule 12): every value checked, bounded, or dropped and named."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from moltbot_operator.lifecycle.reports import (
    CLOCK_AHEAD_SECONDS,
    COUNT_LIMIT,
    DUE_LIMIT_SECONDS,
    LIST_LENGTH,
    MESSAGE_LENGTH,
    TEXT_LENGTH,
    Choice,
    GatewayReport,
    GatewayState,
    NotAReport,
    ReportedCondition,
    SnapshotReport,
    StatePhase,
    StateReport,
)

# Problems named at most; more say nothing new.
PROBLEMS_KEPT = 8
# Lineages, snapshot ids, handshake ids, words: what our own programs make is within this.
_WORD = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")
FIRST_ACTIVITIES = frozenset({"page", "request", "message", "job"})
CHOICES = frozenset({"local", "head", "snapshot", "empty", "wait"})
Word = TypeVar("Word", bound=StrEnum)


class _Reader:
    """Reads one object's values, remembering what was wrong. A null or absent value is simply not there."""

    def __init__(self, document: Mapping[str, object], problems: list[str], now: datetime, prefix: str = "") -> None:
        self._document, self._problems, self._now, self._prefix = document, problems, now, prefix

    def problem(self, name: str, expected: str) -> None:
        if len(self._problems) < PROBLEMS_KEPT:
            self._problems.append(f"{self._prefix}{name} is not {expected}")

    def word(self, name: str) -> str | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _WORD.match(value):
            return value
        self.problem(name, "a short word")
        return None

    def one_of(self, name: str, allowed: frozenset[str]) -> str | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value in allowed:
            return value
        self.problem(name, "one of " + ", ".join(sorted(allowed)))
        return None

    def text(self, name: str, limit: int) -> str:
        value = self._document.get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            return printable(value, limit)
        self.problem(name, "text")
        return ""

    def count(self, name: str) -> int | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, float) and math.isfinite(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_LIMIT:
            return value
        self.problem(name, "a count")
        return None

    def truth(self, name: str) -> bool | None:
        value = self._document.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.problem(name, "true or false")
        return None

    def time(self, name: str, *, ahead: float = CLOCK_AHEAD_SECONDS) -> datetime | None:
        """A time no more than `ahead` seconds in the future."""
        value = self._document.get(name)
        if value is None:
            return None
        moment = parse_time(value)
        if moment is None:
            self.problem(name, "an RFC 3339 time")
        elif moment > self._now + timedelta(seconds=ahead):
            self.problem(name, "a time that can be: it is too far in the future")
        else:
            return moment
        return None

    def time_or_now(self, name: str) -> datetime | None:
        """As `time`, but what cannot be is taken for this moment: an activity that cannot be read keeps the assistant awake."""
        return self.time(name) or (self._now if self._document.get(name) is not None else None)

    def nested(self, name: str) -> _Reader | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, dict):
            return _Reader(value, self._problems, self._now, f"{self._prefix}{name}.")
        self.problem(name, "an object")
        return None

    def items(self, name: str) -> list[object]:
        value = self._document.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(name, "a list")
            return []
        if len(value) > LIST_LENGTH:
            self.problem(name, f"a list of at most {LIST_LENGTH}")
        return value[:LIST_LENGTH]

    def words(self, name: str) -> tuple[str, ...]:
        found = []
        for value in self.items(name):
            if isinstance(value, str) and value:
                found.append(printable(value, TEXT_LENGTH))
            else:
                self.problem(name, "a list of words")
        return tuple(found)

    def conditions(self) -> tuple[ReportedCondition, ...]:
        found: dict[str, ReportedCondition] = {}
        truths = {"True": True, "False": False, "Unknown": None}
        for value in self.items("conditions"):
            if not isinstance(value, dict):
                self.problem("conditions", "a list of conditions")
                continue
            item = _Reader(value, self._problems, self._now, f"{self._prefix}conditions.")
            type_, reason, status = item.word("type"), item.word("reason"), value.get("status")
            if type_ is None or reason is None or not isinstance(status, str) or status not in truths:
                self.problem("conditions", "a list of conditions with type, status and reason")
                continue
            found[type_] = ReportedCondition(type_, truths[status], reason, item.text("message", MESSAGE_LENGTH))
        return tuple(found.values())


def printable(text: str, limit: int) -> str:
    """The text on one line without control characters, at most `limit` characters: it goes to terminals and pages."""
    return "".join(character if character.isprintable() else " " for character in text[: 2 * limit]).strip()[:limit]


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time with a zone, in UTC; `None` for anything else."""
    if not isinstance(value, str) or len(value) > 40 or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def parse_gateway_report(document: object, *, pod_uid: str, now: datetime) -> GatewayReport:
    """Read the answer to `GET /report` of the gateway in pod `pod_uid`. Never raises but for NotAReport."""
    problems: list[str] = []
    reader = _begin(document, pod_uid, problems, now)
    timings = reader.nested("timings")
    changed = reader.truth("changed")
    return GatewayReport(
        pod_uid=pod_uid,
        state=_state(document, GatewayState),
        progress=reader.count("progress") or 0,
        busy=reader.words("busy"),
        busy_since=reader.time("busySince"),
        opened_at=reader.time_or_now("openedAt"),
        last_activity=reader.time_or_now("lastActivity"),
        first_activity=reader.one_of("firstActivity", FIRST_ACTIVITIES),
        next_due=reader.time("nextDue", ahead=DUE_LIMIT_SECONDS),
        lineage=reader.word("lineage"),
        sequence=reader.count("sequence"),
        changed=True if changed is None else changed,
        quiesce_id=reader.word("quiesceId"),
        conditions=reader.conditions(),
        listening_ms=timings.count("listeningMs") if timings else None,
        restored_ms=timings.count("restoredMs") if timings else None,
        open_ms=timings.count("openMs") if timings else None,
        tokens=reader.count("tokens") or 0,
        problems=tuple(problems),
    )


def parse_state_report(document: object, *, pod_uid: str, now: datetime) -> StateReport:
    """Read the answer to `GET /report` of the state container in pod `pod_uid`. Never raises but for NotAReport."""
    problems: list[str] = []
    reader = _begin(document, pod_uid, problems, now)
    changed = reader.truth("changed")
    choice = reader.nested("choice")
    kind = choice.one_of("kind", CHOICES) if choice else None
    last = reader.nested("lastSnapshot")
    return StateReport(
        pod_uid=pod_uid,
        state=_state(document, StatePhase),
        progress=reader.count("progress") or 0,
        choice=Choice(kind, choice.word("reason") or "", choice.text("message", MESSAGE_LENGTH)) if choice and kind else None,
        lineage=reader.word("lineage"),
        sequence=reader.count("sequence"),
        changed=True if changed is None else changed,
        last_snapshot=_snapshot(last) if last else None,
        last_equal=reader.time("lastEqual"),
        conditions=reader.conditions(),
        problems=tuple(problems),
    )


def parse_snapshot(document: object, *, now: datetime) -> SnapshotReport | None:
    """Read one snapshot as the state container describes it; `None` when it cannot be one."""
    return _snapshot(_Reader(document, [], now)) if isinstance(document, dict) else None


def parse_due(value: object, *, now: datetime) -> datetime | None:
    """The next due time of an answer to `quiesce`; `None` for none and for anything that is no time."""
    return _Reader({"nextDue": value}, [], now).time("nextDue", ahead=DUE_LIMIT_SECONDS)


def _snapshot(reader: _Reader) -> SnapshotReport | None:
    id_, time, lineage, sequence = reader.word("id"), reader.time("time"), reader.word("lineage"), reader.count("sequence")
    if id_ is None or time is None or lineage is None or sequence is None:
        reader.problem("id", "a snapshot with id, time, lineage and sequence")
        return None
    return SnapshotReport(
        id=id_,
        time=time,
        bytes=reader.count("bytes") or 0,
        files=reader.count("files") or 0,
        lineage=lineage,
        sequence=sequence,
        parent=reader.word("parent"),
        verified=reader.truth("verified") is True,
    )


def _begin(document: object, pod_uid: str, problems: list[str], now: datetime) -> _Reader:
    if not isinstance(document, dict):
        raise NotAReport("the answer is not a JSON object")
    if document.get("podUid") != pod_uid:
        raise NotAReport("the answer is another pod's")
    return _Reader(document, problems, now)


def _state(document: object, words: type[Word]) -> Word:
    value = document.get("state") if isinstance(document, dict) else None
    try:
        return words(value) if isinstance(value, str) else _no_state(words)
    except ValueError:
        return _no_state(words)


def _no_state(words: type[Word]) -> Word:
    raise NotAReport("state is not one of " + ", ".join(words))
