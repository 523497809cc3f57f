"""What ends by age: Events after an hour, as the API server's `--event-ttl` has it."""

from collections.abc import Iterable

from ..clock import Clock, from_rfc3339
from ..history import Change
from ..store import Store
from .loop import Key
from .owners import key_of

EVENT_SECONDS = 3600.0


class EventExpiry:
    name = "event-expiry"
    kinds = frozenset({"events"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def keys(self, change: Change) -> Iterable[Key]:
        if change.type != "DELETED":
            yield key_of(change)

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("events", key[1], key[0])
        if entry is None:
            return None
        item = entry.item
        latest = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"]
        due = from_rfc3339(latest) + EVENT_SECONDS
        if due > self._clock.epoch():
            return due
        self._store.delete("events", key[1], key[0])
        return None
