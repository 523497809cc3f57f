"""The scale subresource: an `autoscaling/v1` Scale read from, and written into, the fields that the kind names.

At zero the API leaves `replicas` out of the spec (Go's omitempty); contract: tests/contract/test_scale.py.
"""

from __future__ import annotations

from typing import Any

from .errors import ApiError, FieldError, Invalid
from .resources import Object, Resource
from .selectors import format_label_selector
from .store import Store

_KNOWN = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def scale_of(resource: Resource, item: Object) -> Object:
    assert resource.scale is not None
    spec_path, status_path, selector_path = resource.scale
    meta = item["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = int(_at(item, spec_path) or 0)
    status: Object = {"replicas": int(_at(item, status_path) or 0)}
    if selector_path is None:
        selector = format_label_selector((item.get("spec") or {}).get("selector") or {})
    else:
        selector = str(_at(item, selector_path) or "")
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def replace_scale(store: Store, resource: Resource, place: tuple[str, str | None], scale: Object, *, manager: str, dry_run: bool) -> Object:
    """Write a whole Scale (PUT, or a patched one)."""
    name, namespace = place
    replicas = _wanted(scale, name)
    meta = scale.get("metadata") or {}

    def change(item: Object) -> Object:
        for word in ("uid", "resourceVersion"):
            if meta.get(word):
                item["metadata"][word] = meta[word]
        return _with(resource, item, replicas)

    return scale_of(resource, store.patch(resource.key, name, namespace, change, subresource="scale", manager=manager, dry_run=dry_run))


def apply_scale(
    store: Store, resource: Resource, place: tuple[str, str | None], scale: Object, *, manager: str, force: bool, dry_run: bool
) -> Object:
    """Server-side apply of a Scale: the manager then owns the replicas of the object itself, by this subresource."""
    name, namespace = place
    config: Object = {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}
    for word in ("uid", "resourceVersion"):
        if (scale.get("metadata") or {}).get(word):
            config["metadata"][word] = scale["metadata"][word]
    if "replicas" in (scale.get("spec") or {}):
        config = _with(resource, config, _wanted(scale, name))
    item, _ = store.apply(resource.key, config, manager=manager, force=force, subresource="scale", dry_run=dry_run)
    return scale_of(resource, item)


def unknown_fields(scale: Object) -> list[str]:
    found = [word for word in scale if word not in _KNOWN]
    found += [f"spec.{word}" for word in (scale.get("spec") or {}) if word != "replicas"]
    return [f'unknown field "{path}"' for path in found]


def _wanted(scale: Object, name: str) -> int:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas is None:
        replicas = 0
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        found = "string" if isinstance(replicas, str) else "bool" if isinstance(replicas, bool) else "object"
        why = f"json: cannot unmarshal {found} into Go struct field ScaleSpec.spec.replicas of type int32"
        raise ApiError(400, f'Scale in version "v1" cannot be handled as a Scale: {why}')
    if replicas < 0:
        fault = FieldError("FieldValueInvalid", "spec.replicas", "must be greater than or equal to 0", replicas)
        raise Invalid("autoscaling", "Scale", name, [fault])
    return replicas


def _at(item: Object, path: str) -> Any:
    value: Any = item
    for step in path.strip(".").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _with(resource: Resource, item: Object, replicas: int) -> Object:
    assert resource.scale is not None
    node = item
    *way, last = resource.scale[0].strip(".").split(".")
    for step in way:
        node = node.setdefault(step, {})
    node[last] = replicas
    return item
