"""What answers cost, and the day's limits. A day is one of the assistant's time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

from moltbot_gateway.agent_config import Limits
from moltbot_gateway.models.base import Usage
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_gateway.store import usage as store
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.usage import Spent
from moltbot_trust.clock import Clock

# Millionths of a US dollar that a request cost; `None` where the model's price is not known.
Price = Callable[[str, Usage], int | None]


class Ledger:
    def __init__(self, database: Database, clock: Clock, limits: Limits, zone: tzinfo, price: Price) -> None:
        self._database, self._clock, self.limits, self._zone, self.price = database, clock, limits, zone, price
        self._reached_on = ""

    def today(self) -> str:
        return f"{self._now():%Y-%m-%d}"

    def day_before(self, days: int) -> str:
        return f"{self._now() - timedelta(days=days):%Y-%m-%d}"

    async def record(self, session_key: str, model: str, usage: Usage) -> None:
        """One request to a model."""
        if not usage.total:
            return
        cost = self.price(model, usage)
        spent = Spent(1, usage.input, usage.output, usage.cache_read, usage.cache_write, cost or 0, int(cost is None))
        day = self.today()
        await self._database.write(lambda db: store.add_usage(db, day, session_key, model, spent))

    def is_reached(self) -> bool:
        """Whether a limit was reached when it was last looked at; looks at nothing itself."""
        return self._reached_on == self.today()

    async def check(self) -> None:
        """Raises ModelFailure at the day's limit: the assistant says so and stops."""
        problem = await self.reached()
        if problem is not None:
            raise ModelFailure(ErrorKind.RATE_LIMIT, problem, reason=Reason.LIMIT_REACHED)

    async def reached(self) -> str | None:
        """A sentence when a limit of today is reached."""
        if self.limits.tokens is None and self.limits.money_micros is None:
            return None
        day = self.today()
        spent = await self._database.read(lambda db: store.spent_on(db, day))
        if self.limits.tokens is not None and spent.tokens >= self.limits.tokens:
            what = f"{spent.tokens:,} of {self.limits.tokens:,} tokens are used"
        elif self.limits.money_micros is not None and spent.cost >= self.limits.money_micros:
            what = f"{spent.cost / 1e6:.2f} of {self.limits.money_micros / 1e6:.2f} US dollars are spent"
        else:
            return None
        self._reached_on = day
        return (
            f"Today's limit is reached: {what}. It begins anew at midnight ({self._zone}), {self._until_midnight()} from now; "
            "spec.model.limits of the Moltbot raises it."
        )

    def _until_midnight(self) -> str:
        now = self._now()
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), tzinfo=self._zone)
        minutes = int((midnight.timestamp() - now.timestamp()) // 60)
        return f"{minutes // 60} h {minutes % 60} min"

    def _now(self) -> datetime:
        return self._clock.now().astimezone(self._zone)
