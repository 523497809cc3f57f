"""No model: the operator found what is missing and wrote it down, and every question is answered with that."""

from __future__ import annotations

from collections.abc import AsyncIterator

from moltbot_gateway.models.base import ModelEvent, ModelRequest
from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason

DEFAULT_PROBLEM = (
    "No model is configured. Put ANTHROPIC_API_KEY (or the keys of an AI Gateway) into the Secret that the Moltbot names in secretsFrom; "
    "the assistant takes it from there by itself."
)


class UnsetModel:
    provider = "none"

    def __init__(self, problem: str = "") -> None:
        self.problem = problem or DEFAULT_PROBLEM

    async def warm(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        nothing: tuple[ModelEvent, ...] = ()  # a generator that fails before its first value
        for event in nothing:
            yield event
        raise ModelFailure(ErrorKind.UNKNOWN, self.problem, reason=Reason.NOT_CONFIGURED)

    def thinks(self, model: str) -> bool:
        return False

    async def close(self) -> None:
        return None
