"""Params in a few lines each: what a JSON value must look like, with the official servers' way of saying where it does not.

Not JSON Schema: the gateway starts with this, and twelve kinds of check need no library. Unknown properties are always an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from moltbot_protocol.errors import ParamsError

# A check returns nothing, or raises ParamsError with the path ("root", "/client/id").
Check = Callable[[object, str], None]
MAX_ARRAY = 10_000


def _fail(path: str, what: str) -> ParamsError:
    return ParamsError(f"at {path or 'root'}: {what}")


def text(minimum: int = 1, maximum: int = 4096) -> Check:
    """A string of that many characters."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, str):
            raise _fail(path, "must be string")
        if len(value) < minimum:
            raise _fail(path, f"must NOT have fewer than {minimum} characters")
        if len(value) > maximum:
            raise _fail(path, f"must NOT have more than {maximum} characters")

    return check


def integer(minimum: int = 0, maximum: int = 2**53 - 1) -> Check:
    """A whole number in that range."""

    def check(value: object, path: str) -> None:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole:
            raise _fail(path, "must be integer")
        assert isinstance(value, int | float)
        if value < minimum:
            raise _fail(path, f"must be >= {minimum}")
        if value > maximum:
            raise _fail(path, f"must be <= {maximum}")

    return check


def number() -> Check:
    """Any finite number."""

    def check(value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _fail(path, "must be number")

    return check


def boolean() -> Check:
    """true or false."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, bool):
            raise _fail(path, "must be boolean")

    return check


def one_of(*values: str | bool) -> Check:
    """One of these constants."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, str | bool) or value not in values:
            raise _fail(path, "must be equal to one of the allowed values")

    return check


def nullable(inner: Check) -> Check:
    """That, or null."""

    def check(value: object, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def either(*checks: Check) -> Check:
    """The first that fits."""

    def check(value: object, path: str) -> None:
        for inner in checks[:-1]:
            try:
                inner(value, path)
            except ParamsError:
                continue
            return
        checks[-1](value, path)

    return check


def by_kind(**shapes: Check) -> Check:
    """An object whose `kind` says which of these it is."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _fail(path, "must be object")
        inner = shapes.get(str(value.get("kind")))
        if inner is None:
            raise _fail(f"{path}/kind", f"must be one of {', '.join(shapes)}")
        inner(value, path)

    return check


def array(inner: Check, maximum: int = MAX_ARRAY) -> Check:
    """A list of those."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, list):
            raise _fail(path, "must be array")
        if len(value) > maximum:
            raise _fail(path, f"must NOT have more than {maximum} items")
        for index, item in enumerate(value):
            inner(item, f"{path}/{index}")

    return check


def anything() -> Check:
    """No check: the method's owner reads it."""

    def check(value: object, path: str) -> None:
        return None

    return check


def mapping(inner: Check) -> Check:
    """An object with free property names."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _fail(path, "must be object")
        for name, item in value.items():
            inner(item, f"{path}/{name}")

    return check


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with exactly these properties. `open` lets others through unread (methods whose params this version does not know
    whole)."""

    required: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)
    open: bool = False

    def __call__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise _fail(path, "must be object")
        for name in self.required:
            if name not in value:
                raise _fail(path, f"must have required property '{name}'")
        for name, item in value.items():
            check = self.required.get(name) or self.optional.get(name)
            if check is not None:
                check(item, f"{path}/{name}")
            elif not self.open:
                raise _fail(path, f"unexpected property '{name[:64]}'")

    def check(self, value: object) -> dict[str, object]:
        """The params as an object; absent params are an empty one. Raises ParamsError."""
        document = {} if value is None else value
        self(document)
        assert isinstance(document, dict)
        return document


def shape(required: Mapping[str, Check] | None = None, *, open: bool = False, **optional: Check) -> Shape:  # noqa: A002 - reads as the schema does
    """`shape({"must": text()}, may=integer())`."""
    return Shape(required or {}, optional, open)


def strings(value: object) -> Sequence[str]:
    """A checked list of strings, typed."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
