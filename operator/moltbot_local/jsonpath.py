"""The JSONPath of printer columns: `.spec.a`, `['key']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/ and the subset that CustomResourceDefinitions may use.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Step = Callable[[Any], Iterable[Any]]
_TOKEN = re.compile(
    r"""\.(?P<name>[^.\[\]]+(?:\\\.[^.\[\]]+)*) | \[\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\] | \[(?P<index>-?\d+)\]
    | (?P<all>\[\*\]) | \[\?\(\s*@\.(?P<field>[\w.\-]+)\s*(?P<operator>==|!=)\s*(?P<value>'[^']*'|"[^"]*"|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)


def first(path: str, item: Any) -> Any:
    """The first value at the path, None when there is none."""
    return next(iter(find(path, item)), None)


def find(path: str, item: Any) -> list[Any]:
    values: list[Any] = [item]
    for step in _parsed(path):
        values = [found for value in values for found in step(value)]
    return values


@functools.lru_cache(maxsize=512)
def _parsed(path: str) -> tuple[Step, ...]:
    """Raises ValueError for what is no path."""
    text = path.strip().removeprefix("{").removesuffix("}").replace("\\.", "\0")
    steps, position = [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"{path}: not understood from {text[position:]!r} on")
        steps.append(_step(token))
        position = token.end()
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["all"]:
        return _all
    if token["index"] is not None:
        return functools.partial(_index, int(token["index"]))
    if token["field"]:
        text = token["value"]
        wanted = text[1:-1] if text[0] in "'\"" else json.loads(text)
        return functools.partial(_filter, token["field"], wanted, token["operator"] == "==")
    name = token["name"] or token["single"] or token["double"] or ""
    return functools.partial(_member, name.replace("\0", "."))


def _member(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _index(index: int, value: Any) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _all(value: Any) -> Iterable[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _filter(field: str, wanted: Any, equal: bool, value: Any) -> Iterator[Any]:
    for item in _all(value):
        found: Any = item
        for name in field.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if (found == wanted) is equal:
            yield item
