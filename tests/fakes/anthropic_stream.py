"""Server-sent events of one answer of the Messages API, in the platform's order; a plan may break off anywhere."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.anthropic_blocks import Given
from tests.fakes.anthropic_cache import Counted
from tests.fakes.anthropic_rules import generation, thinks
from tests.fakes.anthropic_script import Plan, sse


@dataclass
class Writing:
    """One answer on its way."""

    body: Mapping[str, Any]
    plan: Plan
    counted: Counted
    given: Given
    number: int
    words: int = 0
    blocks: list[dict[str, Any]] = field(default_factory=list)


async def events_of(writing: Writing, *, hold: float, word_pause: float) -> AsyncIterator[str]:
    """`cut` stands for a connection that is gone. `hold`: seconds of a stall."""
    body, plan, counted = writing.body, writing.plan, writing.counted
    usage = {"input_tokens": counted.input, "output_tokens": 1}
    usage |= {"cache_creation_input_tokens": counted.written, "cache_read_input_tokens": counted.read}
    message = {"id": f"msg_{writing.number:08d}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    yield sse("message_start", {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None, "usage": usage}})
    if plan.before_text is not None:
        yield plan.before_text
        if plan.stops:
            return
    if thinks(body):
        for number, item in enumerate(_thought(writing)):
            if plan.hold_in == "thought" and number == 2:
                await asyncio.sleep(hold)
            yield item
    yield sse("ping", {"type": "ping"})
    for text in filter(None, (plan.said, "" if plan.calls else plan.text)):
        async for item in _text(writing, text, word_pause):
            yield item
        if plan.break_after is not None:
            async for item in _break(plan, hold):
                yield item
            return
    for number, call in enumerate(plan.calls):
        written = call.input if isinstance(call.input, str) else json.dumps(call.input)
        cut = plan.cut_call and number == len(plan.calls) - 1
        for position, item in enumerate(_call(writing, call.name, written, cut=cut)):
            if plan.hold_in == "call" and position == 3:
                await asyncio.sleep(hold)
            yield item
    if plan.reason == "pause_turn":
        writing.given.pause(writing.blocks)
    delta: dict[str, object] = {"stop_reason": plan.reason, "stop_sequence": "STOP" if plan.reason == "stop_sequence" else None}
    if plan.stop_details:
        delta["stop_details"] = plan.stop_details
    yield sse("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": max(1, writing.words)}})
    yield sse("message_stop", {"type": "message_stop"})


def _start(writing: Writing, block: dict[str, Any]) -> str:
    index = len(writing.blocks)
    writing.blocks.append(block)
    return sse("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def _delta(writing: Writing, delta: Mapping[str, object]) -> str:
    index = len(writing.blocks) - 1
    return sse("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _stop(writing: Writing, whole: Mapping[str, Any]) -> str:
    writing.blocks[-1] = dict(whole)
    return sse("content_block_stop", {"type": "content_block_stop", "index": len(writing.blocks) - 1})


def _thought(writing: Writing) -> list[str]:
    """Newer models tell what they think only when they are asked to; the signature comes anyway."""
    body, plan = writing.body, writing.plan
    shown = body.get("thinking", {}).get("display", "omitted" if generation(body["model"]) >= (4, 7) else "summarized") == "summarized"
    text = plan.thought if shown and not plan.redacted else ""
    signature = writing.given.tell(text, body, binds=generation(body["model"]) >= (5, 1))
    writing.words += len(plan.thought.split())
    if plan.redacted:
        block = {"type": "redacted_thinking", "data": signature}
        return [_start(writing, block), _stop(writing, block)]
    events = [_start(writing, {"type": "thinking", "thinking": "", "signature": ""})]
    if text:
        half = len(text) // 2
        events += [_delta(writing, {"type": "thinking_delta", "thinking": part}) for part in (text[:half], text[half:]) if part]
    events.append(_delta(writing, {"type": "signature_delta", "signature": signature}))
    return [*events, _stop(writing, {"type": "thinking", "thinking": text, "signature": signature})]


async def _text(writing: Writing, text: str, word_pause: float) -> AsyncIterator[str]:
    yield _start(writing, {"type": "text", "text": ""})
    for number, word in enumerate(re.findall(r"\s*\S+|\s+$", text)):
        if word_pause:
            await asyncio.sleep(word_pause)
        yield _delta(writing, {"type": "text_delta", "text": word})
        writing.words += 1
        if writing.plan.break_after is not None and number + 1 >= writing.plan.break_after:
            return
    yield _stop(writing, {"type": "text", "text": text})


def _call(writing: Writing, name: str, written: str, *, cut: bool) -> list[str]:
    """The input comes in pieces that are no JSON by themselves."""
    block = {"type": "tool_use", "id": f"toolu_{writing.number:04d}{len(writing.blocks):02d}", "name": name, "input": {}}
    events = [_start(writing, block), _delta(writing, {"type": "input_json_delta", "partial_json": ""})]
    pieces = [written[at : at + 5] for at in range(0, len(written), 5)]
    if cut:
        pieces = pieces[: max(1, len(pieces) // 2)]
    events += [_delta(writing, {"type": "input_json_delta", "partial_json": piece}) for piece in pieces]
    writing.words += len(pieces)
    return [*events, _stop(writing, block)]


async def _break(plan: Plan, hold: float) -> AsyncIterator[str]:
    match plan.break_how:
        case "stall":
            await asyncio.sleep(hold)
        case "pings":
            deadline = time.monotonic() + hold
            while time.monotonic() < deadline:
                yield sse("ping", {"type": "ping"})
                await asyncio.sleep(0.02)
        case "cut":
            yield "cut"
        case "end":
            return
        case text:
            yield text
