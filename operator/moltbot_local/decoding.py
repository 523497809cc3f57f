"""Reading an object as its kind: unknown fields, and for built-in kinds wrong types, as Go's decoder finds them.

A custom object's wrong types are left to `validation.py`, which answers 422; here they pass.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any

from . import quantity
from .errors import ApiError
from .resources import Object, Resource
from .schema import Schema, shape

# Times that keep microseconds; all other times are whole seconds (metav1.MicroTime and metav1.Time).
_MICRO = frozenset({"acquireTime", "renewTime", "eventTime", "lastObservedTime"})
# Maps whose values are bytes.
_BYTES = frozenset({("Secret", "data"), ("ConfigMap", "binaryData")})
_GO = {"string": "string", "integer": "int32", "boolean": "bool", "number": "float64"}
_JSON = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


class Wrong(Exception):
    """What Go's decoder says of a value that does not fit."""


def decode(resource: Resource, item: Object) -> list[str]:
    """Take out what the kind does not know, in place. The result names each, as `unknown field "spec.foo"`.

    Raises ApiError 400 for a value of a wrong type.
    """
    unknown: list[str] = []
    try:
        if resource.custom:
            _custom(resource, item, unknown)
        elif resource.schema is not None:
            _typed(resource.schema, item, "", unknown, resource.kind)
    except Wrong as error:
        raise refused(resource, str(error)) from error
    return [f'unknown field "{path}"' for path in sorted(unknown)]


def refused(resource: Resource, why: str) -> ApiError:
    return ApiError(400, f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def _custom(resource: Resource, item: Object, unknown: list[str]) -> None:
    meta = item.get("metadata")
    if isinstance(meta, dict):
        try:
            _typed(shape("ObjectMeta"), meta, "metadata", unknown, "ObjectMeta")
        except Wrong as error:
            # Go reads a custom object's metadata by itself: the path begins there.
            raise Wrong(str(error).replace("ObjectMeta.metadata.", "ObjectMeta.")) from error
    if resource.schema is not None:
        _prune(resource.schema, item, "", unknown)


def _prune(schema: Schema, value: Any, path: str, unknown: list[str]) -> None:
    if schema.type == "list" and isinstance(value, list):
        if schema.items is not None:
            for index, item in enumerate(value):
                _prune(schema.items, item, f"{path}[{index}]", unknown)
    elif schema.type in ("struct", "map") and isinstance(value, dict):
        for name in list(value):
            child = schema.child(name)
            if child is None:
                unknown.append(f"{path}.{name}" if path else name)
                del value[name]
            elif child.name != "ObjectMeta":
                _prune(child, value[name], f"{path}.{name}" if path else name, unknown)


def _typed(schema: Schema, value: Any, path: str, unknown: list[str], place: str) -> Any:
    """The value as the type holds it; maps and lists are changed in place. `place` is how Go names the field."""
    match schema.type:
        case "struct":
            return _struct(schema, value, path, unknown, place)
        case "map":
            if not isinstance(value, dict):
                raise _mismatch(value, place, "map[string]string")
            for name in list(value):
                if value[name] is None:
                    value[name] = ""
                else:
                    value[name] = _typed(schema.items or schema, value[name], f"{path}.{name}", unknown, place)
        case "list":
            if not isinstance(value, list):
                raise _mismatch(value, place, "[]" + _go(schema.items))
            for index, item in enumerate(value):
                value[index] = _typed(schema.items or schema, item, f"{path}[{index}]", unknown, place)
        case "string" | "boolean" | "number" | "integer":
            return _scalar(schema.type, value, place)
        case "quantity":
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise Wrong(quantity.WORDS)
            try:
                return quantity.canonical(str(value))
            except ValueError as error:
                raise Wrong(str(error)) from error
        case "time":
            return _time(value, path.rpartition(".")[2])
        case "int-or-string":
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise _mismatch(value, place, "string")
    return value


def _struct(schema: Schema, value: Any, path: str, unknown: list[str], place: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(value, place, _go(schema))
    for name in list(value):
        inner = f"{path}.{name}" if path else name
        if not path and name in ("apiVersion", "kind"):
            continue
        child = schema.properties.get(name)
        if child is None:
            unknown.append(inner)
            del value[name]
        elif value[name] is None:
            del value[name]
        elif (schema.name, name) in _BYTES and isinstance(value[name], dict):
            for key, text in value[name].items():
                value[name][key] = _bytes(text)
        else:
            value[name] = _typed(child, value[name], inner, unknown, f"{schema.name or place.partition('.')[0]}.{inner}")
    return value


def _scalar(kind: str, value: Any, place: str) -> Any:
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
    }[kind]
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if not fits:
        raise _mismatch(value, place, _GO[kind])
    if kind == "integer" and not -(2**63) <= value < 2**63:
        raise Wrong(f"json: cannot unmarshal number {value} into Go struct field {place} of type int32")
    return value


def _mismatch(value: Any, place: str, wanted: str) -> Wrong:
    found = "null" if value is None else _JSON[type(value)]
    return Wrong(f"json: cannot unmarshal {found} into Go struct field {place} of type {wanted}")


def _go(schema: Schema | None) -> str:
    if schema is None:
        return "string"
    return _GO.get(schema.type, "v1." + schema.name if schema.name else schema.type)


_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")
_FRACTION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}(Z|[+-]\d{2}:\d{2})")


def _time(value: Any, name: str) -> Any:
    layout = "2006-01-02T15:04:05.000000Z07:00" if name in _MICRO else "2006-01-02T15:04:05Z07:00"
    if not isinstance(value, str):
        raise Wrong("json: cannot unmarshal number into Go value of type string")
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise Wrong(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from error
    if name in _MICRO:
        if not _FRACTION.fullmatch(value):
            raise Wrong(f'parsing time "{value}" as "{layout}": cannot parse "{value[19:]}" as ".000000"')
        return value
    if time.tzinfo is None or not _SECONDS.match(value):
        raise Wrong(f'parsing time "{value}" as "{layout}": cannot parse "{value[19:]}" as "Z07:00"')
    return value if len(value) == 20 else f"{value[:19]}Z" if time.utcoffset() is not None and value.endswith("Z") else value


def _bytes(text: Any) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _mismatch(text, "Secret.data", "[]uint8")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        bad = re.search(r"[^A-Za-z0-9+/=]", text)
        raise Wrong(f"illegal base64 data at input byte {bad.start() if bad else max(len(text) - 1, 0)}") from error
    return text
