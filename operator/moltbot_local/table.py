"""Lists as tables: what kubectl asks for to print columns (`Accept: application/json;as=Table`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import jsonpath
from .ages import human_duration
from .resources import Column, Object, Resource

_NAME = Column(
    "Name",
    "string",
    ".metadata.name",
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the"
    " generation of an appropriate name automatically.",
    "name",
)


def table(resource: Resource, items: list[Object], meta: Object, now: float, include: str, *, header: bool = True) -> Object:
    """A `meta.k8s.io/v1` Table. `include`: what of each object (Metadata, Object, None). `header` False: in a watch, after the first."""
    columns = _columns(resource)
    body: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": None}
    if header:
        body["columnDefinitions"] = [
            {
                "name": column.name,
                "type": "string" if column.type == "date" and not resource.custom and column.format != "date-time" else column.type,
                "format": "" if column.format == "date-time" else column.format,
                "description": column.description,
                "priority": column.priority,
            }
            for column in columns
        ]
    body["rows"] = [_row(columns, item, now, include) for item in items]
    return body


def _columns(resource: Resource) -> tuple[Column, ...]:
    own = resource.columns or (Column("Age", "date", ".metadata.creationTimestamp"),)
    return own if resource.kind == "Event" else (_NAME, *own)


def _row(columns: tuple[Column, ...], item: Object, now: float, include: str) -> Object:
    row: Object = {"cells": [_cell(column, item, now) for column in columns]}
    if include == "Object":
        row["object"] = item
    elif include != "None":
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}
    return row


def _cell(column: Column, item: Object, now: float) -> Any:
    if callable(column.path):
        value = column.path(item)
        if column.type == "date" and column.format != "date-time":
            return age(value, now)
        return value
    value = jsonpath.first(column.path, item)
    if column.type == "date":
        if column.path == ".metadata.creationTimestamp" or value is not None:
            return age(value, now)
        return None if column.description else "<none>"
    if value is None:
        return None
    if column.type == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if column.type in ("integer", "number") and isinstance(value, str):
        return None
    return value


def age(text: Any, now: float) -> str:
    if not isinstance(text, str) or not text:
        return "<unknown>"
    try:
        return human_duration(now - datetime.fromisoformat(text).timestamp())
    except ValueError:
        return "<invalid>"
