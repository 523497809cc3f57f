"""What a step of a turn asks of a model and what comes back. Blocks are the pieces of a conversation, as the Messages API has them; an
adapter translates them into what its provider speaks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a model thought. `signature` and `redacted` are the provider's own words for it and go back unchanged; another provider's are
    left out by an adapter. `provider` tells whose they are."""

    text: str
    signature: str = ""
    redacted: str = ""
    provider: str = "anthropic"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call that the model makes. `input` is what it said, checked by nobody yet; `malformed` is its text where that was no JSON
    object."""

    id: str
    name: str
    input: Mapping[str, object]
    malformed: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a PDF. `data` is base64; `media_type` image/png, image/jpeg, image/gif, image/webp or application/pdf."""

    media_type: str
    data: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to one `ToolUse`."""

    tool_use_id: str
    content: tuple[Text | Media, ...]
    is_error: bool = False


Block = Text | Thinking | ToolUse | Media | ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of the conversation. Turns of one role may follow each other. `role`: user | assistant; tool results are the
    user's."""

    role: str
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """Its words alone."""
        return "\n\n".join(block.text for block in self.blocks if isinstance(block, Text))


def said(role: str, text: str) -> Turn:
    return Turn(role, (Text(text),))


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as the model sees it. `input_schema`: JSON Schema of an object."""

    name: str
    description: str
    input_schema: Mapping[str, object]


@dataclass(frozen=True)
class ModelRequest:
    """`system`: the stable part first and alone, so that the provider's prompt cache holds: the first text is kept there, what follows may
    change. `turns` ends with the person's words or with tool
    results. `thinking`: a level of `THINKING_LEVELS`, `None` for the model's own way. `max_tokens` `None`: the adapter's own limit.
    `cache`: whether the prefix is worth keeping at the provider (not for one-off questions)."""

    model: str
    system: tuple[str, ...]
    turns: Sequence[Turn]
    thinking: str | None = None
    tools: tuple[ToolSchema, ...] = ()
    max_tokens: int | None = None
    cache: bool = True


@dataclass(frozen=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True)
class ThinkingDelta:
    """More of what the model thinks, where it shows that."""

    text: str


@dataclass(frozen=True)
class ToolUseStarted:
    """The model begins to write a call; its input comes with the end."""

    id: str
    name: str


@dataclass(frozen=True)
class Retrying:
    """The provider is asked again, or the next model is (`model`): for the person who waits. `message` is a sentence."""

    message: str
    model: str


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

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )


# Why a step ended. A refusal, an empty answer or a full window is a ModelFailure.
STOP, TOOL_USE, MAX_TOKENS, PAUSED = "stop", "tool_use", "max_tokens", "pause_turn"


@dataclass(frozen=True)
class Completed:
    """The step is whole. `model` is the one that answered. `blocks`: all of it in order, the text that was told included; `()` means the
    text alone. `stop_reason`: TOOL_USE when calls are to be carried out, PAUSED when the same turn is to be asked on as it is, MAX_TOKENS
    when the answer was cut off: calls that it had begun are left out, for their input may be half of one.

    After tool results a model may have nothing to add: then this comes with STOP, no blocks and no text told. Whoever asked decides what
    that means. Without tool results at the request's end an empty answer is a ModelFailure."""

    stop_reason: str = STOP
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    blocks: tuple[Block, ...] = ()
    provider: str = ""


ModelEvent = TextDelta | ThinkingDelta | ToolUseStarted | Retrying | Completed

# What `thinkingLevel` may be where thinking is served; `off` is the model's own way without it.
THINKING_LEVELS = ("off", "minimal", "low", "medium", "high", "xhigh")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model by its name; a name that nobody knows gets careful guesses. `context_tokens` of its window; `output_tokens`:
    how long we let an answer get, thinking included. `images`, `documents`: whether it reads them. `price`: US dollars per million tokens
    (input, output, cache read, cache write), `None` unknown."""

    context_tokens: int = 200_000
    thinks: bool = False
    images: bool = True
    documents: bool = True
    price: tuple[float, float, float, float] | None = None
    output_tokens: int = 16_384


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
