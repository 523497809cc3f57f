"""A collection kept in memory: `watching.watch` into a dict, with callbacks at each change and waits on a condition.

What is in it may be behind the server; before something is decided that cannot be taken back, read the object itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from moltbot_kube.client import Kube
from moltbot_kube.resources import Object, Resource
from moltbot_kube.watching import Change, Patience, Scope, WatchEvent, watch

logger = logging.getLogger(__name__)

Key = tuple[str, str]  # (namespace, name); namespace "" for cluster-scoped kinds


@dataclass(frozen=True, slots=True)
class Changed:
    """One change: `old` is None for a new object, `new` None for one that is gone. A replaced object (another uid) is two changes."""

    key: Key
    old: Object | None
    new: Object | None


def without_managed_fields(obj: Object) -> Object:
    """The default of what is kept: who owns which field is half of an object's bytes, and no reader's business."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Cache:
    """Follow one kind. Run `run()` as a task of something with a lifetime; everything else is for the same event loop."""

    def __init__(
        self,
        kube: Kube,
        resource: Resource,
        *,
        namespaces: Sequence[str] | None = None,
        label_selector: str = "",
        field_selector: str = "",
        keep: Callable[[Object], Object] = without_managed_fields,
        patience: Patience | None = None,
    ) -> None:
        """`namespaces` None follows all of them by one watch, else one watch each. `keep` chooses what is kept of an object."""
        places: Sequence[str | None] = [None] if namespaces is None else list(namespaces)
        self._scopes = [Scope(resource, place, label_selector, field_selector) for place in places]
        self._kube = kube
        self._keep = keep
        self._patience = patience
        self._objects: dict[Key, Object] = {}
        self._subscribers: list[Callable[[Changed], None]] = []
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        self._unsynced = len(self._scopes)
        self._synced = asyncio.Event()
        if not self._scopes:
            self._synced.set()
        self.resource = resource

    @property
    def synced(self) -> bool:
        """Everything was listed at least once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Until `synced`. Put it under a timeout; safe to cancel."""
        await self._synced.wait()

    def get(self, name: str, namespace: str = "") -> Object | None:
        """The object as last seen, or None. It is the cache's own: do not change it."""
        return self._objects.get((namespace, name))

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        """The objects as last seen, in no order; do not await between them."""
        return iter(self._objects.values())

    def subscribe(self, callback: Callable[[Changed], None]) -> Callable[[], None]:
        """Call `callback` at each change, in order, at once for what is there already. Returns what ends it. It must not block."""
        self._subscribers.append(callback)
        for key, obj in list(self._objects.items()):
            self._call(callback, Changed(key, None, obj))

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    async def wait_for(self, name: str, namespace: str, condition: Callable[[Object | None], bool]) -> Object | None:
        """Until `condition` holds of the object (None: absent), then the object. Put it under a timeout; safe to cancel."""
        key = (namespace, name)
        changed = asyncio.Event()
        self._waiters.setdefault(key, set()).add(changed)
        try:
            while True:
                obj = self._objects.get(key)
                if condition(obj):
                    return obj
                changed.clear()
                await changed.wait()
        finally:
            waiters = self._waiters[key]
            waiters.discard(changed)
            if not waiters:
                del self._waiters[key]

    def observe(self, obj: Object) -> None:
        """Take in the answer of a write or a read of our own, unless the watch has already told something newer."""
        key = self._key(obj)
        before = self._objects.get(key)
        if before is not None and _is_older(obj, before):
            return
        self._set(key, self._keep(obj))

    async def run(self) -> None:
        """Follow until cancelled. A broken connection is waited out; the objects stay as last seen."""
        async with asyncio.TaskGroup() as group:
            for scope in self._scopes:
                group.create_task(self._follow(scope), name=f"watch {scope.resource} {scope.namespace or '*'}")

    async def _follow(self, scope: Scope) -> None:
        first = True
        async for event in watch(self._kube, scope, self._patience):
            if event.change is not Change.SYNCED:
                self._take(event)
            elif first:
                first = False
                self._unsynced -= 1
                if self._unsynced == 0:
                    self._synced.set()

    def _take(self, event: WatchEvent) -> None:
        key = self._key(event.object)
        if event.change is Change.DELETED:
            before = self._objects.get(key)
            if before is not None and before["metadata"].get("uid") != event.object["metadata"].get("uid"):
                return  # `observe` has already brought its successor
            self._set(key, None)
            return
        before = self._objects.get(key)
        if before is not None and _is_older(event.object, before):
            return
        self._set(key, self._keep(event.object))

    def _set(self, key: Key, new: Object | None) -> None:
        old = self._objects.get(key)
        if new is None:
            if old is None:
                return
            del self._objects[key]
        else:
            self._objects[key] = new
        if old is not None and new is not None and old["metadata"].get("uid") != new["metadata"].get("uid"):
            changes = [Changed(key, old, None), Changed(key, None, new)]
        else:
            changes = [Changed(key, old, new)]
        for change in changes:
            for callback in list(self._subscribers):
                self._call(callback, change)
        for waiter in self._waiters.get(key, ()):
            waiter.set()

    def _call(self, callback: Callable[[Changed], None], change: Changed) -> None:
        try:
            callback(change)
        except Exception:  # one reader's fault must not end the watch of the others
            logger.exception("cache callback failed", extra={"resource": str(self.resource), "key": "/".join(change.key)})

    @staticmethod
    def _key(obj: Object) -> Key:
        metadata = obj["metadata"]
        return str(metadata.get("namespace") or ""), str(metadata["name"])


def _is_older(one: Object, other: Object) -> bool:
    """Whether `one` is certainly older than `other`: the same object (uid) with a smaller resourceVersion.

    Versions of one kind are comparable as integers since Kubernetes 1.35 promises so and all before it kept it; when they do not parse,
    nothing is certain.
    """
    a, b = one["metadata"], other["metadata"]
    if a.get("uid") != b.get("uid"):
        return False
    try:
        return int(a["resourceVersion"]) < int(b["resourceVersion"])
    except (KeyError, ValueError):
        return False
