"""Chunks of one stream of chat completions, read with care: many servers speak this, few exactly
(platform.openai.com/docs/api-reference/chat-streaming).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moltbot_gateway.models import provider_failures as failures
from moltbot_gateway.models.base import (
    MAX_TOKENS,
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
from moltbot_gateway.models.claude_answer import read_input
from moltbot_gateway.models.failure import ModelFailure
from moltbot_gateway.models.openai_body import PROVIDER
from moltbot_gateway.models.provider_failures import ApiError, Place

# Bytes; an event is a few words. What is longer is no stream of events.
_MAX_LINE = 8 * 2**20


async def read_data(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """`data` of each server-sent event (html.spec.whatwg.org/multipage/server-sent-events.html), one line each as this API writes them.
    Raises ValueError for what is none."""
    buffer = b""
    async for chunk in chunks:
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        if len(buffer) > _MAX_LINE:
            raise ValueError("a line without an end")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode()
    if buffer.startswith(b"data:"):
        yield buffer[5:].strip().decode()


@dataclass
class _Call:
    id: str
    said_id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    told: bool = False


class OpenAIAnswer:
    """`after_results`: the request ended with tool results, after which an empty end is a legal one. `taken`: ids of earlier calls; some
    servers begin at `call_0` each time, and an id belongs to one call of a conversation."""

    def __init__(self, place: Place, model: str, *, after_results: bool, taken: Iterable[str] = ()) -> None:
        self._place, self._model, self._after_results, self._taken = place, model, after_results, set(taken)
        self._finish = self._refusal = ""
        self._started = False
        self._usage = Usage()
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, _Call] = {}

    def take(self, data: str) -> list[ModelEvent]:
        """Raises ValueError or TypeError for what is no chunk, ModelFailure for an error in the stream."""
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            raise TypeError("no chunk")
        if chunk.get("error"):
            raise failures.describe(read_error(200, chunk), self._place)
        self._started = True
        if isinstance(chunk.get("model"), str) and chunk["model"]:
            self._model = chunk["model"]
        if isinstance(chunk.get("usage"), dict):
            self._count(chunk["usage"])
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise TypeError("a chunk without choices")
        return [event for choice in choices[:1] if isinstance(choice, dict) for event in self._choice(choice)]

    def _choice(self, choice: Mapping[str, Any]) -> list[ModelEvent]:
        delta = choice.get("delta") or {}
        events: list[ModelEvent] = []
        # Reasoning where a server shows it; two names are in use.
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self._thoughts.append(thought)
            events.append(ThinkingDelta(thought))
        if isinstance(delta.get("content"), str) and delta["content"]:
            self._text.append(delta["content"])
            events.append(TextDelta(delta["content"]))
        if isinstance(delta.get("refusal"), str):
            self._refusal += delta["refusal"]
        for number, call in enumerate(delta.get("tool_calls") or ()):
            events += self._call(call, number)
        if choice.get("finish_reason"):
            self._finish = str(choice["finish_reason"])
        return events

    def _call(self, part: Mapping[str, Any], number: int) -> list[ModelEvent]:
        """A piece of a call; the first one of each has its id and its name."""
        index = part["index"] if isinstance(part.get("index"), int) else number
        function = part.get("function") or {}
        call = self._calls.get(index)
        if call is not None and part.get("id") and part["id"] != call.said_id and function.get("name"):
            index = len(self._calls)  # a server that does not count its calls
            call = None
        if call is None:
            call = self._calls[index] = self._begin(str(part.get("id") or ""))
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments")
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))
        if call.name and not call.told:
            call.told = True
            return [ToolUseStarted(call.id, call.name)]
        return []

    def _begin(self, said_id: str) -> _Call:
        name = said_id if said_id and said_id not in self._taken else f"call_{secrets.token_hex(12)}"
        self._taken.add(name)
        return _Call(name, said_id)

    def end(self) -> Completed:
        """Raises ModelFailure unless the answer is whole and good."""
        if not self._started:
            raise failures.malformed(self._place)
        try:
            if not self._finish:
                raise failures.cut(self._place)
            return self._end()
        except ModelFailure as failure:
            failure.usage = self._usage
            raise

    def _end(self) -> Completed:
        text = "".join(self._text)
        said: tuple[Block, ...] = (Text(text),) if text.strip() else ()
        if self._thoughts:
            said = (Thinking("".join(self._thoughts), provider=PROVIDER), *said)
        calls = tuple(self._tool_use(call) for _, call in sorted(self._calls.items()))
        if self._finish == "content_filter" or self._refusal:
            raise failures.refused(self._refusal)
        if self._finish == "length":
            if not (text.strip() or calls):
                raise failures.nothing_before_the_limit()
            return self._completed(MAX_TOKENS, said if text.strip() else ())
        if calls:
            return self._completed(TOOL_USE, (*said, *calls))
        if self._finish in ("tool_calls", "function_call"):
            raise failures.malformed(self._place)
        if text.strip():
            return self._completed(STOP, said)
        if self._after_results:
            return self._completed(STOP, ())
        raise failures.empty()

    @staticmethod
    def _tool_use(call: _Call) -> ToolUse:
        value, malformed = read_input("".join(call.arguments))
        return ToolUse(call.id, call.name, value, malformed)

    def _completed(self, stop_reason: str, blocks: tuple[Block, ...]) -> Completed:
        return Completed(stop_reason, self._model, self._usage, blocks, PROVIDER)

    def _count(self, usage: Mapping[str, Any]) -> None:
        """`prompt_tokens` has those of the cache in it."""
        details = usage.get("prompt_tokens_details") or {}
        read, written = _number(details, "cached_tokens"), _number(details, "cache_write_tokens")
        prompt = _number(usage, "prompt_tokens")
        self._usage = Usage(max(0, prompt - read - written), _number(usage, "completion_tokens"), read, written)


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def read_error(status: int, body: object, wait: float | None = None) -> ApiError:
    """An error however it is written: OpenAI's object, a text, a list around it (Google), or Cloudflare's `errors`."""
    if isinstance(body, list) and body:
        body = body[0]
    error: object = body
    if isinstance(body, dict):
        error = body.get("error") or body.get("errors") or body.get("message") or body.get("detail") or ""
    if isinstance(error, list):
        error = error[0] if error else ""
    if not isinstance(error, dict):
        return ApiError(status, "", str(error), wait)
    code, kind = str(error.get("code") or ""), str(error.get("type") or "")
    return ApiError(status, "insufficient_quota" if code == "insufficient_quota" else kind, str(error.get("message") or ""), wait, code)
