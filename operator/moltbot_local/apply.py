"""Field ownership (`metadata.managedFields`) and server-side apply.

An implementation of https://kubernetes.io/docs/reference/using-api/server-side-apply/ over plain JSON; the sets, the comparison and the
pruning follow `sigs.k8s.io/structured-merge-diff`, so that the records are those of a real API server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import ApiError
from .fields import Path, Paths, compare, field_set, merge, remove, with_parents
from .resources import Object, Resource
from .schema import ANYTHING, Schema, compact

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
        merged = remove(schema, merged, with_parents(schema, last) - with_parents(schema, claimed) - _UNOWNED)
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
