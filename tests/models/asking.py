"""Asking an adapter and keeping what it tells; conversations to ask with; small real pictures and documents."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from moltbot_gateway.models.base import (
    Block,
    Completed,
    Media,
    Model,
    ModelEvent,
    ModelRequest,
    Retrying,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolResult,
    ToolSchema,
    ToolUse,
    ToolUseStarted,
    Turn,
    said,
)
from moltbot_gateway.models.failure import ModelFailure

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 64).decode()
PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj << /Type /Page >> endobj\n%%EOF").decode()
READ = ToolSchema("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]})
LIST = ToolSchema("list", "Lists files.", {"type": "object", "properties": {}})
TOOLS = (READ, LIST)


@dataclass
class Told:
    """Everything that came of one request."""

    events: list[ModelEvent] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def thought(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ThinkingDelta))

    @property
    def started(self) -> list[str]:
        return [event.name for event in self.events if isinstance(event, ToolUseStarted)]

    @property
    def retries(self) -> list[Retrying]:
        return [event for event in self.events if isinstance(event, Retrying)]

    @property
    def end(self) -> Completed:
        assert isinstance(self.events[-1], Completed), self.events
        return self.events[-1]

    @property
    def calls(self) -> list[ToolUse]:
        return [block for block in self.end.blocks if isinstance(block, ToolUse)]


async def ask(model: Model, request: ModelRequest) -> Told:
    return Told([event async for event in model.stream(request)])


async def fail(model: Model, request: ModelRequest) -> tuple[Told, ModelFailure]:
    """What was told until it failed, and how."""
    told = Told()
    with pytest.raises(ModelFailure) as caught:
        async for event in model.stream(request):
            told.events.append(event)
    return told, caught.value


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def request(*turns: str | Turn, model: str, system: Sequence[str] = ("You are ada.",), **more: Any) -> ModelRequest:
    """Texts are the person's and the assistant's in turn, the last one the person's."""
    made: list[Turn] = []
    for distance, turn in enumerate(reversed(turns)):
        made.insert(0, said("assistant" if distance % 2 else "user", turn) if isinstance(turn, str) else turn)
    return replace(ModelRequest(model, tuple(system), made), **more)


def answered(asked: ModelRequest, end: Completed, results: Mapping[str, str | tuple[Text | Media, ...]]) -> ModelRequest:
    """The next step of the loop: what the model did, and the results by name of tool."""
    calls = [block for block in end.blocks if isinstance(block, ToolUse)]
    blocks: list[Block] = []
    for call in calls:
        result = results[call.name]
        blocks.append(ToolResult(call.id, (Text(result),) if isinstance(result, str) else result))
    return replace(asked, turns=[*asked.turns, Turn("assistant", end.blocks), Turn("user", tuple(blocks))])


def went_on(asked: ModelRequest, told: Told, text: str) -> ModelRequest:
    """The next turn of the person."""
    blocks = told.end.blocks or (Text(told.text),)
    return replace(asked, turns=[*asked.turns, Turn("assistant", blocks), said("user", text)])
