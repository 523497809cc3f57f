"""Runs controllers: what changed in the store becomes keys, each key is brought in order by one synchronous call.

Store and controllers live on one event loop and a `sync` never waits, so nothing can change under it, and two never run at once.
A refused write (a conflict with a client) is tried again with a growing delay.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ..clock import Clock
from ..errors import ApiError
from ..history import Change
from ..store import Store

log = logging.getLogger(__name__)

# (namespace, name); a controller may use other pairs of its own.
Key = tuple[str, str]
# Delay after a failed sync: doubles from the first to the last, as client-go's rate limiter does at a larger scale.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.05, 30.0
# A sync that writes causes a change that asks for a sync; this many rounds without a pause are a controller that fights itself.
ROUNDS = 100


class Controller(Protocol):
    name: str
    # The kinds whose changes it wants to see; `*` for all.
    kinds: frozenset[str]

    def keys(self, change: Change) -> Iterable[Key]:
        """What a change concerns."""
        ...

    def sync(self, key: Key) -> float | None:
        """Bring one key in order. Returns when to look again though nothing changes (seconds since 1970), None for never."""
        ...


class ControllerLoop:
    def __init__(self, store: Store, clock: Clock, controllers: Sequence[Controller]) -> None:
        self._store, self._clock, self._controllers = store, clock, controllers
        self._position = -1  # nothing seen yet: begin with all that exists
        self._dirty: dict[tuple[int, Key], None] = {}  # ordered
        self._due: dict[tuple[int, Key], float] = {}
        self._failures: dict[tuple[int, Key], int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            next_due = self.step()
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._store.history.changed(self._position))]
            if next_due is not None:
                waits.append(asyncio.create_task(self._clock.sleep(max(next_due - self._clock.epoch(), 0))))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def step(self) -> float | None:
        """Everything that is to be done now, until nothing changes any more. Returns when something is due next."""
        for _ in range(ROUNDS):
            self._collect()
            now = self._clock.epoch()
            for key in [key for key, due in self._due.items() if due <= now]:
                del self._due[key]
                self._dirty[key] = None
            if not self._dirty:
                break
            dirty, self._dirty = self._dirty, {}
            for key in dirty:
                self._sync(key)
        else:
            log.warning(
                "controllers are still busy after %d rounds: %s", ROUNDS, sorted({self._controllers[i].name for i, _ in self._dirty})
            )
            return self._clock.epoch() + FIRST_DELAY_SECONDS
        return min(self._due.values(), default=None)

    def _collect(self) -> None:
        history = self._store.history
        changes: list[Change] | None = None
        if self._position >= 0:
            with contextlib.suppress(ApiError):  # 410: too far behind
                changes = history.after(self._position)
        self._position = history.end
        if changes is None:
            kinds = frozenset[str]().union(*(c.kinds for c in self._controllers))
            if "*" in kinds:
                kinds = frozenset(resource.key for resource in self._store.registry)
            changes = [
                Change(entry.version, kind, entry.item["metadata"].get("namespace") or "", "ADDED", entry, None)
                for kind in sorted(kinds)
                if self._store.registry.find(kind) is not None
                for entry in self._store.entries(kind)
            ]
        for change in changes:
            for index, controller in enumerate(self._controllers):
                if change.key in controller.kinds or "*" in controller.kinds:
                    for key in controller.keys(change):
                        self._dirty[index, key] = None

    def _sync(self, key: tuple[int, Key]) -> None:
        controller = self._controllers[key[0]]
        self._due.pop(key, None)
        try:
            again = controller.sync(key[1])
        except Exception as error:  # one object's trouble is not the others'
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            again = self._clock.epoch() + min(FIRST_DELAY_SECONDS * 2 ** min(failures - 1, 10), LONGEST_DELAY_SECONDS)
            if not isinstance(error, ApiError):
                log.exception("controller %s failed for %s/%s, it is tried again", controller.name, *key[1])
            elif failures > 3:
                log.warning("controller %s: %s/%s: %s", controller.name, *key[1], error)
        else:
            self._failures.pop(key, None)
        if again is not None:
            self._due[key] = again
