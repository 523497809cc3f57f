"""usage.cost, usage.status, sessions.usage: what answers cost, by day."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.store import usage
from moltbot_gateway.store.usage import Spent

DAYS_DEFAULT, DAYS_MAX = 30, 366


async def cost(context: Context) -> object:
    return await _answer(context, None)


async def of_session(context: Context) -> object:
    context.agent()
    return await _answer(context, context.session_key("key"))


async def status(context: Context) -> object:
    return {"updatedAt": context.gateway.now_ms(), "providers": []}


async def _answer(context: Context, session_key: str | None) -> object:
    ledger = context.gateway.agent.ledger
    days = max(1, min(context.number("days", DAYS_DEFAULT), DAYS_MAX))
    since, day = ledger.day_before(days - 1), ledger.today()
    by_day, today = await context.gateway.database.read(
        lambda db: (usage.spent_by_day(db, since, session_key), usage.spent_on(db, day)),
    )
    limits = ledger.limits
    return {
        "updatedAt": context.gateway.now_ms(),
        "days": days,
        "daily": [{"date": date, **_row(spent)} for date, spent in by_day],
        "totals": _row(sum((spent for _, spent in by_day), Spent())),
        "limits": {
            "tokensPerDay": limits.tokens,
            "dollarsPerDay": None if limits.money_micros is None else limits.money_micros / 1e6,
            "tokensToday": today.tokens,
            "dollarsToday": today.cost / 1e6,
            "reached": await ledger.reached() is not None,
        },
    }


def _row(spent: Spent) -> dict[str, object]:
    return {
        "input": spent.input,
        "output": spent.output,
        "cacheRead": spent.cache_read,
        "cacheWrite": spent.cache_write,
        "totalTokens": spent.tokens,
        "totalCost": spent.cost / 1e6,
        "missingCostEntries": spent.unpriced,
        "requests": spent.requests,
    }


HANDLERS: Mapping[str, Handler] = {"usage.cost": cost, "usage.status": status, "sessions.usage": of_session}
