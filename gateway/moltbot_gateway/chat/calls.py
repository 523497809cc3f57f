"""Carrying out what the model calls: known? well-formed? allowed? — then the tool, under its time limit. Every call gets an answer, also
one that was refused, failed, or was stopped.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moltbot_gateway.chat.attachments import too_large
from moltbot_gateway.models.base import ToolUse
from moltbot_gateway.store.media import StoredMedia, media_of
from moltbot_gateway.store.records import NewMessage
from moltbot_gateway.tools.base import MAX_MODEL_TEXT, MAX_PERSON_TEXT, Tool, ToolCall, ToolOutcome, failed
from moltbot_gateway.tools.signatures import media_type_of
from moltbot_gateway.tools.toolbox import nearest
from moltbot_gateway.tools.validate import check_input
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.calls")

STOPPED = "The person stopped this call; it may have happened in part."
# Bytes of JSON in a card's details; a tool that has more has put it into the text.
MAX_DETAILS = 65_536


class Gate(Protocol):
    """Who is asked before a call (`tools.approvals`)."""

    async def refuse(self, tool: Tool, call: ToolCall) -> ToolOutcome | None:
        """`None`: go on. Waits for a person where one has to decide; safe to cancel."""


class Open:
    """Nobody is asked."""

    async def refuse(self, tool: Tool, call: ToolCall) -> ToolOutcome | None:
        return None


@dataclass(frozen=True)
class Done:
    """One call and its answer; `seconds` it took."""

    use: ToolUse
    outcome: ToolOutcome
    seconds: float


class Calls:
    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._gate, self._clock = gate, clock

    async def carry_out(self, tools: Mapping[str, Tool], use: ToolUse, call: ToolCall) -> Done:
        """Raises nothing but cancellation."""
        began = self._clock.monotonic()
        outcome = await self._outcome(tools, use, call)
        return Done(use, outcome, self._clock.monotonic() - began)

    async def _outcome(self, tools: Mapping[str, Tool], use: ToolUse, call: ToolCall) -> ToolOutcome:
        tool = tools.get(use.name)
        if tool is None:
            return failed(nearest(use.name, tools.values()), f"There is no tool {use.name[:64]}.")
        if use.malformed:
            return failed("The input was no JSON object. Send the call again with a complete one.", "The model's call was cut off.")
        problem = check_input(tool.schema, dict(use.input))
        if problem is not None:
            return failed(f"The input does not fit: {problem}.", f"The model's call did not fit: {problem}.")
        refused = await self._gate.refuse(tool, call)
        if refused is not None:
            return refused
        limit = asyncio.timeout(tool.timeout)
        try:
            async with limit:
                return await tool.run(call)
        except Exception as error:  # a tool's boundary: logged as ours, and the conversation goes on
            if isinstance(error, TimeoutError) and limit.expired():
                return failed(f"{tool.name} took longer than {tool.timeout:g} seconds and was stopped.", timedOut=True)
            log.exception("tool failed", tool=tool.name)
            return failed(f"{tool.name} failed inside; the assistant's log says why. Try another way.", f"{tool.label} failed inside.")


def side_by_side(uses: Sequence[ToolUse], tools: Mapping[str, Tool]) -> list[list[ToolUse]]:
    """Calls in the model's order, in groups that may run at once: neighbours that change nothing."""
    groups: list[list[ToolUse]] = []
    before = False
    for use in uses:
        tool = tools.get(use.name)
        reads = tool is None or tool.reads_only
        if groups and reads and before:
            groups[-1].append(use)
        else:
            groups.append([use])
        before = reads
    return groups


def result_message(done: Done, tool: Tool | None) -> tuple[NewMessage, list[StoredMedia]]:
    """What stands in the conversation, and the pictures that came with it. `tool` `None`: there is none of that name."""
    outcome = done.outcome
    media, left_out = _media(outcome)
    text = "\n".join([cut(outcome.model, MAX_MODEL_TEXT), *left_out])
    details = dict(outcome.details)
    if len(json.dumps(details, ensure_ascii=False, default=str)) > MAX_DETAILS:
        details = {"left out": "too large"}
    detail: dict[str, object] = {
        "toolCallId": done.use.id,
        "toolName": done.use.name,
        "label": tool.label if tool else done.use.name,
        "describe": describe(tool, done.use.input),
        "isError": outcome.error,
        "person": cut(outcome.person, MAX_PERSON_TEXT),
        "details": details,
        "durationMs": round(done.seconds * 1000),
    }
    content: list[dict[str, object]] = [{"type": "text", "text": text}, *(one.to_block() for one in media)]
    return NewMessage("toolResult", text, detail, content), media


def _media(outcome: ToolOutcome) -> tuple[list[StoredMedia], list[str]]:
    """What the model can be given, and a line for each that it cannot: a picture that the provider refuses would be refused with every
    later message of the conversation."""
    media, left_out = [], []
    for one in outcome.media:
        try:
            data = base64.b64decode(one.data, validate=True)
        except ValueError:
            data = b""
        kind = media_type_of(data)
        problem = "is no picture that can be read" if kind is None else too_large(kind, len(data))
        if kind is not None and problem is None:
            media.append(media_of(kind, one.name, data))
        else:
            left_out.append(f"[{one.name or 'A file'} {problem}; it is left out]")
    return media, left_out


def cut(text: str, limit: int) -> str:
    """Beginning and end stay; what is left out is counted."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[… {len(text) - limit} characters left out …]\n{text[-tail:]}"


def describe(tool: Tool | None, arguments: Mapping[str, object]) -> str:
    """One line of what a call does."""
    words = ""
    if tool is not None and tool.describe is not None:
        words = tool.describe(arguments)
    elif len(arguments) == 1:
        words = str(next(iter(arguments.values())))
    elif arguments:
        words = json.dumps(dict(arguments), ensure_ascii=False)
    flat = " ".join(words.split())
    return flat if len(flat) <= 300 else flat[:299] + "…"
