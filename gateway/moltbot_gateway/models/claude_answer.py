"""Events of one stream of the Messages API, read with care: what speaks as the API does may speak it badly
(platform.claude.com/docs/en/build-with-claude/streaming, …/api/handling-stop-reasons).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from moltbot_gateway.models import provider_failures as failures
from moltbot_gateway.models.base import (
    MAX_TOKENS,
    PAUSED,
    STOP,
    TOOL_USE,
    Block,
    Completed,
    ModelEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    ToolUseStarted,
    Usage,
)
from moltbot_gateway.models.claude_body import PROVIDER
from moltbot_gateway.models.failure import ModelFailure
from moltbot_gateway.models.provider_failures import Place


def read_input(text: str) -> tuple[dict[str, object], str]:
    """The input of a call, and its text where that is no JSON object. No text at all is a call without input. `NaN` and `1e999` are no JSON
    either, whatever Python's reader says: kept in a conversation they would make it unreadable for every browser."""
    if not text.strip():
        return {}, ""
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return {}, text
    return (value, "") if isinstance(value, dict) else ({}, text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no number that JSON has")
    return number


@dataclass
class _Open:
    """A block that is being written."""

    type: str
    id: str = ""
    name: str = ""
    text: list[str] = field(default_factory=list)
    signature: str = ""

    def block(self) -> Block | None:
        text = "".join(self.text)
        match self.type:
            case "text":
                return Text(text) if text.strip() else None
            case "thinking":
                return Thinking(text, signature=self.signature, provider=PROVIDER)
            case "redacted_thinking":
                return Thinking("", redacted=self.signature, provider=PROVIDER)
            case "tool_use":
                value, malformed = read_input(text)
                return ToolUse(self.id, self.name, value, malformed)
            case _:
                return None


class ClaudeAnswer:
    """`after_results`: the request ended with tool results, after which an empty end is a legal one."""

    def __init__(self, place: Place, model: str, *, after_results: bool) -> None:
        self._place, self._model, self._after_results = place, model, after_results
        self._started = self._stopped = False
        self._stop_reason = self._explanation = ""
        self.usage = Usage()
        self._blocks: dict[int, _Open] = {}

    def take(self, event: Any) -> list[ModelEvent]:
        match getattr(event, "type", None):
            case "message_start":
                self._started = True
                self._model = str(event.message.model or self._model)
                self._count(event.message.usage)
            case "content_block_start":
                return self._begin(int(event.index), event.content_block)
            case "content_block_delta":
                return self._more(int(event.index), event.delta)
            case "message_delta":
                self._stop_reason = str(event.delta.stop_reason or "")
                self._explanation = str(getattr(event.delta.stop_details, "explanation", None) or "")
                self._count(event.usage)
            case "message_stop":
                self._stopped = True
            case _:
                pass  # the API may add events at any time (platform.claude.com/docs/en/api/versioning)
        return []

    def _begin(self, index: int, block: Any) -> list[ModelEvent]:
        opened = self._blocks[index] = _Open(str(block.type))
        match block.type:
            case "text" if block.text:
                opened.text.append(str(block.text))
                return [TextDelta(str(block.text))]
            case "thinking":
                opened.signature = str(block.signature or "")
                if block.thinking:
                    opened.text.append(str(block.thinking))
                    return [ThinkingDelta(str(block.thinking))]
            case "redacted_thinking":
                opened.signature = str(block.data)
            case "tool_use":
                opened.id, opened.name = str(block.id), str(block.name)
                if block.input:  # what speaks as the API does may bring it whole
                    opened.text.append(json.dumps(block.input))
                return [ToolUseStarted(opened.id, opened.name)]
            case _:
                pass
        return []

    def _more(self, index: int, delta: Any) -> list[ModelEvent]:
        block = self._blocks.get(index)
        if block is None:  # a block that nobody opened: taken for the text that it most likely is
            block = self._blocks[index] = _Open("text" if delta.type == "text_delta" else str(delta.type))
        match delta.type:
            case "text_delta" if delta.text:
                block.text.append(str(delta.text))
                return [TextDelta(str(delta.text))]
            case "thinking_delta" if delta.thinking:
                block.text.append(str(delta.thinking))
                return [ThinkingDelta(str(delta.thinking))]
            case "signature_delta":
                block.signature += str(delta.signature)
            case "input_json_delta":
                block.text.append(str(delta.partial_json))
            case _:
                pass
        return []

    def end(self) -> Completed:
        """Raises ModelFailure unless the answer is whole and good."""
        if not self._started:
            raise failures.malformed(self._place)
        try:
            if not self._stopped:
                raise failures.cut(self._place)
            return self._end()
        except ModelFailure as failure:
            failure.usage = self.usage
            raise

    def _end(self) -> Completed:
        blocks = tuple(made for _, block in sorted(self._blocks.items()) if (made := block.block()) is not None)
        calls = any(isinstance(block, ToolUse) for block in blocks)
        text = any(isinstance(block, Text) for block in blocks)
        match self._stop_reason:
            case "refusal":
                raise failures.refused(self._explanation)
            case "model_context_window_exceeded":
                raise failures.window_full()
            case "max_tokens":
                if not (text or calls):
                    raise failures.nothing_before_the_limit()
                return self._completed(MAX_TOKENS, tuple(block for block in blocks if not isinstance(block, ToolUse)) if text else ())
            case "pause_turn" if blocks:
                return self._completed(PAUSED, blocks)
            case "tool_use" if not calls:
                raise failures.malformed(self._place)
            case _ if calls:
                return self._completed(TOOL_USE, blocks)
            case _ if text:
                return self._completed(STOP, blocks)
            case _ if self._after_results:
                return self._completed(STOP, ())
            case _:
                raise failures.empty()

    def _completed(self, stop_reason: str, blocks: tuple[Block, ...]) -> Completed:
        return Completed(stop_reason, self._model, self.usage, blocks, PROVIDER)

    def _count(self, usage: Any) -> None:
        """Counts are cumulative; what a later event leaves out stays."""
        old = self.usage

        def number(name: str, before: int) -> int:
            value = getattr(usage, name, None)
            return value if isinstance(value, int) and value >= 0 else before

        self.usage = Usage(
            number("input_tokens", old.input),
            number("output_tokens", old.output),
            number("cache_read_input_tokens", old.cache_read),
            number("cache_creation_input_tokens", old.cache_write),
        )
