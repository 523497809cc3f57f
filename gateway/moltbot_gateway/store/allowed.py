"""What a person allowed for good: one row a pattern, as `tools.patterns` reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

# A list that a person can still look through.
MAX_ALLOWED = 500


@dataclass(frozen=True)
class AllowedPattern:
    """`by`: who said so, as shown. `at_ms`: when it was said, or last made use of."""

    pattern: str
    tool: str
    by: str
    at_ms: int


def list_allowed(db: sqlite3.Connection) -> list[AllowedPattern]:
    rows = db.execute("SELECT pattern, tool, by, at_ms FROM allowed ORDER BY pattern")
    return [AllowedPattern(*row) for row in rows]


def is_full(db: sqlite3.Connection) -> bool:
    """Whether nothing more is kept."""
    (count,) = db.execute("SELECT count(*) FROM allowed").fetchone()
    return int(count) >= MAX_ALLOWED


def add_allowed(db: sqlite3.Connection, new: AllowedPattern) -> None:
    """Said again it is kept as it was. Not where the list is full."""
    if not is_full(db):
        db.execute("INSERT OR IGNORE INTO allowed VALUES (?, ?, ?, ?)", (new.pattern, new.tool, new.by, new.at_ms))


def touch_allowed(db: sqlite3.Connection, pattern: str, at_ms: int) -> None:
    db.execute("UPDATE allowed SET at_ms = ? WHERE pattern = ?", (at_ms, pattern))


def replace_allowed(db: sqlite3.Connection, patterns: Iterable[AllowedPattern]) -> None:
    """The whole list anew; what stays keeps who said it."""
    before = {one.pattern: one for one in list_allowed(db)}
    db.execute("DELETE FROM allowed")
    for one in patterns:
        add_allowed(db, before.get(one.pattern, one))
