"""Everything that can go wrong with an answer, in words for the person who asked.

`kind` is the protocol's closed set (`chat` events, version 4). `reason` is the condition ModelReady's, `None` where the model itself is
fine (a refusal, a conversation that is too long).
"""

from __future__ import annotations

from enum import StrEnum

from moltbot_gateway.models.base import Usage


class ErrorKind(StrEnum):
    """`errorKind` of a `chat` event."""

    REFUSAL = "refusal"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    CONTEXT_LENGTH = "context_length"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Reasons of the condition ModelReady: words of the catalogue (docs/reference/conditions.md), for the operator drops any other."""

    ANSWERING = "Answered"
    DEMO = "DemoModel"
    NOT_CONFIGURED = "NoModel"
    KEY_REFUSED = "ModelAuthenticationFailed"
    FORBIDDEN = "ModelForbidden"
    BILLING = "ModelBilling"
    UNKNOWN_MODEL = "ModelNotFound"
    RATE_LIMITED = "ModelRateLimited"
    OVERLOADED = "ModelOverloaded"
    PROVIDER_FAILED = "ModelError"
    UNREACHABLE = "ModelUnreachable"
    TIMED_OUT = "ModelTimedOut"
    BAD_ANSWER = "ModelBadAnswer"
    LIMIT_REACHED = "ModelLimitReached"


class ModelFailure(Exception):
    """An answer did not come, or not whole. `again`: the same request may succeed at once (used before any text arrived). `usage`: what
    the provider counted all the same."""

    def __init__(self, kind: ErrorKind, message: str, *, reason: Reason | None = None, again: bool = False) -> None:
        super().__init__(message)
        self.kind, self.message, self.reason, self.again = kind, message, reason, again
        self.usage = Usage()
