"""What a turn asks of a model and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Said:
    """One earlier turn of the conversation. Turns of one role may follow each other."""

    role: str
    text: str


@dataclass(frozen=True)
class ModelRequest:
    """`messages` ends with what the person said now. `thinking`: a level of `THINKING_LEVELS`, `None` for the model's own way."""

    model: str
    system: str
    messages: Sequence[Said]
    thinking: str | None = None


@dataclass(frozen=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True)
class Usage:
    """Tokens, as the provider counted them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True)
class Completed:
    """The answer is whole. `model` is the one that answered."""

    stop_reason: str = "stop"
    model: str = ""
    usage: Usage = field(default_factory=Usage)


ModelEvent = TextDelta | Completed

# What `thinkingLevel` may be where thinking is served; `off` is the model's own way without it.
THINKING_LEVELS = ("off", "low", "medium", "high", "xhigh")


class Model(Protocol):
    """An adapter. One object serves all turns of a process."""

    provider: str

    async def warm(self) -> None:
        """Load what the first turn would wait for. Safe to call often and to cancel."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Text as it comes, then `Completed`, once. Raises ModelFailure. Cancelling ends the request to the provider."""

    def thinks(self, model: str) -> bool:
        """Whether `thinking` means anything to that model."""

    async def close(self) -> None:
        """Let go of connections."""
