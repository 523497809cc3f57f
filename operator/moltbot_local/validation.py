"""Custom objects against their structural schema: defaults, faults, rules.

The wording is that of a real API server (compared by tests/contract/test_custom_kinds.py): what a person reads here is what a cluster says.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from datetime import datetime
from typing import Any

from . import cel
from .errors import FieldError, Shown
from .resources import Object
from .schema import Schema, compact

MISSING = cel.MISSING
# Faults after which the rules are not run: what they would read may not be there.
_BLOCKING = frozenset({"FieldValueRequired", "FieldValueTypeInvalid", "FieldValueTooLong", "FieldValueTooMany", "FieldValueNotSupported"})
_NOT_CHECKED = FieldError(
    "FieldValueInvalid",
    "<nil>",
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
)


def apply_defaults(schema: Schema, value: Any) -> None:
    """Fill in defaults, in place; a null where none is allowed counts as left out when there is a default."""
    if schema.type == "list" and isinstance(value, list) and schema.items:
        for item in value:
            apply_defaults(schema.items, item)
    elif schema.type == "map" and isinstance(value, dict) and schema.items:
        for item in value.values():
            apply_defaults(schema.items, item)
    elif schema.type == "struct" and isinstance(value, dict):
        for name, child in schema.properties.items():
            default = child.raw.get("default")
            if default is not None and (name not in value or (value[name] is None and not child.nullable)):
                value[name] = _copied(default)
            if name in value and child.name != "ObjectMeta":
                apply_defaults(child, value[name])


def drop_nulls(schema: Schema, value: Any) -> None:
    """A null in a field that cannot be null counts as left out."""
    if schema.type == "struct" and isinstance(value, dict):
        for name in list(value):
            child = schema.properties.get(name)
            if child is None or child.name == "ObjectMeta":
                continue
            if value[name] is None and not child.nullable:
                del value[name]
            else:
                drop_nulls(child, value[name])
    elif schema.type == "list" and isinstance(value, list) and schema.items:
        for item in value:
            drop_nulls(schema.items, item)
    elif schema.type == "map" and isinstance(value, dict) and schema.items:
        for item in value.values():
            drop_nulls(schema.items, item)


def validate(schema: Schema, item: Object, old: Object | None = None) -> list[FieldError]:
    """All faults of an object; with the present one, unchanged parts keep theirs (ratcheting) and transition rules are run."""
    before: Any = MISSING if old is None else old
    faults = _faults(schema, item, before, "")
    if any(fault.type in _BLOCKING for fault in faults) or any(fault.field == "<nil>" for fault in faults):
        return [*faults, _NOT_CHECKED]
    return faults + _duplicates(schema, item, before, "") + _rules(schema, item, before, "")


def _faults(schema: Schema, value: Any, old: Any, path: str) -> list[FieldError]:
    if old is not MISSING and old == value:
        return []
    raw = schema.raw
    if value is None and schema.nullable:
        return []
    if fault := _type_fault(schema, value, path):
        return [fault] + (_enum(raw, value, path) if "enum" in raw else [])
    faults: list[FieldError] = []
    match value:
        case str():
            faults += _string(raw, value, path)
        case bool():
            pass
        case int() | float():
            faults += _number(raw, value, path)
        case list():
            faults += _list(schema, value, path)
        case dict():
            faults += _object(schema, value, old, path)
    if "enum" in raw:
        faults += _enum(raw, value, path)
    return faults + _combinations(raw, value, path)


def _enum(raw: Object, value: Any, path: str) -> list[FieldError]:
    if value in raw["enum"]:
        return []
    told = "supported values: " + ", ".join(compact(item) for item in raw["enum"])
    return [FieldError("FieldValueNotSupported", path, told, value)]


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "struct": (dict,),
    "map": (dict,),
    "int-or-string": (int, str),
}
_NAMES = {"list": "array", "struct": "object", "map": "object", "int-or-string": "integer,string"}


def _type_fault(schema: Schema, value: Any, path: str) -> FieldError | None:
    wanted = _TYPES.get(schema.type)
    if wanted is None:
        return None
    fits = isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted)
    if schema.type == "integer" and isinstance(value, float) and value.is_integer():
        fits = True
    if fits:
        return None
    found = json_type(value)
    name = _NAMES.get(schema.type, schema.type)
    return FieldError("FieldValueTypeInvalid", path or "<nil>", f'{path} in body must be of type {name}: "{found}"', found)


def json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
    return "object"


def _string(raw: Object, value: str, path: str) -> list[FieldError]:
    faults = []
    # Only the first of these is told.
    if "maxLength" in raw and len(value) > raw["maxLength"]:
        faults.append(FieldError("FieldValueTooLong", path, f"may not be more than {raw['maxLength']} bytes", value))
    elif "minLength" in raw and len(value) < raw["minLength"]:
        faults.append(_invalid(path, f"should be at least {raw['minLength']} chars long", value))
    elif "pattern" in raw and not _pattern(raw["pattern"]).search(value):
        faults.append(_invalid(path, f"should match '{raw['pattern']}'", value))
    if "format" in raw and not _has_format(raw["format"], value):
        why = f"{path} in body must be of type {raw['format']}: {compact(value)}"
        faults.append(FieldError("FieldValueTypeInvalid", path, why, value))
    return faults


def _invalid(path: str, why: str, value: Any) -> FieldError:
    return FieldError("FieldValueInvalid", path, f"{path} in body {why}", value)


@functools.lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    # RE2's `$` is the very end of the text, Python's also stands before a last newline.
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", text))


def _has_format(name: str, value: str) -> bool:
    match name:
        case "date-time":
            try:
                return datetime.fromisoformat(value).tzinfo is not None and "T" in value.upper()
            except ValueError:
                return False
        case "date":
            return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", value))
        case "byte":
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return False
            return True
        case "duration":
            return bool(re.fullmatch(r"([+-]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0)", value))
        case "uuid":
            return bool(re.fullmatch(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", value))
        case "ipv4":
            return bool(re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", value)) and all(int(part) < 256 for part in value.split("."))
    return True


def _number(raw: Object, value: float, path: str) -> list[FieldError]:
    faults = []
    if "maximum" in raw:
        exclusive = raw.get("exclusiveMaximum")
        if value > raw["maximum"] or (exclusive and value == raw["maximum"]):
            faults.append(_invalid(path, f"should be less than {'' if exclusive else 'or equal to '}{raw['maximum']}", value))
    if "minimum" in raw:
        exclusive = raw.get("exclusiveMinimum")
        if value < raw["minimum"] or (exclusive and value == raw["minimum"]):
            faults.append(_invalid(path, f"should be greater than {'' if exclusive else 'or equal to '}{raw['minimum']}", value))
    if "multipleOf" in raw and value % raw["multipleOf"]:
        faults.append(_invalid(path, f"should be a multiple of {raw['multipleOf']}", value))
    return faults


def _list(schema: Schema, value: list[Any], path: str) -> list[FieldError]:
    raw, faults = schema.raw, []
    if "maxItems" in raw and len(value) > raw["maxItems"]:
        faults.append(FieldError("FieldValueTooMany", path, f"must have at most {_items(raw['maxItems'])}", len(value)))
    if "minItems" in raw and len(value) < raw["minItems"]:
        faults.append(_invalid(path, f"should have at least {raw['minItems']} items", len(value)))
    if schema.items is not None:
        for index, item in enumerate(value):
            faults += _faults(schema.items, item, MISSING, f"{path}[{index}]")
    return faults


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def _object(schema: Schema, value: Object, old: Any, path: str) -> list[FieldError]:
    raw, faults = schema.raw, []
    if "maxProperties" in raw and len(value) > raw["maxProperties"]:
        faults.append(FieldError("FieldValueTooMany", path, f"must have at most {_items(raw['maxProperties'])}", len(value)))
    if "minProperties" in raw and len(value) < raw["minProperties"]:
        faults.append(_invalid(path, f"should have at least {raw['minProperties']} properties", len(value)))
    for name in schema.required:
        if name not in value:
            faults.append(FieldError("FieldValueRequired", inside(path, name), "", ""))
    for name, item in value.items():
        child = schema.child(name)
        if child is not None and child.name != "ObjectMeta":
            before = old.get(name, MISSING) if isinstance(old, dict) else MISSING
            faults += _faults(child, item, before, inside(path, name))
    return faults


def inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _combinations(raw: Object, value: Any, path: str) -> list[FieldError]:
    """anyOf, oneOf, allOf, not: value validations only, as structural schemas allow them."""
    faults: list[FieldError] = []
    if raw.get("x-kubernetes-int-or-string"):
        return faults
    for word in ("anyOf", "oneOf"):
        options = raw.get(word)
        if not options:
            continue
        tried = [_fits(option, value, path) for option in options]
        good = sum(not found for found in tried)
        if good == 0:
            told = "at least one schema (anyOf)" if word == "anyOf" else "one and only one schema (oneOf). Found none valid"
            faults.append(FieldError("FieldValueInvalid", "<nil>", f'"{path}" must validate {told}', ""))
            faults += tried[0]
        elif word == "oneOf" and good > 1:
            told = f"one and only one schema (oneOf). Found {good} valid alternatives"
            faults.append(FieldError("FieldValueInvalid", "<nil>", f'"{path}" must validate {told}', ""))
    for option in raw.get("allOf") or ():
        faults += _fits(option, value, path)
    if "not" in raw and not _fits(raw["not"], value, path):
        faults.append(FieldError("FieldValueInvalid", "<nil>", f'"{path}" must not validate the schema (not)', ""))
    return faults


def _fits(raw: Object, value: Any, path: str) -> list[FieldError]:
    from .schema import from_crd

    loose = from_crd(raw)
    if isinstance(value, dict) and loose.type == "any" and "required" in raw:
        loose.type = "struct"
    loose.open = True
    return _faults(loose, value, MISSING, path)


def _duplicates(schema: Schema, value: Any, old: Any, path: str) -> list[FieldError]:
    if old is not MISSING and old == value:
        return []
    faults: list[FieldError] = []
    if schema.type == "list" and isinstance(value, list):
        seen: set[str] = set()
        for index, item in enumerate(value):
            if schema.keys or schema.is_set:
                key = schema.key_of(item)
                if key in seen:
                    faults.append(FieldError("FieldValueDuplicate", f"{path}[{index}]", "", Shown(key[2:])))
                seen.add(key)
            if schema.items:
                faults += _duplicates(schema.items, item, MISSING, f"{path}[{index}]")
    elif schema.type in ("struct", "map") and isinstance(value, dict):
        for name, item in value.items():
            child = schema.child(name)
            if child is not None and child.name != "ObjectMeta":
                before = old.get(name, MISSING) if isinstance(old, dict) else MISSING
                faults += _duplicates(child, item, before, inside(path, name))
    return faults


def _rules(schema: Schema, value: Any, old: Any, path: str) -> list[FieldError]:
    faults = [] if value is None else cel.check(schema, value, old, path)
    if old is not MISSING and old == value:
        # Ratcheting: an unchanged value keeps the faults it has; only transition rules count, and they compare equal values.
        faults = []
    if schema.type == "list" and isinstance(value, list) and schema.items:
        before = {schema.key_of(item): item for item in old} if schema.keys and isinstance(old, list) else {}
        for index, item in enumerate(value):
            faults += _rules(schema.items, item, before.get(schema.key_of(item), MISSING) if before else MISSING, f"{path}[{index}]")
    elif schema.type in ("struct", "map") and isinstance(value, dict):
        for name, item in value.items():
            child = schema.child(name)
            if child is not None and child.name != "ObjectMeta":
                faults += _rules(child, item, old.get(name, MISSING) if isinstance(old, dict) else MISSING, inside(path, name))
    return faults


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
