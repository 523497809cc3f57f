"""Owner references, as controllers write and read them."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..history import Change
from .loop import Key


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((ref for ref in item["metadata"].get("ownerReferences") or () if ref.get("controller")), None)


def is_controlled_by(item: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    ref = controller_of(item)
    return ref is not None and ref["uid"] == owner["metadata"]["uid"]


def key_of(change: Change) -> Key:
    meta = change.entry.item["metadata"]
    return meta.get("namespace") or "", meta["name"]


def keys_of_owner(change: Change, kind: str) -> Iterable[Key]:
    """The owner's key, when that is of this kind."""
    ref = controller_of(change.entry.item)
    if ref is not None and ref["kind"] == kind:
        yield change.namespace, ref["name"]


def is_ready(pod: Mapping[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or ())
