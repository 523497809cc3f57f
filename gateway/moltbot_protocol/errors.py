"""Error codes, close codes and the error shape of the wire.

ProtocolError
├── FrameError     a text that is not a frame, or a frame that is not allowed there
├── ParamsError    params that do not fit their method (or `connect`)
└── IdentityError  a device that does not prove to be what it says
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class ErrorCode(StrEnum):
    """`error.code` of a response. FORBIDDEN exists since version 4."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_PAIRED = "NOT_PAIRED"
    NOT_LINKED = "NOT_LINKED"
    AGENT_TIMEOUT = "AGENT_TIMEOUT"
    FORBIDDEN = "FORBIDDEN"


class CloseCode(IntEnum):
    """WebSocket close codes as the official servers and clients use them (RFC 6455 §7.4.1, and the private 4000s)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TICK_TIMEOUT = 4000
    CLIENT = 4008


# A close frame's payload is at most 125 bytes (RFC 6455 §5.5), two of which are the code.
MAX_CLOSE_REASON_BYTES = 123


def close_reason(text: str) -> bytes:
    """The reason as bytes, cut at 123 bytes and never inside a character."""
    raw = text.encode()
    if len(raw) <= MAX_CLOSE_REASON_BYTES:
        return raw
    return raw[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()


def forwardable_close_code(code: int | None) -> int:
    """A code that may be sent: 1005, 1006 and 1015 are never on the wire (RFC 6455 §7.4.1), and become 1011 or, for "no code", 1000."""
    if code is None or code == 1005:
        return CloseCode.NORMAL
    if code in (1004, 1006, 1015) or not (1000 <= code <= 1014 or 3000 <= code <= 4999):
        return CloseCode.INTERNAL
    return code


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """`error` of a response."""

    code: ErrorCode | str
    message: str
    details: object = None
    retryable: bool | None = None
    retry_after_ms: int | None = None

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"code": str(self.code), "message": self.message}
        if self.details is not None:
            wire["details"] = self.details
        if self.retryable is not None:
            wire["retryable"] = self.retryable
        if self.retry_after_ms is not None:
            wire["retryAfterMs"] = self.retry_after_ms
        return wire


@dataclass
class ProtocolError(Exception):
    """What the other side did wrong. `shape()` is what it is told; `close` the code when the connection cannot go on."""

    message: str
    code: ErrorCode = ErrorCode.INVALID_REQUEST
    details: object = None
    close: CloseCode | None = None
    request_id: str | None = field(default=None)

    def __str__(self) -> str:
        return self.message

    def shape(self) -> ErrorShape:
        return ErrorShape(self.code, self.message, self.details)


class FrameError(ProtocolError):
    """Not a frame."""


class ParamsError(ProtocolError):
    """Not the params of that method."""


class IdentityError(ProtocolError):
    """Not the device it claims to be."""


def unavailable(message: str, *, retry_after_ms: int | None = None, details: object = None) -> ErrorShape:
    """The retryable answer of something that is asleep, waking or going."""
    return ErrorShape(ErrorCode.UNAVAILABLE, message, details, retryable=True, retry_after_ms=retry_after_ms)


NOT_ACCEPTED = "notAccepted"


def not_accepted(quiesce_id: str) -> ErrorShape:
    """Rule 5b: a quiesced gateway did not take this frame, so whoever holds it may send it again."""
    return unavailable("going to sleep; send it again", details={NOT_ACCEPTED: quiesce_id})


def not_accepted_id(error: object) -> str | None:
    """The id of the quiesce that refused, from a response's `error` as it came over the wire; None when it is another error."""
    if not isinstance(error, dict) or error.get("code") != ErrorCode.UNAVAILABLE:
        return None
    details = error.get("details")
    value = details.get(NOT_ACCEPTED) if isinstance(details, dict) else None
    return value if isinstance(value, str) else None
