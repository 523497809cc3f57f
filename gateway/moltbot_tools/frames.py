"""One request, one answer: JSON lines (docs/reference/agent.md, Confinement). And the one exception whose words are for the model."""

from __future__ import annotations

import json
from dataclasses import dataclass

# Bytes of one line, both ways.
MAX_FRAME = 8 * 2**20


class ToolFault(Exception):
    """The request could not be carried out. `code` from a small set: outside, not-found, exists, not-a-file, binary, too-large, no-match,
    ambiguous, denied, invalid, io, timeout, cancelled, ended."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def to_json(self) -> dict[str, object]:
        return {"error": {"code": self.code, "message": self.message}}


@dataclass(frozen=True)
class Asked:
    """A request. `id` as the gateway chose it."""

    id: int
    op: str
    params: Params


class Params:
    """What came with a request, read strictly: the gateway checked it, but what comes over a pipe is checked where it is used."""

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise ToolFault("invalid", f"{name} must be text")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._values.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ToolFault("invalid", f"{name} must be a number")
        return value

    def count(self, name: str, default: int) -> int:
        return int(self.number(name, default))

    def flag(self, name: str) -> bool:
        return self._values.get(name) is True

    def texts(self, name: str) -> dict[str, str]:
        value = self._values.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ToolFault("invalid", f"{name} must be an object of texts")
        return value


def parse(line: bytes) -> Asked:
    """Raises ValueError for what is no request."""
    frame = json.loads(line)
    if not isinstance(frame, dict):
        raise ValueError("a frame is an object")  # noqa: TRY004 - the line is wrong, not its type
    number, op, params = frame.get("id"), frame.get("op"), frame.get("params", {})
    if not isinstance(number, int) or not isinstance(op, str) or not isinstance(params, dict):
        raise ValueError("a frame has id, op and params")  # noqa: TRY004
    return Asked(number, op, Params(params))


def line(frame: dict[str, object]) -> bytes:
    """As bytes. Half characters, which a file name or an output can hold, become question marks."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
