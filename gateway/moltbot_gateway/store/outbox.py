"""The durable outbox: functions of a connection, run by `Database.read` and `Database.write`.

A part is *taken* for a while (the lease) and stays until it is *acknowledged*. While a part of a target is out, nothing more is given out
for that target, so that whoever takes again after a crash never overtakes what was on its way; other targets go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moltbot_gateway.store.records import Connection

# The keys of what has arrived are kept this long, so that an event that comes again is not sent again. Milliseconds.
KEPT_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Part:
    """`number` from 0 of `count`; `takes`: how often it was given out, this time included. More than once means: perhaps it arrived."""

    event: str
    number: int
    count: int
    target: str
    text: str
    created_ms: int
    takes: int


def add_event(db: Connection, event: str, target: str, texts: Sequence[str], now_ms: int) -> bool:
    """Keep the parts of an event. False: it is there already, and nothing was changed."""
    if db.execute("SELECT 1 FROM outbox WHERE event = ?", (event,)).fetchone() is not None:
        return False
    db.execute("DELETE FROM outbox WHERE acknowledged_ms < ?", (now_ms - KEPT_MS,))
    (last,) = db.execute("SELECT coalesce(max(ordinal), 0) FROM outbox").fetchone()
    rows = [
        (event, number, last + 1 + number, target, json.dumps({"text": text, "of": len(texts)}, ensure_ascii=False), now_ms)
        for number, text in enumerate(texts)
    ]
    db.executemany("INSERT INTO outbox (event, part, ordinal, target, body, created_ms) VALUES (?, ?, ?, ?, ?, ?)", rows)
    return True


def acknowledge(db: Connection, parts: Sequence[tuple[str, int]], now_ms: int) -> int:
    """These have arrived. Returns how many of them waited for it; others are unknown or acknowledged already."""
    done = 0
    for event, number in parts:
        done += db.execute(
            "UPDATE outbox SET acknowledged_ms = ?, body = '{}' WHERE event = ? AND part = ? AND acknowledged_ms IS NULL",
            (now_ms, event, number),
        ).rowcount
    return done


def take(db: Connection, *, limit: int, prefixes: Sequence[str], lease_ms: int, now_ms: int) -> list[Part]:
    """The oldest parts that nobody is at, in order. `prefixes`: only of targets that begin with one of these; none: all."""
    rows = db.execute(
        "SELECT event, part, target, body, created_ms, taken_ms, takes FROM outbox WHERE acknowledged_ms IS NULL ORDER BY ordinal"
    )
    out: set[str] = set()
    taken: list[Part] = []
    for event, number, target, body, created_ms, taken_ms, takes in rows:
        if prefixes and not target.startswith(tuple(prefixes)):
            continue
        # A lease from the future is one of a clock that was set back.
        if taken_ms is not None and now_ms - lease_ms < taken_ms <= now_ms:
            out.add(target)
        if target in out:
            continue
        content: Mapping[str, object] = json.loads(body)
        count = content["of"]
        assert isinstance(count, int)
        taken.append(Part(event, number, count, target, str(content["text"]), created_ms, takes + 1))
        if len(taken) == limit:
            break
    db.executemany(
        "UPDATE outbox SET taken_ms = ?, takes = takes + 1 WHERE event = ? AND part = ?",
        [(now_ms, part.event, part.number) for part in taken],
    )
    return taken


def count_waiting(db: Connection) -> int:
    """Parts that nobody acknowledged yet."""
    (count,) = db.execute("SELECT count(*) FROM outbox WHERE acknowledged_ms IS NULL").fetchone()
    return int(count)
