"""Namespaces: each has a ServiceAccount `default`; a deleted one takes its content along and goes when that is gone.

Source: kubernetes/pkg/controller/namespace/deletion and pkg/controller/serviceaccount.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..clock import Clock, to_rfc3339
from ..errors import ApiError
from ..history import Change
from ..store import Store
from .loop import Key

DEFAULT_ACCOUNT = "default"


def decide_conditions(
    remaining: Mapping[str, int], finalizers: Mapping[str, int], old: Iterable[Mapping[str, Any]], now: float
) -> list[dict[str, Any]]:
    """What a namespace that ends says of itself. `remaining`: kind → how many objects; `finalizers`: finalizer → how many wait for it."""
    content = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(remaining.items()))
    waiting = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    wanted = [
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", False, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        (
            "NamespaceContentRemaining",
            bool(remaining),
            *(
                ("SomeResourcesRemain", f"Some resources are remaining: {content}")
                if remaining
                else ("ContentRemoved", "All content successfully removed")
            ),
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(finalizers),
            *(
                ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {waiting}")
                if finalizers
                else ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
            ),
        ),
    ]
    before = {c["type"]: c for c in old}
    conditions = []
    for kind, holds, reason, message in wanted:
        status = "True" if holds else "False"
        previous = before.get(kind)
        time = previous["lastTransitionTime"] if previous and previous["status"] == status else to_rfc3339(now)
        conditions.append({"type": kind, "status": status, "lastTransitionTime": time, "reason": reason, "message": message})
    return conditions


class NamespaceController:
    name = "namespace-controller"
    kinds = frozenset({"*"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def keys(self, change: Change) -> Iterable[Key]:
        if change.key == "namespaces":
            yield "", change.entry.item["metadata"]["name"]
        elif change.namespace:
            entry = self._store.entry("namespaces", change.namespace)
            ends = entry is not None and "deletionTimestamp" in entry.item["metadata"]
            if ends or (change.key == "serviceaccounts" and change.type == "DELETED"):
                yield "", change.namespace

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("namespaces", key[1])
        if entry is None:
            return None
        if "deletionTimestamp" in entry.item["metadata"]:
            self._empty(entry.item)
        elif self._store.entry("serviceaccounts", DEFAULT_ACCOUNT, key[1]) is None:
            self._store.create("serviceaccounts", {"metadata": {"name": DEFAULT_ACCOUNT, "namespace": key[1]}})
        return None

    def _empty(self, namespace: Mapping[str, Any]) -> None:
        name = namespace["metadata"]["name"]
        remaining: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for resource in self._store.registry:
            if not resource.namespaced or resource.alias_of:
                continue
            for entry in self._store.entries(resource.key, name):
                meta = entry.item["metadata"]
                if "deletionTimestamp" not in meta:
                    self._store.delete(resource.key, meta["name"], name, uid=meta["uid"], propagation="Background")
                left = self._store.entry(resource.key, meta["name"], name)
                if left is not None:
                    remaining[resource.key] = remaining.get(resource.key, 0) + 1
                    for finalizer in left.item["metadata"].get("finalizers") or ():
                        finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        old = (namespace.get("status") or {}).get("conditions") or []
        conditions = decide_conditions(remaining, finalizers, old, self._clock.epoch())
        self._store.patch_status("namespaces", name, None, {"phase": "Terminating", "conditions": conditions})
        if not remaining:
            kept = [f for f in (namespace.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
            try:
                self._store.patch("namespaces", name, None, {"spec": {"finalizers": kept or None}}, subresource="finalize")
            except ApiError as error:
                if error.code != 404:
                    raise
