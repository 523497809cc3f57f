"""Does a live object say what is desired of it (rule 1)? Pure.

Only what is desired is looked at: what the API server defaulted and what others own is not. Lists with merge keys compare by key, other
lists whole (an added egress rule is drift), quantities by value (`0.5` is `500m`), zero values as absent (the API leaves them out).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

# Lists that merge by a key in our kinds (`x-kubernetes-list-map-keys` of the API's OpenAPI), by the name of the field that holds them.
# `ports` is a map in containers (containerPort, protocol) and Services (port, protocol), and atomic in NetworkPolicies.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
_PORT_PARENTS = {"containers": ("containerPort", "protocol"), "initContainers": ("containerPort", "protocol"), "spec": ("port", "protocol")}
# Fields whose values are quantities, whatever they are called.
_QUANTITY_MAPS = frozenset({"requests", "limits", "capacity"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "storage"})
_SUFFIXES = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "P": Decimal(10**15), "E": Decimal(10**18), "n": Decimal("1e-9"), "u": Decimal("1e-6"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([numkKMGTPE]i?)?)")
# Of a desired object these are addresses, not wishes.
_NOT_COMPARED = frozenset({"apiVersion", "kind", "status"})
_METADATA_COMPARED = ("labels", "annotations", "ownerReferences", "finalizers")


def parse_quantity(value: object) -> Decimal | None:
    """A Kubernetes quantity as a number; None when it is not one. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    try:
        number = Decimal(match[1])
    except InvalidOperation:
        return None
    if match[2]:
        return number * Decimal(f"1{match[2]}")
    return number * _SUFFIXES[match[3] or ""] if (match[3] or "") in _SUFFIXES else None


def find_drift(desired: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Paths of desired fields that are not so in the live object, such as `spec.template.spec.containers[name=gateway].image`."""
    found: list[str] = []
    metadata, live_metadata = desired.get("metadata") or {}, live.get("metadata") or {}
    for name in _METADATA_COMPARED:
        if name in metadata:
            _compare(metadata[name], live_metadata.get(name), ("metadata", name), found)
    for name, value in desired.items():
        if name != "metadata" and name not in _NOT_COMPARED:
            _compare(value, live.get(name), (name,), found)
    return found


def _is_zero(value: object) -> bool:
    return value is None or value is False or value in (0, "", {}, [])


def _compare(desired: Any, live: Any, path: tuple[str, ...], found: list[str]) -> None:
    if _is_zero(desired) and _is_zero(live):
        return
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            # {} of a union member (emptyDir: {}) means something by being there; with nothing in it nothing else can differ
            if not (live is None and all(_is_zero(value) for value in desired.values()) and desired):
                found.append(_dotted(path))
            return
        for name, value in desired.items():
            if path[-1] in _QUANTITY_MAPS or name in _QUANTITY_FIELDS:
                _compare_quantity(value, live.get(name), (*path, name), found)
            else:
                _compare(value, live.get(name), (*path, name), found)
        return
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        _compare_list(desired, live, path, found)
        return
    if isinstance(desired, bool) or isinstance(live, bool):
        if desired is not live:
            found.append(_dotted(path))
        return
    if desired != live:
        found.append(_dotted(path))


def _compare_quantity(desired: object, live: object, path: tuple[str, ...], found: list[str]) -> None:
    one, other = parse_quantity(desired), parse_quantity(live)
    if desired != live and (one is None or one != other):
        found.append(_dotted(path))


def _compare_list(desired: Sequence[Any], live: Any, path: tuple[str, ...], found: list[str]) -> None:
    if not isinstance(live, Sequence) or isinstance(live, str):
        found.append(_dotted(path))
        return
    keys = _keys_of(path)
    if keys is None:
        if len(desired) != len(live):
            found.append(_dotted(path))
            return
        for index, (one, other) in enumerate(zip(desired, live, strict=True)):
            # an item of an atomic list is ours as a whole, but the API may have defaulted fields in it
            _compare_item(one, other, (*path, str(index)), found)
        return
    there = {tuple(_key(item, name) for name in keys): item for item in live if isinstance(item, Mapping)}
    for item in desired:
        key = tuple(_key(item, name) for name in keys)
        label = f"{path[-1]}[{','.join(f'{name}={value}' for name, value in zip(keys, key, strict=True))}]"
        if key not in there:
            found.append(_dotted((*path[:-1], label)))
        else:
            _compare(item, there[key], (*path[:-1], label), found)


def _compare_item(desired: Any, live: Any, path: tuple[str, ...], found: list[str]) -> None:
    before = len(found)
    _compare(desired, live, path, found)
    if len(found) == before and isinstance(desired, Mapping) and isinstance(live, Mapping):
        extra = [name for name, value in live.items() if name not in desired and not _is_zero(value) and not _is_default(name, value)]
        found.extend(_dotted((*path, name)) for name in extra)


def _is_default(name: str, value: object) -> bool:
    """What the API server itself fills into items of our atomic lists (ports of a NetworkPolicy, tolerations)."""
    return (name, value) in {("protocol", "TCP"), ("operator", "Equal")}


def _key(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name, "TCP" if name == "protocol" else ""))


def _keys_of(path: tuple[str, ...]) -> tuple[str, ...] | None:
    name = path[-1]
    if name != "ports":
        return _MERGE_KEYS.get(name)
    parent = path[-2].partition("[")[0] if len(path) >= 2 else ""
    return _PORT_PARENTS.get(parent)


def _dotted(path: tuple[str, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if part.isdigit() else ("." if text else "") + part
    return text
