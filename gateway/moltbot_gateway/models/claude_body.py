"""A request in the Messages API's words (platform.claude.com/docs/en/api/messages). Pure; what it makes of the same conversation is the
same, byte for byte, or the provider's cache would be of no use.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Any

from moltbot_gateway.models.base import Block, Media, ModelRequest, Text, Thinking, ToolResult, ToolUse, Turn
from moltbot_gateway.models.facts import Claude, claude_of, facts_of

PROVIDER = "anthropic"
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}
# Tokens for models that think by a budget; at least 1,024 (docs/en/build-with-claude/extended-thinking).
_BUDGETS = {"minimal": 1_024, "low": 4_096, "medium": 10_240, "high": 20_480, "xhigh": 32_768}
_MARK = {"type": "ephemeral"}
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")


def thinks(model: str) -> bool:
    """Whether `thinking` means anything to that model."""
    return facts_of(model).thinks


def build_body(request: ModelRequest, *, without: Container[str] = ()) -> dict[str, Any]:
    """The API's parameters, without `stream`. `without`: signatures of thoughts that the provider does not take back."""
    messages, ends = _messages(request.turns, without)
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens or facts_of(request.model).output_tokens}
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.input_schema)} for tool in request.tools
        ]
    system = [{"type": "text", "text": text} for text in request.system if text.strip()]
    if system:
        body["system"] = system
    body["messages"] = messages
    if request.cache:
        # The newest end is written, the one before it is where the last request's was: at most 20 blocks are looked back from a mark.
        marked = [*body.get("tools", ())[-1:], *body.get("system", ())[:1], *ends[-2:]]
        for block in marked:
            block["cache_control"] = dict(_MARK)
    _think(body, request, claude_of(request.model))
    return body


# thinking


def _think(body: dict[str, Any], request: ModelRequest, claude: Claude | None) -> None:
    level = request.thinking
    if claude is None:
        return
    if claude.adapts:
        _adapt(body, level, claude)
    elif claude.has_budget and level not in (None, "off") and not _loop_began_without_thinking(body["messages"]):
        budget = _BUDGETS.get(level, _BUDGETS["medium"])
        limit = body["max_tokens"]
        if request.max_tokens is None:
            body["max_tokens"] = limit = min(limit + budget, 64_000 if claude.version >= (4, 5) else 32_000)
        # What is left of the limit is the answer's; below 1,024 there is no thinking at all.
        budget = min(budget, limit - 1_024)
        if budget >= _BUDGETS["minimal"]:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _adapt(body: dict[str, Any], level: str | None, claude: Claude) -> None:
    """`display`: from 4.7 on thoughts are left out of the answer unless they are asked for, and from 5.5 on so is what the model says
    between its calls."""
    adaptive = {"type": "adaptive", "display": "summarized"}
    if level == "off":
        if not claude.thinks_by_itself:
            return
        if claude.family == "sonnet" and claude.version >= (5, 5):
            body["thinking"] = {"type": "between_tools"}
        elif claude.family in ("fable", "mythos") or (claude.family == "opus" and claude.version >= (5, 5)):
            # These think always: as little as they can.
            body["thinking"], body["output_config"] = adaptive, {"effort": "low"}
        else:
            body["thinking"] = {"type": "disabled"}
    elif level is not None:
        effort = _EFFORTS.get(level, "medium")
        body["thinking"] = adaptive
        body["output_config"] = {"effort": "high" if effort == "xhigh" and claude.version < (4, 7) else effort}
    elif claude.thinks_by_itself:
        body["thinking"] = adaptive


def _loop_began_without_thinking(messages: Sequence[dict[str, Any]]) -> bool:
    """In a tool loop the last answer must begin with thinking where thinking is on: another model may have begun it, or the level was
    changed since. Then this step goes on without."""
    if not messages or not any(block["type"] == "tool_result" for block in messages[-1]["content"]):
        return False
    answers = [message for message in messages if message["role"] == "assistant"]
    return not answers or answers[-1]["content"][0]["type"] not in ("thinking", "redacted_thinking")


# messages


def _messages(turns: Sequence[Turn], without: Container[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Turns of one role become one message, tool results first as the API wants them. Also the last block of each turn of the person."""
    messages: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for turn in turns:
        content = [made for block in turn.blocks if (made := _block(block, without)) is not None]
        if turn.role == "user":
            content.sort(key=lambda block: block["type"] != "tool_result")
        if not content or (turn.role == "assistant" and all(block["type"].endswith("thinking") for block in content)):
            continue
        if turn.role == "user":
            ends.append(content[-1])
        if messages and messages[-1]["role"] == turn.role:
            messages[-1]["content"].extend(content)
        else:
            messages.append({"role": turn.role, "content": content})
    return messages, ends


def _block(block: Block, without: Container[str]) -> dict[str, Any] | None:
    match block:
        case Text():
            # Blank texts are refused.
            return {"type": "text", "text": block.text} if block.text.strip() else None
        case Thinking():
            return _thinking(block, without)
        case ToolUse():
            return {"type": "tool_use", "id": tool_id(block.id), "name": block.name, "input": dict(block.input)}
        case Media():
            return _media(block)
        case ToolResult():
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_id(block.tool_use_id)}
            # An error's content is text alone, or it is refused.
            parts = [part for part in block.content if isinstance(part, Text)] if block.is_error else block.content
            if content := list(_result_content(parts)):
                result["content"] = content
            if block.is_error:
                result["is_error"] = True
            return result


def _result_content(content: Iterable[Text | Media]) -> Iterable[dict[str, Any]]:
    for part in content:
        made = _block(part, ())
        if made is not None:
            yield made


def _thinking(block: Thinking, without: Container[str]) -> dict[str, Any] | None:
    """Unchanged or not at all: another provider's, and one that was cut off before its signature, are nothing to this API."""
    if block.provider != PROVIDER:
        return None
    if block.redacted:
        return None if block.redacted in without else {"type": "redacted_thinking", "data": block.redacted}
    if not block.signature or block.signature in without:
        return None
    return {"type": "thinking", "thinking": block.text, "signature": block.signature}


def _media(media: Media) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media.media_type, "data": media.data}
    if media.media_type != "application/pdf":
        return {"type": "image", "source": source}
    return {"type": "document", "source": source, **({"title": media.name} if media.name else {})}


def tool_id(name: str) -> str:
    """Ids of another provider may have signs that this API refuses."""
    return _NO_ID.sub("_", name)


def signatures(turns: Iterable[Turn]) -> set[str]:
    """Everything that `without` may name."""
    thoughts = (block for turn in turns for block in turn.blocks if isinstance(block, Thinking) and block.provider == PROVIDER)
    return {block.redacted or block.signature for block in thoughts} - {""}
