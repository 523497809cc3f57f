"""A model that says what a test tells it to, when the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from moltbot_gateway.models.base import Block, Completed, ModelEvent, ModelRequest, Text, TextDelta, ToolUse, Turn, Usage
from moltbot_gateway.models.failure import ModelFailure


class ScriptedModel:
    """Each request is kept in `requests`; its answer is whatever is put into `script`: texts, a failure, the end of a step with calls
    (a list of `ToolUse`), or an end (`None`)."""

    provider = "scripted"

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.script: asyncio.Queue[str | list[ToolUse] | ModelFailure | Exception | None] = asyncio.Queue()
        self.asked = asyncio.Event()
        self.closed_streams = 0

    def answer(self, *texts: str) -> None:
        """A whole answer."""
        for text in texts:
            self.script.put_nowait(text)
        self.script.put_nowait(None)

    def call(self, *uses: ToolUse, text: str = "") -> None:
        """A step that calls tools."""
        if text:
            self.script.put_nowait(text)
        self.script.put_nowait(list(uses))

    async def warm(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        self.asked.set()
        said = ""
        try:
            while (item := await self.script.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, list):
                    blocks: tuple[Block, ...] = (*((Text(said),) if said else ()), *item)
                    yield Completed("tool_use", "scripted-1", Usage(10, 5), blocks)
                    return
                said += item
                yield TextDelta(item)
            yield Completed("stop", "scripted-1", Usage(10, 5))
        finally:
            self.closed_streams += 1
            self.asked.clear()

    def thinks(self, model: str) -> bool:
        return model.startswith("thinker")

    async def close(self) -> None:
        return None


def words(turn: Turn) -> str:
    """What a turn says, without the time that stands in front of a person's words."""
    texts = [block.text for block in turn.blocks if isinstance(block, Text)]
    return "\n\n".join(texts[1:] if turn.role == "user" and len(texts) > 1 and texts[0].startswith("[") else texts)
