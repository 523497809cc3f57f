"""Sets of fields: what of an object is set, what differs between two, how one is laid over another.

The arithmetic under `apply.py`, after `sigs.k8s.io/structured-merge-diff`. A *path* is a tuple of `f:name`, `k:{…}` (an item by its keys)
and `v:…` (an item of a set), as in `fieldsV1`; a *set* is a Python set of paths.
"""

from __future__ import annotations

from typing import Any

from .schema import ANYTHING, Schema

Path = tuple[str, ...]
Paths = set[Path]
_MISSING: Any = object()


def _divided(schema: Schema, *values: Any) -> str:
    """How values at one place are compared: `map` and `list` member by member, `leaf` whole."""
    if schema.atomic and schema.type != "any":
        return "leaf"
    present = [value for value in values if value is not _MISSING and value is not None]
    if present and all(isinstance(value, dict) for value in present):
        return "map"
    if schema.type == "list" and present and all(isinstance(value, list) for value in present):
        return "list"
    return "leaf"


def field_set(schema: Schema, value: Any, path: Path = ()) -> Paths:
    """The set of an applied configuration: its leaves, the items of its merged lists, its empty maps."""
    paths: Paths = set()
    match _divided(schema, value):
        case "map":
            for name, item in value.items():
                child = schema.child(name)
                step = (*path, "f:" + name)
                paths |= field_set(child or ANYTHING, item, step)
                if item is None or item == {} or schema.type == "map" or name not in schema.properties:
                    paths.add(step)
        case "list":
            for item in value:
                step = (*path, schema.key_of(item))
                paths |= field_set(schema.items or ANYTHING, item, step)
                paths.add(step)
        case _:
            paths.add(path)
    paths.discard(())
    return paths


def compare(schema: Schema, old: Any, new: Any, path: Path = ()) -> tuple[Paths, Paths, Paths]:
    """(added, removed, modified) paths between two values."""
    changes: tuple[Paths, Paths, Paths] = (set(), set(), set())
    _compare(schema, old, new, path, changes)
    for paths in changes:
        paths.discard(())
    return changes


def _compare(schema: Schema, old: Any, new: Any, path: Path, changes: tuple[Paths, Paths, Paths]) -> None:
    added, removed, modified = changes
    kind = _divided(schema, old, new)
    empty = all(value in (_MISSING, None) or not value for value in (old, new)) if kind != "leaf" else False
    if kind == "leaf" or empty:
        if old is _MISSING:
            added.add(path)
        elif new is _MISSING:
            removed.add(path)
        elif old != new:
            modified.add(path)
        return
    before = _members(schema, old, kind)
    after = _members(schema, new, kind)
    for step in {**before, **after}:
        one, two = before.get(step, _MISSING), after.get(step, _MISSING)
        if one is two:
            continue
        inner = schema.items if kind == "list" else schema.child(step[2:])
        _compare(inner or ANYTHING, one, two, (*path, step), changes)
    if old is _MISSING:
        if not _always_there(schema, path):
            added.add(path)
    elif new is _MISSING:
        removed.add(path)


# Parts of built-in kinds that Go never leaves out: they are there before anybody sets them, so nobody owns them as such.
_ALWAYS = frozenset("f:" + word for word in ("spec", "template", "metadata", "containers", "updateStrategy", "jobTemplate"))


def _always_there(schema: Schema, path: Path) -> bool:
    if not path or schema.raw:
        return False
    named = path[-1] in _ALWAYS or path == ("f:spec", "f:resources")
    return named and not any(step.startswith("k:") for step in path)


def _members(schema: Schema, value: Any, kind: str) -> dict[str, Any]:
    if value is _MISSING or value is None:
        return {}
    if kind == "map":
        return {"f:" + name: item for name, item in value.items()}
    return {schema.key_of(item): item for item in value}


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """The configuration laid over the live value; neither is changed, parts are shared."""
    match _divided(schema, live, config):
        case "map":
            result = dict(live or {})
            for name, item in (config or {}).items():
                result[name] = merge(schema.child(name) or ANYTHING, result[name], item) if name in result else item
            return result
        case "list":
            return _merge_lists(schema, live or [], config or [])
    return config


def _merge_lists(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Items in the configuration's order; those that only the live list has keep their places between them."""
    inner = schema.items or ANYTHING
    wanted = {schema.key_of(item) for item in config}
    present = {schema.key_of(item): item for item in live}
    result, done, index = [], set(), 0
    for item in config:
        key = schema.key_of(item)
        while index < len(live):
            other = schema.key_of(live[index])
            if other == key or (other in wanted and other not in done):
                break
            if other not in wanted:
                result.append(live[index])
            index += 1
        if index < len(live) and schema.key_of(live[index]) == key:
            index += 1
        result.append(merge(inner, present[key], item) if key in present else item)
        done.add(key)
    result += [item for item in live[index:] if schema.key_of(item) not in wanted]
    return result


def remove(schema: Schema, value: Any, paths: Paths, path: Path = ()) -> Any:
    """The value without what stands at the paths; a map or list that becomes empty by it goes too unless it is owned."""
    if not paths:
        return value
    match _divided(schema, value):
        case "map":
            result = {}
            for name, item in value.items():
                step = (*path, "f:" + name)
                if step not in paths:
                    result[name] = remove(schema.child(name) or ANYTHING, item, paths, step)
            return result
        case "list":
            steps = ((item, (*path, schema.key_of(item))) for item in value)
            return [remove(schema.items or ANYTHING, item, paths, step) for item, step in steps if step not in paths]
    return value


def with_parents(schema: Schema, paths: Paths) -> Paths:
    """The set with the named fields above its members: who owns `spec.replicas` keeps `spec`; items and entries are owned only by name."""
    result = set(paths)
    for path in paths:
        node: Schema = schema
        for depth, step in enumerate(path[:-1]):
            if step.startswith("f:"):
                if node.type == "struct" and step[2:] in node.properties:
                    result.add(path[: depth + 1])
                node = node.child(step[2:]) or ANYTHING
            else:
                node = node.items or ANYTHING
    return result
