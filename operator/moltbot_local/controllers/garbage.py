"""Garbage collection by owner references: background, foreground, orphan.

Source: kubernetes/pkg/controller/garbagecollector. Not here: its graph. Each owner and each dependent is judged by what the store holds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..clock import Clock
from ..history import Change
from ..store import Store
from .loop import Key

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True)
class Collect:
    """Delete this object; `propagation` as the request would name it."""

    propagation: str | None


@dataclass(frozen=True)
class Disown:
    """Owners that are gone, or let it go, are taken out of its references."""

    uids: frozenset[str]


def decide_dependent(item: Mapping[str, Any], owner: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]) -> Collect | Disown | None:
    """`owner`: a reference → the object of that uid, None when there is none."""
    references = item["metadata"].get("ownerReferences") or []
    if not references or "deletionTimestamp" in item["metadata"]:
        return None
    absent, waiting, solid = [], [], []
    for reference in references:
        found = owner(reference)
        if found is None:
            absent.append(reference)
        elif _ends_in_foreground(found) and reference.get("blockOwnerDeletion"):
            waiting.append(reference)
        else:
            solid.append(reference)
    if solid:
        gone = frozenset(r["uid"] for r in (*absent, *waiting))
        return Disown(gone) if gone else None
    if waiting:
        return Collect("Foreground")
    # As its own finalizers ask, else in the background.
    finalizers = item["metadata"].get("finalizers") or ()
    return Collect("Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background")


def _ends_in_foreground(owner: Mapping[str, Any]) -> bool:
    meta = owner["metadata"]
    return "deletionTimestamp" in meta and FOREGROUND in (meta.get("finalizers") or ())


def decide_owner(item: Mapping[str, Any], dependents: Iterable[Mapping[str, Any]]) -> tuple[list[str], str | None]:
    """An owner that is being deleted: (uids of dependents to let go, the finalizer that is done)."""
    meta = item["metadata"]
    finalizers = meta.get("finalizers") or ()
    if "deletionTimestamp" not in meta:
        return [], None
    if ORPHAN in finalizers:
        return [d["metadata"]["uid"] for d in dependents], ORPHAN
    if FOREGROUND in finalizers:
        blocking = [
            d
            for d in dependents
            if any(r["uid"] == meta["uid"] and r.get("blockOwnerDeletion") for r in d["metadata"].get("ownerReferences") or ())
        ]
        return [], None if blocking else FOREGROUND
    return [], None


class GarbageCollector:
    name = "garbage-collector"
    kinds = frozenset({"*"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        # uid → (kind, namespace, name) of what exists; uid of an owner → uids of its dependents
        self._places: dict[str, tuple[str, str, str]] = {}
        self._dependents: dict[str, set[str]] = {}
        self._owners: dict[str, frozenset[str]] = {}

    def keys(self, change: Change) -> Iterable[Key]:
        """Keys are uids: ("", uid)."""
        meta = change.entry.item["metadata"]
        uid = meta["uid"]
        owners = frozenset(r["uid"] for r in meta.get("ownerReferences") or ()) if change.type != "DELETED" else frozenset()
        for gone in self._owners.get(uid, frozenset()) - owners:
            self._dependents.get(gone, set()).discard(uid)
            yield "", gone  # its owner may have waited for it
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(uid)
        if owners:
            self._owners[uid] = owners
        else:
            self._owners.pop(uid, None)
        if change.type == "DELETED":
            self._places.pop(uid, None)
        else:
            self._places[uid] = (change.key, change.namespace, meta["name"])
            if owners or "deletionTimestamp" in meta:
                yield "", uid
        if change.type == "DELETED" or "deletionTimestamp" in meta:
            for dependent in sorted(self._dependents.get(uid, ())):
                yield "", dependent

    def _find(self, uid: str) -> Mapping[str, Any] | None:
        place = self._places.get(uid)
        entry = self._store.entry(place[0], place[2], place[1]) if place else None
        return entry.item if entry is not None and entry.item["metadata"]["uid"] == uid else None

    def _owner(self, namespace: str, reference: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = self._find(reference["uid"])
        if found is None or found["kind"] != reference["kind"] or found["metadata"]["name"] != reference["name"]:
            return None
        # An owner in another namespace counts as absent.
        return found if found["metadata"].get("namespace") in (None, namespace) else None

    def sync(self, key: Key) -> float | None:
        item = self._find(key[1])
        if item is None:
            return None
        meta = item["metadata"]
        kind, namespace, name = self._places[key[1]]
        action = decide_dependent(item, lambda reference: self._owner(namespace, reference))
        if isinstance(action, Collect):
            self._store.delete(kind, name, namespace, uid=meta["uid"], propagation=action.propagation)
            return None
        if isinstance(action, Disown):
            self._release(item, action.uids)
        found = [d for uid in sorted(self._dependents.get(key[1], ())) if (d := self._find(uid)) is not None]
        released, finalizer = decide_owner(item, found)
        for dependent in found:
            if dependent["metadata"]["uid"] in released:
                self._release(dependent, frozenset({key[1]}))
        if finalizer is not None:
            kept = [f for f in meta.get("finalizers") or () if f != finalizer]
            self._store.patch(kind, name, namespace, {"metadata": {"uid": meta["uid"], "finalizers": kept}})
        return None

    def _release(self, item: Mapping[str, Any], uids: frozenset[str]) -> None:
        kind, namespace, name = self._places[item["metadata"]["uid"]]
        kept = [r for r in item["metadata"]["ownerReferences"] if r["uid"] not in uids]
        self._store.patch(kind, name, namespace, {"metadata": {"uid": item["metadata"]["uid"], "ownerReferences": kept}})
