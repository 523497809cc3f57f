"""The outbox: what the assistant sends to people elsewhere. It stands in the main conversation too, so that its owner sees what was said.

Channels take and acknowledge by one call, `exchange`; bot tokens never enter this pod (rule 7). Sent at least once: who is killed between
sending and acknowledging gets the part again, with `takes` above 1, and nothing that was acknowledged ever comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from moltbot_gateway.delivery.split import split
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.store import outbox as rows
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.notes import append_note
from moltbot_gateway.store.outbox import Part
from moltbot_gateway.store.records import Connection, Message
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.clock import Clock

# How long a part that was taken is nobody else's. Channels acknowledge within seconds; more than this is a crash.
LEASE_MS = 60_000
# Parts of one call, at most; a part has at most some thousand characters.
MAX_TAKEN = 100
# Characters of a part where the caller knows no better: what every platform takes.
DEFAULT_LIMIT = 2000


@dataclass(frozen=True)
class Exchange:
    """`acknowledge`: (event, part) that have arrived. `targets`: prefixes of the targets that are asked for; none: all."""

    acknowledge: tuple[tuple[str, int], ...] = ()
    limit: int = 50
    targets: tuple[str, ...] = ()


class Outbox:
    """`noted` is called with what was put into the main conversation."""

    def __init__(self, database: Database, clock: Clock, noted: Callable[[Message], None]) -> None:
        self._database, self._clock, self._noted = database, clock, noted

    async def enqueue(
        self, event: str, target: str, text: str, *, limit: int = DEFAULT_LIMIT, detail: Mapping[str, object] | None = None
    ) -> int:
        """Keep a text that goes out. `event` names it for good: the same again is kept once. Returns the number of its parts; it is on
        disk, and in the main conversation with `delivered` in its detail. `detail` goes there too.

        Raises:
            ValueError: a text of nothing.
        """
        parts = split(text, limit)
        if not parts:
            raise ValueError("an empty text is not sent")
        now_ms = self._now_ms()
        delivered = {"event": event, "to": target, "parts": len(parts)}

        def keep(db: Connection) -> Message | None:
            if not rows.add_event(db, event, target, parts, now_ms):
                return None
            return append_note(db, MAIN_SESSION, text, {**(detail or {}), "delivered": delivered}, now_ms)

        note = await self._database.write(keep)
        if note is not None:
            self._noted(note)
        return len(parts)

    async def note(self, text: str, detail: Mapping[str, object]) -> None:
        """Say something in the main conversation alone."""
        self._noted(await self._database.write(lambda db: append_note(db, MAIN_SESSION, text, detail, self._now_ms())))

    async def exchange(self, exchange: Exchange) -> list[Part]:
        """Acknowledge and take, in one transaction. Unknown acknowledgements are ignored. Safe to repeat: what is lost on the way back is
        given out again when its lease is over."""
        now_ms = self._now_ms()

        def carry_out(db: Connection) -> list[Part]:
            rows.acknowledge(db, exchange.acknowledge, now_ms)
            if not exchange.limit:
                return []
            return rows.take(db, limit=exchange.limit, prefixes=exchange.targets, lease_ms=LEASE_MS, now_ms=now_ms)

        return await self._database.write(carry_out)

    async def waiting(self) -> int:
        """Parts that have not arrived yet."""
        return await self._database.read(rows.count_waiting)

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


def read_exchange(body: Mapping[str, object]) -> Exchange:
    """The JSON of one call (docs/reference/internals.md). Raises InvalidRequest."""
    limit, targets, acknowledged = body.get("limit", 50), body.get("targets", []), body.get("acknowledge", [])
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MAX_TAKEN:
        raise InvalidRequest(f"limit is a whole number, at most {MAX_TAKEN}")
    if not isinstance(targets, list) or not all(isinstance(target, str) and target for target in targets):
        raise InvalidRequest("targets is a list of texts")
    return Exchange(_read_acknowledged(acknowledged), limit, tuple(targets))


def _read_acknowledged(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, list) or len(value) > 10 * MAX_TAKEN:
        raise InvalidRequest("acknowledge is a list of {event, part}")
    pairs: list[tuple[str, int]] = []
    for item in value:
        event, part = (item.get("event"), item.get("part")) if isinstance(item, dict) else (None, None)
        if not isinstance(event, str) or isinstance(part, bool) or not isinstance(part, int):
            raise InvalidRequest("acknowledge is a list of {event, part}")
        pairs.append((event, part))
    return tuple(pairs)


def parts_to_wire(parts: Sequence[Part]) -> dict[str, object]:
    """The answer of one call."""
    return {
        "parts": [
            {
                "event": part.event,
                "part": part.number,
                "of": part.count,
                "target": part.target,
                "text": part.text,
                "createdAtMs": part.created_ms,
                "takes": part.takes,
            }
            for part in parts
        ]
    }
