"""Tokens and money by day, conversation and model. Functions of a connection."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_gateway.store.records import Connection


@dataclass(frozen=True)
class Spent:
    """Tokens as the provider counted them; `cost` in millionths of a US dollar, `unpriced`: requests whose price nobody knows."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost: int = 0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.cost + other.cost,
            self.unpriced + other.unpriced,
        )


_SUMS = "sum(requests), sum(input), sum(output), sum(cache_read), sum(cache_write), sum(cost), sum(unpriced)"


def add_usage(db: Connection, day: str, session_key: str, model: str, spent: Spent) -> None:
    """`day`: YYYY-MM-DD in the assistant's time zone."""
    db.execute(
        "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, "
        "input = input + excluded.input, output = output + excluded.output, cache_read = cache_read + excluded.cache_read, "
        "cache_write = cache_write + excluded.cache_write, cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced",
        (
            day,
            session_key,
            model,
            spent.requests,
            spent.input,
            spent.output,
            spent.cache_read,
            spent.cache_write,
            spent.cost,
            spent.unpriced,
        ),
    )


def spent_on(db: Connection, day: str) -> Spent:
    """All conversations together."""
    return _spent(db.execute(f"SELECT {_SUMS} FROM usage WHERE day = ?", (day,)).fetchone())  # noqa: S608 - a constant


def spent_in(db: Connection, session_key: str) -> Spent:
    """One conversation, all days."""
    return _spent(db.execute(f"SELECT {_SUMS} FROM usage WHERE session_key = ?", (session_key,)).fetchone())  # noqa: S608


def spent_by_day(db: Connection, since: str, session_key: str | None = None) -> list[tuple[str, Spent]]:
    """Days from `since` on, oldest first; those without any use are not among them."""
    rows = db.execute(
        f"SELECT day, {_SUMS} FROM usage WHERE day >= ? AND (? IS NULL OR session_key = ?) GROUP BY day ORDER BY day",  # noqa: S608
        (since, session_key, session_key),
    )
    return [(str(day), _spent(sums)) for day, *sums in rows]


def _spent(row: list[int | None] | tuple[int | None, ...]) -> Spent:
    return Spent(*(value or 0 for value in row))
