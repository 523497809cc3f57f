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
    """Reasons of the condition ModelReady."""

    ANSWERING = "Answering"
    DEMO = "DemoModel"
    NOT_CONFIGURED = "NotConfigured"
    KEY_REFUSED = "KeyRefused"
    FORBIDDEN = "Forbidden"
    BILLING = "BillingProblem"
    UNKNOWN_MODEL = "ModelNotFound"
    RATE_LIMITED = "RateLimited"
    OVERLOADED = "Overloaded"
    PROVIDER_FAILED = "ProviderFailed"
    UNREACHABLE = "Unreachable"
    TIMED_OUT = "TimedOut"
    BAD_ANSWER = "BadAnswer"


class ModelFailure(Exception):
    """An answer did not come, or not whole. `again`: the same request may succeed at once (used before any text arrived). `usage`: what
    the provider counted all the same."""

    def __init__(self, kind: ErrorKind, message: str, *, reason: Reason | None = None, again: bool = False) -> None:
        super().__init__(message)
        self.kind, self.message, self.reason, self.again = kind, message, reason, again
        self.usage = Usage()
