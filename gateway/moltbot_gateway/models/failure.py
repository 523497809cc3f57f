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
    FALLBACK = "ModelFallback"
    LIMIT_REACHED = "ModelLimitReached"


# What is the provider's doing, and another model may not have: fallbacks are asked. A key that is refused or may not is a mistake that a
# fallback would only hide; a refusal, a wrong request and a full window would be the same anywhere.
_PROVIDERS_DOING = frozenset(
    {
        Reason.BILLING,
        Reason.UNKNOWN_MODEL,
        Reason.RATE_LIMITED,
        Reason.OVERLOADED,
        Reason.PROVIDER_FAILED,
        Reason.UNREACHABLE,
        Reason.TIMED_OUT,
        Reason.BAD_ANSWER,
    }
)


class ModelFailure(Exception):
    """An answer did not come, or not whole. `again`: the same request may succeed soon (used before anything was told). `wait`: seconds
    that the provider asked to be left alone for, `None` where it did not say. `usage`: what the provider counted all the same."""

    def __init__(
        self, kind: ErrorKind, message: str, *, reason: Reason | None = None, again: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.reason, self.again, self.wait = kind, message, reason, again, wait
        self.usage = Usage()

    @property
    def of_provider(self) -> bool:
        """Whether another model may be asked instead."""
        return self.reason in _PROVIDERS_DOING
