"""Settings of a process: its `MOLTBOT_*` environment, read once into a frozen dataclass.

    @dataclass(frozen=True)
    class Settings:
        listen: str = setting("0.0.0.0:8080", doc="Where people's traffic is served.")
        hold_seconds: float = setting(50.0, doc="…", minimum=1)
        token: Secret | None = setting(None, doc="…")

A field `hold_seconds` is the variable `MOLTBOT_HOLD_SECONDS`. An empty variable counts as absent (a manifest cannot leave one out by
condition). Every problem is told at once, and a variable that nobody reads is refused with the name that was probably meant: a mistyped
setting must not be a silent default.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from moltbot_trust.errors import SettingsError
from moltbot_trust.redaction import Secret, scrub

PREFIX = "MOLTBOT_"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
# What the kubelet puts into every container for each Service of its namespace (`enableServiceLinks`): a Service `moltbot-router` gives
# MOLTBOT_ROUTER_SERVICE_HOST, MOLTBOT_ROUTER_PORT=tcp://… and so on. They are nobody's settings.
_SERVICE_LINK = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)")

T = TypeVar("T")


def setting(
    default: Any = MISSING,
    *,
    doc: str,
    env: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
) -> Any:
    """A dataclass field that knows its documentation and bounds. Without a default the variable is required."""
    metadata = {"doc": doc, "env": env, "minimum": minimum, "maximum": maximum, "pattern": pattern}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One row of the reference. `default` is None when the variable is required."""

    variable: str
    kind: str
    default: str | None
    doc: str


def read_settings(cls: type[T], environ: Mapping[str, str]) -> T:
    """Read and check. Raises SettingsError, which has every problem and no value of a secret."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    fields = _fields(cls)
    for variable, (field, kind) in fields.items():
        raw = environ.get(variable, "")
        if raw.strip() == "":
            if field.default is MISSING and field.default_factory is MISSING:
                problems.append(f"{variable} is missing: {field.metadata.get('doc', 'it is required')}")
            continue
        try:
            values[field.name] = _convert(raw, kind, field.metadata)
        except ValueError as error:
            shown = "" if _is_secret(kind) else f" (it is {raw[:80]!r})"
            problems.append(f"{variable}: {error}{shown}")
    problems.extend(_unknown(environ, fields))
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def split_address(text: str) -> tuple[str, int]:
    """(host, port) of a checked `host:port`; IPv6 without its brackets, and an empty host stays empty."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def describe_settings(cls: type[Any]) -> list[SettingDoc]:
    """Rows for the reference, in the order of the fields."""
    rows = []
    for variable, (field, kind) in _fields(cls).items():
        default = None if field.default is MISSING else _show(field.default)
        rows.append(SettingDoc(variable, _kind_name(kind), default, str(field.metadata.get("doc", ""))))
    return rows


def effective_settings(settings: object) -> dict[str, object]:
    """What is logged once at start: every field, secrets hidden."""
    assert dataclasses.is_dataclass(settings)
    return {field.name: scrub(getattr(settings, field.name), name=field.name) for field in dataclasses.fields(settings)}


def _fields(cls: type[Any]) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(cls)
    return {(field.metadata.get("env") or PREFIX + field.name.upper()): (field, hints[field.name]) for field in dataclasses.fields(cls)}


def _unknown(environ: Mapping[str, str], known: Mapping[str, object]) -> list[str]:
    problems = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in known or _SERVICE_LINK.fullmatch(variable):
            continue
        if variable.endswith("_PORT") and environ[variable].startswith(("tcp://", "udp://", "sctp://")):
            continue
        near = difflib.get_close_matches(variable, known, n=1)
        problems.append(f"{variable} is not a setting of this program" + (f"; did you mean {near[0]}?" if near else ""))
    return problems


def _is_secret(kind: Any) -> bool:
    return kind is Secret or Secret in get_args(kind)


def _convert(raw: str, kind: Any, metadata: Mapping[str, Any]) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        inner = [arg for arg in get_args(kind) if arg is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"a setting has one type, or one and None: {kind}")
        return _convert(raw, inner[0], metadata)
    if kind is Secret:
        return Secret(raw)
    if kind is str:
        text = raw.strip()
        if metadata.get("pattern") and not re.fullmatch(metadata["pattern"], text):
            raise ValueError(f"must match {metadata['pattern']}")
        return text
    if kind is bool:
        word = raw.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return word in _TRUE
    if kind in (int, float):
        return _number(raw, kind, metadata)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return tuple(_convert(part, item, metadata) for part in raw.split(",") if part.strip())
    if isinstance(kind, type) and issubclass(kind, Enum):
        for member in kind:
            if str(member.value).lower() == raw.strip().lower():
                return member
        raise ValueError(f"must be one of {', '.join(str(member.value) for member in kind)}")
    raise TypeError(f"no setting can have the type {kind}")


def _number(raw: str, kind: type[int] | type[float], metadata: Mapping[str, Any]) -> int | float:
    try:
        value = kind(raw.strip())
    except ValueError as error:
        raise ValueError("must be a whole number" if kind is int else "must be a number") from error
    if not math.isfinite(value):
        raise ValueError("must be a number")
    minimum, maximum = metadata.get("minimum"), metadata.get("maximum")
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        bounds = (
            f"at least {minimum:g}" if maximum is None else f"at most {maximum:g}" if minimum is None else f"{minimum:g} to {maximum:g}"
        )
        raise ValueError(f"must be {bounds}")
    return value


def _kind_name(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        return _kind_name(next(arg for arg in get_args(kind) if arg is not type(None)))
    if get_origin(kind) is tuple:
        return f"list of {_kind_name(get_args(kind)[0])}, by commas"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " | ".join(str(member.value) for member in kind)
    return {str: "text", int: "whole number", float: "number", bool: "true | false", Secret: "secret"}.get(kind, str(kind))


def _show(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return "true" if default else "false"
        case Enum():
            return str(default.value)
        case tuple():
            return ",".join(_show(item) for item in default)
        case Secret():
            return ""
        case _:
            return str(default)
