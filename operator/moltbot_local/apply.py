"""Field ownership (`metadata.managedFields`) and server-side apply.

An implementation of https://kubernetes.io/docs/reference/using-api/server-side-apply/ over plain JSON; the sets, the comparison and the
pruning follow `sigs.k8s.io/structured-merge-diff`, so that the records are those of a real API server. A *path* is a tuple of `f:name`,
`k:{…}` (an item by its keys) and `v:…` (an item of a set), as in `fieldsV1`; a *set* is a Python set of paths.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import ApiError
from .resources import Object, Resource
from .schema import ANYTHING, Schema, compact

Path = tuple[str, ...]
Paths = set[Path]
_MISSING: Any = object()
# What the system alone writes is owned by nobody.
_SYSTEM = frozenset(
    ("f:metadata", "f:" + word)
    for word in (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion", "generateName",
        "deletionTimestamp", "deletionGracePeriodSeconds",
    )
)  # fmt: skip
_UNOWNED = frozenset({("f:apiVersion",), ("f:kind",), ("f:metadata",)})
BEFORE_FIRST_APPLY = "before-first-apply"


@dataclass(frozen=True)
class Writer:
    """Who writes: one record of `metadata.managedFields`. `time` is RFC 3339."""

    manager: str
    operation: str  # Apply | Update
    api_version: str
    subresource: str = ""
    time: str = ""

    @property
    def identity(self) -> Writer:
        """Records of the same manager, operation, subresource (and, for updates, version) are one."""
        return replace(self, time="", api_version="" if self.operation == "Apply" else self.api_version)

    def __str__(self) -> str:
        text = json.dumps(self.manager, ensure_ascii=False)
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}" + (f" at {self.time}" if self.time else "")
        return text


@dataclass
class Record:
    writer: Writer
    paths: Paths


Records = dict[Writer, Record]


def track(resource: Resource, old: Object | None, new: Object, writer: Writer) -> None:
    """Set `new.metadata.managedFields` after an ordinary write: what the writer added or changed is its own, and no longer another's."""
    records = read_records(old["metadata"] if old else {})
    if old is not None and not records:
        return  # its records were cleared: it is owned by nobody until somebody applies
    added, removed, modified = compare(_schema(resource), old if old is not None else {}, new)
    _take_over(records, writer.identity, added | modified, removed)
    mine = records.get(writer.identity)
    before = set() if mine is None else mine.paths
    paths = _owned((before | added | modified) - removed)
    if mine is None or paths != before:
        mine = Record(writer, paths)
    records[writer.identity] = mine
    write_records(new["metadata"], records)


def apply(resource: Resource, live: Object, config: Object, writer: Writer, *, force: bool) -> Object:
    """The live object (`{}`: none) with the configuration merged in and what this manager no longer names taken out, its records with it.

    Raises ApiError 409 with a cause for each field that another manager owns with another value, unless `force`.
    """
    schema = _schema(resource)
    meta = live.get("metadata") or {}
    records = read_records(meta)
    if live and not records:
        first = Writer(BEFORE_FIRST_APPLY, "Update", writer.api_version, "", writer.time)
        records[first.identity] = Record(first, _owned(compare(schema, {}, live)[0]))
    config = _only_of(resource, config, writer.subresource)
    mine = writer.identity
    last = records[mine].paths if mine in records else set()
    wanted = _owned(field_set(schema, config))
    merged = merge(schema, live, config) if live else config
    records[mine] = Record(writer, wanted)
    if last:
        claimed: Paths = set()
        for record in records.values():
            claimed |= record.paths
        merged = remove(schema, merged, _with_parents(schema, last) - _with_parents(schema, claimed))
    added, removed, modified = compare(schema, live, merged) if live else (set(), set(), set())
    _conflicts(records, mine, added | modified, force=force)
    _take_over(records, mine, added | modified, removed)
    merged.setdefault("metadata", {})
    if last == wanted and live and not added and not removed and not modified:
        records[mine].writer = _previous(meta, mine) or writer
    write_records(merged["metadata"], records)
    return merged


def _schema(resource: Resource) -> Schema:
    return resource.schema or ANYTHING


def _only_of(resource: Resource, config: Object, subresource: str) -> Object:
    """A configuration without what the other door writes."""
    if subresource == "status":
        kept = ("apiVersion", "kind", "metadata", "status")
        meta = {key: value for key, value in (config.get("metadata") or {}).items() if key in ("name", "namespace")}
        return {**{key: value for key, value in config.items() if key in kept}, "metadata": meta}
    if resource.status and "status" in config:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def _owned(paths: Paths) -> Paths:
    return {path for path in paths if path not in _UNOWNED and path[:2] not in _SYSTEM}


def _take_over(records: Records, mine: Writer, taken: Paths, removed: Paths) -> None:
    for identity, record in list(records.items()):
        if identity == mine:
            continue
        record.paths = record.paths - taken - removed
        if not record.paths:
            del records[identity]


def _conflicts(records: Records, mine: Writer, changed: Paths, *, force: bool) -> None:
    if force:
        return
    found = [(record.writer, sorted(record.paths & changed)) for identity, record in records.items() if identity != mine]
    found = sorted(((writer, paths) for writer, paths in found if paths), key=lambda pair: str(pair[0]))
    if not found:
        return
    count = sum(len(paths) for _, paths in found)
    causes, texts = [], []
    for writer, paths in found:
        named = [shown_path(path) for path in paths]
        causes += [{"reason": "FieldManagerConflict", "message": f"conflict with {writer}", "field": text} for text in named]
        if len(named) == 1:
            texts.append(f"conflict with {writer}: {named[0]}")
        else:
            texts.append(f"conflicts with {writer}:\n" + "\n".join("- " + text for text in named))
    message = f"Apply failed with {count} conflict{'s' if count != 1 else ''}: " + "\n".join(texts)
    raise ApiError(409, message, details={"causes": causes})


def shown_path(path: Path) -> str:
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += "." + rest
        elif kind == "k":
            text += "[" + ",".join(f"{key}={compact(value)}" for key, value in sorted(json.loads(rest).items())) + "]"
        else:
            text += f"[={rest}]"
    return text


# Records in the metadata


def read_records(meta: Mapping[str, Any]) -> Records:
    records: Records = {}
    for item in meta.get("managedFields") or ():
        if not item.get("manager") and not item.get("fieldsV1"):
            continue
        writer = Writer(
            item.get("manager", ""),
            item.get("operation", ""),
            item.get("apiVersion", ""),
            item.get("subresource", ""),
            item.get("time", ""),
        )
        records[writer.identity] = Record(writer, from_fields(item.get("fieldsV1") or {}))
    return records


def _previous(meta: Mapping[str, Any], mine: Writer) -> Writer | None:
    found = read_records(meta).get(mine)
    return found.writer if found else None


def write_records(meta: Object, records: Records) -> None:
    kept = [record for record in records.values() if record.paths]
    # As the API server sorts them: applies first, then by time.
    kept.sort(key=lambda record: (record.writer.operation, record.writer.time, record.writer.manager, record.writer.subresource))
    meta.pop("managedFields", None)
    listed = []
    for record in kept:
        writer = record.writer
        item = {
            "manager": writer.manager,
            "operation": writer.operation,
            "apiVersion": writer.api_version,
            "time": writer.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields(record.paths),
            "subresource": writer.subresource,
        }
        listed.append({key: value for key, value in item.items() if value != "" or key == "manager"})
    if listed:
        meta["managedFields"] = listed


def to_fields(paths: Paths) -> Object:
    root: Object = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return _without_dots(root)


def _without_dots(node: Object) -> Object:
    """A leaf is `{}`; only a member that has members of its own says `.`."""
    if set(node) == {"."}:
        return {}
    return {key: _without_dots(value) if key != "." else {} for key, value in node.items()}


def from_fields(node: Mapping[str, Any], path: Path = ()) -> Paths:
    paths: Paths = set()
    if path and (not node or "." in node):
        paths.add(path)
    for key, value in node.items():
        if key != ".":
            paths |= from_fields(value if isinstance(value, Mapping) else {}, (*path, _canonical(key)))
    return paths


def _canonical(step: str) -> str:
    """Keys as this process writes them, whoever wrote the record."""
    if step.startswith(("k:", "v:")):
        try:
            return step[:2] + compact(json.loads(step[2:]))
        except ValueError as error:
            raise ApiError(400, f"metadata.managedFields: {step} is not JSON") from error
    return step


# Walking values


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


def _with_parents(schema: Schema, paths: Paths) -> Paths:
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
    result -= _UNOWNED
    return result
