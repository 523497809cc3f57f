"""`make live`: a chat, a tool call, a picture and a cache read against the real Messages API, through our own adapter, with what was seen.

    ANTHROPIC_API_KEY=… make live          (ANTHROPIC_BASE_URL and LIVE_MODEL may name others)

It costs a few cents at most and keeps nothing. Without a key it says so and exits with 2; with what was not as it should be, with 1.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import sys
import time
import zlib
from dataclasses import replace

from moltbot_gateway.models.base import (
    TOOL_USE,
    Completed,
    Media,
    ModelRequest,
    Retrying,
    Text,
    TextDelta,
    ToolResult,
    ToolSchema,
    ToolUse,
    Turn,
    said,
)
from moltbot_gateway.models.claude import ClaudeModel
from moltbot_gateway.models.connection import Connection
from moltbot_gateway.models.facts import cost_micros
from moltbot_gateway.models.failure import ModelFailure
from moltbot_protocol.models import DEFAULT_MODEL
from moltbot_trust.redaction import Secret

# Over the least that any model keeps (4,096 tokens at most).
PROMPT = "You are a test of a personal assistant. Answer in one short sentence.\n" + "\n".join(
    f"Rule {number}: be kind, brief, and exact; say what you do not know." for number in range(400)
)
WEATHER = ToolSchema(
    "weather",
    "Tells the weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def red_square() -> str:
    """A PNG of 64 by 64 red points, base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xff\0\0" * 64 for _ in range(64))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")).decode()


async def ask(model: ClaudeModel, request: ModelRequest) -> tuple[str, Completed]:
    text, end, first, began = "", Completed(), 0.0, time.monotonic()
    async for event in model.stream(request):
        match event:
            case TextDelta():
                first = first or time.monotonic() - began
                text += event.text
            case Retrying():
                print(f"    {event.message}")
            case Completed():
                end = event
            case _:
                pass
    usage = end.usage
    cost = cost_micros(end.model, usage)
    price = "price unknown" if cost is None else f"${cost / 1_000_000:.5f}"
    print(
        f"    {end.model}, {end.stop_reason}, first text after {first:.2f} s, whole after {time.monotonic() - began:.2f} s; tokens in "
        f"{usage.input}, out {usage.output}, cache read {usage.cache_read}, written {usage.cache_write}; {price}"
    )
    if text:
        print(f"    said: {text.strip()[:300]}")
    return text, end


async def run(model: ClaudeModel, name: str) -> list[str]:
    """What was not as it should be."""
    wrong = []

    def expect(good: bool, words: str) -> None:
        print(f"    {'ok  ' if good else 'FAIL'} {words}")
        if not good:
            wrong.append(words)

    print("chat")
    chat = ModelRequest(name, (PROMPT,), [said("user", "Say the word pineapple.")], tools=(WEATHER,))
    text, end = await ask(model, chat)
    expect("pineapple" in text.lower(), "it answered")
    expect(end.usage.cache_write + end.usage.cache_read > 0, "the prompt is kept")

    print("cache read")
    again = replace(chat, turns=[*chat.turns, Turn("assistant", end.blocks), said("user", "And now the word banana.")])
    text, end = await ask(model, again)
    expect("banana" in text.lower(), "it answered")
    expect(end.usage.cache_read > 0, "the kept prompt was read")

    print("tool call")
    question = replace(chat, turns=[said("user", "What is the weather in Paris and in Oslo? Use the tool.")], thinking="low")
    _, end = await ask(model, question)
    calls = [block for block in end.blocks if isinstance(block, ToolUse)]
    print(f"    calls: {', '.join(f'{call.name} {dict(call.input)}' for call in calls) or 'none'}")
    expect(end.stop_reason == TOOL_USE and bool(calls), "it called the tool")
    if calls:
        results = tuple(ToolResult(call.id, (Text("17 degrees and raining frogs"),)) for call in calls)
        text, end = await ask(model, replace(question, turns=[*question.turns, Turn("assistant", end.blocks), Turn("user", results)]))
        expect("frog" in text.lower() or end.stop_reason == TOOL_USE, "it used the result")

    print("picture")
    shown = Turn("user", (Media("image/png", red_square(), "square.png"), Text("What colour is this?")))
    text, _ = await ask(model, replace(chat, turns=[shown]))
    expect("red" in text.lower(), "it saw the picture")
    return wrong


async def main() -> int:
    key = os.environ.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        print("make live asks the real Messages API and needs a key: ANTHROPIC_API_KEY=… make live. Nothing was run.", file=sys.stderr)
        return 2
    model = ClaudeModel(Connection(os.environ.get("ANTHROPIC_BASE_URL", ""), Secret(key)))
    try:
        wrong = await run(model, os.environ.get("LIVE_MODEL", "") or DEFAULT_MODEL)
    except ModelFailure as failure:
        print(f"    FAIL {failure.message}")
        return 1
    finally:
        await model.close()
    print("all as it should be" if not wrong else f"{len(wrong)} things are not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
