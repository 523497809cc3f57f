"""Keeping secrets out of what people read: a wrapper whose text hides, and a scrubber that the logger runs over every line.

The wrapper is the rule (a secret is wrapped where it is read, and revealed where it is used); the scrubber is the net under it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

HIDDEN = "[hidden]"
MAX_DEPTH = 6

# Field names whose values are never shown.
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[^a-z])(?:token|secret|passw(?:or)?d|authorization|cookie|api_?key|private_?key|credentials?|seal|assertion|signature)s?$"
    r"|(?i:apikey|accesskey|secretkey|privatekey|authtoken|devicetoken)$"
)
# Names that end like a secret and are a count or a name.
_HARMLESS = frozenset({"tokens", "input_tokens", "output_tokens", "total_tokens"})
_SECRET_TEXT = (
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{8,}"),  # a JWT
    re.compile(r"\bsk-[A-Za-z0-9_-]{12,}"),  # keys of model providers
    re.compile(r"\b(?:xox[abpr]|xapp)-[A-Za-z0-9-]{8,}"),  # Slack
    re.compile(r"\b\d{8,12}:[A-Za-z0-9_-]{30,}"),  # Telegram
)
_SECRET_PAIR = re.compile(r"(?i)([?&#;\s\"']|^)((?:access_|auth_|device_)?token|key|secret|password|signature)(=|\"?:\s*\"?)[^\s&#;\"',}]+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")


class Secret:
    """A string that does not show itself. Compare with `matches`, use with `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself; call it where it is used and keep no copy."""
        return self._value

    def matches(self, other: str) -> bool:
        """Constant-time comparison."""
        return hmac.compare_digest(self._value.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})" if self._value else "Secret(empty)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


def is_secret_name(name: str) -> bool:
    """Whether a field of this name is never shown."""
    return name not in _HARMLESS and _SECRET_NAME.search(name) is not None


def scrub_text(text: str) -> str:
    """Hide what looks like a credential inside free text."""
    for pattern in _SECRET_TEXT:
        text = pattern.sub(HIDDEN, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {HIDDEN}", text)
    return _SECRET_PAIR.sub(lambda match: f"{match[1]}{match[2]}{match[3]}{HIDDEN}", text)


def scrub(value: object, *, name: str = "", depth: int = 0) -> object:
    """A copy fit for a log line: secrets hidden by wrapper, name and shape, nesting bounded."""
    if isinstance(value, Secret):
        return HIDDEN if value else ""
    if name and is_secret_name(name) and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, str):
        return scrub_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): scrub(item, name=str(key), depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth=depth + 1) for item in value]
    return scrub_text(str(value))
