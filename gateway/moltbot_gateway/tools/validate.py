"""Whether a call's input fits its tool's schema: the part of JSON Schema that tools' schemas use. Words for the model, which mends its
call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def check_input(schema: Mapping[str, object], value: object, place: str = "") -> str | None:
    """What is wrong first, `None` when nothing is. Keywords that are not known here are left to the tool."""
    kinds = schema.get("type")
    wanted = [kinds] if isinstance(kinds, str) else list(kinds) if isinstance(kinds, list) else []
    if wanted and not any(_is(value, str(kind)) for kind in wanted):
        return f"{place or 'the input'} must be {' or '.join(map(str, wanted))}"
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return f"{place or 'the input'} must be one of {', '.join(map(str, choices))}"
    match value:
        case bool():
            return None
        case int() | float():
            return _number(schema, value, place)
        case str():
            return _text(schema, value, place)
        case list():
            return _list(schema, value, place)
        case dict():
            return _object(schema, value, place)
        case _:
            return None


def _is(value: object, kind: str) -> bool:
    expected = _TYPES.get(kind)
    if expected is None:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, expected)


def _number(schema: Mapping[str, object], value: float, place: str) -> str | None:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int | float) and value < least:
        return f"{place} must be at least {least}"
    if isinstance(most, int | float) and value > most:
        return f"{place} must be at most {most}"
    return None


def _text(schema: Mapping[str, object], value: str, place: str) -> str | None:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(value) < least:
        return f"{place} must not be empty" if least == 1 else f"{place} must have at least {least} characters"
    if isinstance(most, int) and len(value) > most:
        return f"{place} must have at most {most} characters"
    return None


def _list(schema: Mapping[str, object], value: Sequence[object], place: str) -> str | None:
    items = schema.get("items")
    if not isinstance(items, dict):
        return None
    problems = (check_input(items, item, f"{place}[{number}]") for number, item in enumerate(value))
    return next((problem for problem in problems if problem is not None), None)


def _object(schema: Mapping[str, object], value: Mapping[str, object], place: str) -> str | None:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if name not in value:
            return f"{_at(place, str(name))} is missing"
    for name, item in value.items():
        if name in known:
            problem = check_input(known[name], item, _at(place, name))
            if problem is not None:
                return problem
        elif schema.get("additionalProperties") is False:
            return f"{_at(place, name)} is not known; there are {', '.join(known) or 'none'}"
    return None


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
