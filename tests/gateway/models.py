"""A model that says what a test tells it to, when the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from moltbot_gateway.models.base import Completed, ModelEvent, ModelRequest, TextDelta, Usage
from moltbot_gateway.models.failure import ModelFailure


class ScriptedModel:
    """Each request is kept in `requests`; its answer is whatever is put into `script`: texts, a failure, or an end (`None`)."""

    provider = "scripted"

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.script: asyncio.Queue[str | ModelFailure | Exception | None] = asyncio.Queue()
        self.asked = asyncio.Event()
        self.closed_streams = 0

    def answer(self, *texts: str) -> None:
        """A whole answer."""
        for text in texts:
            self.script.put_nowait(text)
        self.script.put_nowait(None)

    async def warm(self) -> None:
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        self.asked.set()
        try:
            while (item := await self.script.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield TextDelta(item)
            yield Completed("stop", "scripted-1", Usage(10, 5))
        finally:
            self.closed_streams += 1
            self.asked.clear()

    def thinks(self, model: str) -> bool:
        return model.startswith("thinker")

    async def close(self) -> None:
        return None
