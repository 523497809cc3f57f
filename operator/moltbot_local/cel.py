"""Validation rules of custom kinds (`x-kubernetes-validations`), evaluated by `cel-expr-python`.

Core CEL, optionals and strings; of https://kubernetes.io/docs/reference/using-api/cel/ what the library knows. A rule that it cannot
compile is refused when its definition is created, as the API server refuses one that it cannot.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from .errors import FieldError, Shown
from .schema import Schema

# Field names that CEL reserves are written `__name__` in rules; other characters are escaped too ("Accessing property names" in Kubernetes'
# documentation of CustomResourceDefinitions).
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_TRANSITION = re.compile(r"\boldSelf\b")
_EXTENSIONS = "extensions:\n- name: optional\n- name: strings\n- name: lists\n"
MISSING: Any = object()


class BadRule(Exception):
    """A rule that is not CEL."""


@functools.cache
def _environment() -> Any:
    from cel_expr_python import cel

    config = cel.NewEnvConfigFromYaml(_EXTENSIONS)
    return cel.NewEnv(config=config, variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN})


@functools.lru_cache(maxsize=1024)
def compiled(rule: str) -> Any:
    """Raises BadRule."""
    try:
        return _environment().compile(rule)
    except RuntimeError as error:
        raise BadRule(str(error).splitlines()[0]) from error


def is_transition(rule: Mapping[str, Any]) -> bool:
    return bool(_TRANSITION.search(rule["rule"])) and not rule.get("optionalOldSelf")


def check(schema: Schema, value: Any, old: Any, path: str) -> list[FieldError]:
    """The rules of one node. `old` MISSING: there is nothing to compare with, transition rules are not run."""
    rules = schema.raw.get("x-kubernetes-validations") or ()
    if not rules:
        return []
    data: dict[str, Any] = {"self": as_cel(schema, value)}
    if old is not MISSING:
        data["oldSelf"] = as_cel(schema, old)
    faults = []
    for rule in rules:
        if is_transition(rule) and old is MISSING:
            continue
        if fault := _broken(rule, data, value, path):
            faults.append(fault)
    return faults


def _broken(rule: Mapping[str, Any], data: dict[str, Any], value: Any, path: str) -> FieldError | None:
    text = rule["rule"].strip()
    try:
        result = compiled(rule["rule"]).eval(data=data).value()
    except RuntimeError as error:
        result = str(error)
    if result is True:
        return None
    if result is not False:
        return FieldError("FieldValueInvalid", path, f"{_words(str(result))} evaluating rule: {text}", Shown(f'"{_type_of(value)}"'))
    field = path + str(rule.get("fieldPath") or "")
    message = _message(rule, data) or rule.get("message") or f"failed rule: {text}"
    kind = rule.get("reason") or "FieldValueInvalid"
    if isinstance(value, (dict, list)):
        # The value of an object is not repeated.
        return FieldError(kind, field or "<nil>", "", Shown(message)) if kind == "FieldValueInvalid" else FieldError(kind, field, message)
    return FieldError(kind, field, message, value)


def _message(rule: Mapping[str, Any], data: dict[str, Any]) -> str:
    if not rule.get("messageExpression"):
        return ""
    try:
        result = compiled(rule["messageExpression"]).eval(data=data).value()
    except (RuntimeError, BadRule):
        return ""
    return result if isinstance(result, str) and result.strip() and "\n" not in result else ""


def _words(error: str) -> str:
    """The library's error as cel-go says it."""
    if found := re.search(r'Key not found in map : "?([^"]*)"?', error):
        return f"no such key: {found[1]}"
    return error.partition(": ")[2] or error


def _type_of(value: Any) -> str:
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
    return "null"


def as_cel(schema: Schema, value: Any) -> Any:
    """A value as rules see it: escaped field names, an object without its nulls.

    Times stay text: the library takes a timestamp only as a variable of its own, never inside an object. Our rules compare none.
    """
    if isinstance(value, dict):
        if schema.type != "struct":
            return {key: as_cel(schema.items, item) if schema.items else item for key, item in value.items()}
        result = {}
        for name, item in value.items():
            child = schema.properties.get(name)
            result[escaped(name)] = item if child is None else as_cel(child, item)
        return result
    if isinstance(value, list) and schema.items is not None:
        return [as_cel(schema.items, item) for item in value]
    return value


def escaped(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for found, replacement in _ESCAPES:
        name = name.replace(found, replacement)
    return name
