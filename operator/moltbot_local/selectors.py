"""Label and field selectors: the text of a query turned into a predicate.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and …/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ApiError

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s=,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s!=,()]+)\s*$")


@dataclass(frozen=True)
class Requirement:
    key: str
    operator: str  # in | notin | exists | absent
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels
            case "in":
                return labels.get(self.key) in self.values if self.key in labels else False
            case _:
                return labels.get(self.key) not in self.values


@dataclass(frozen=True)
class Selector:
    """Which objects a list or a watch is about. The empty one selects all."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, bool, str], ...] = ()  # (path, equal?, value)

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, item: Mapping[str, Any]) -> bool:
        if self.labels:
            labels = item["metadata"].get("labels") or {}
            if not all(requirement.holds(labels) for requirement in self.labels):
                return False
        return all((field_text(item, path) == value) is equal for path, equal, value in self.fields)


EVERYTHING = Selector()


# Every kind can be selected by these.
PLAIN_FIELDS = ("metadata.name", "metadata.namespace")


def parse_selector(labels: str = "", fields: str = "", allowed: Iterable[str] = PLAIN_FIELDS, *, custom: bool = False) -> Selector:
    """Raises ApiError 400 for what the API server refuses: malformed text, a field that this kind cannot be selected by."""
    return Selector(
        tuple(_label(part, labels) for part in _split(labels)),
        tuple(_field(part, fields, allowed, custom=custom) for part in _split(fields)),
    )


def matching_labels(wanted: Mapping[str, str]) -> Selector:
    """The selector of a `matchLabels` or of a Service."""
    return Selector(tuple(Requirement(key, "in", frozenset({value})) for key, value in sorted(wanted.items())))


def from_label_selector(selector: Mapping[str, Any]) -> Selector:
    """A `metav1.LabelSelector` (matchLabels and matchExpressions)."""
    words = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    expressions = tuple(
        Requirement(item["key"], words[item["operator"]], frozenset(item.get("values") or ()))
        for item in selector.get("matchExpressions") or ()
    )
    return Selector(matching_labels(selector.get("matchLabels") or {}).labels + expressions)


def format_label_selector(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as the text that `status.selector` of a Scale carries."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for item in selector.get("matchExpressions") or ():
        values = ",".join(sorted(item.get("values") or ()))
        match item["operator"]:
            case "In":
                parts.append(f"{item['key']} in ({values})")
            case "NotIn":
                parts.append(f"{item['key']} notin ({values})")
            case "Exists":
                parts.append(item["key"])
            case _:
                parts.append("!" + item["key"])
    return ",".join(parts)


def _split(text: str) -> list[str]:
    """At commas that stand outside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def _label(part: str, whole: str) -> Requirement:
    if found := _SET.match(part):
        return Requirement(found[1], found[2], frozenset(value.strip() for value in found[3].split(",")))
    if found := _EQUAL.match(part):
        return Requirement(found[1], "notin" if found[2] == "!=" else "in", frozenset({found[3]}))
    if found := _EXISTS.match(part):
        return Requirement(found[2], "absent" if found[1] else "exists")
    raise ApiError(400, f'unable to parse requirement: found "{part.strip()}" in label selector "{whole}"')


def _field(part: str, whole: str, allowed: Iterable[str], *, custom: bool) -> tuple[str, bool, str]:
    found = re.match(r"^\s*([^!=\s]+)\s*(==|=|!=)\s*(.*?)\s*$", part)
    if not found:
        raise ApiError(400, f"invalid selector: '{whole}'; can't understand '{part}'")
    if found[1] not in allowed:
        if not custom and set(allowed) == set(PLAIN_FIELDS):
            known = ", ".join(f'"{name}"' for name in PLAIN_FIELDS)
            raise ApiError(400, f'"{found[1]}" is not a known field selector: only {known}')
        raise ApiError(400, f"field label not supported: {found[1]}")
    return found[1], found[2] != "!=", found[3]


def field_text(item: Mapping[str, Any], path: str) -> str:
    """The value at a dotted path as selectors compare it: absent is empty, booleans in lower case."""
    value: Any = item
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
