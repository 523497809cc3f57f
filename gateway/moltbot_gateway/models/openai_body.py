"""A request in the words of OpenAI's chat completions (platform.openai.com/docs/api-reference/chat/create), as OpenAI itself, Cloudflare's
AI Gateway, Workers AI and many local servers understand them. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from moltbot_gateway.models.base import Block, Media, ModelFacts, ModelRequest, Text, ToolResult, ToolUse
from moltbot_gateway.models.facts import bare_name, facts_of, reasons
from moltbot_gateway.models.provider_failures import ApiError, unreadable

PROVIDER = "openai"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
_GATEWAY_HOST = "gateway.ai.cloudflare.com"
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
# Longer ids are refused.
_MAX_ID = 40


def clean_base_url(url: str) -> str:
    """The base before `/chat/completions`. People copy it with a slash, with the whole path, with `/v1` or without."""
    cleaned = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if not cleaned:
        return DEFAULT_BASE_URL
    path = urlsplit(cleaned).path
    if urlsplit(cleaned).netloc == _GATEWAY_HOST:
        # Its door `openai` has no `/v1`; elsewhere `…/openai/v1` is right as it is. The gateway alone: its door for every provider.
        cleaned = cleaned.removesuffix("/v1") if path.endswith("/openai/v1") else cleaned
        if len(path.strip("/").split("/")) == 3:
            return f"{cleaned}/compat"
    return f"{cleaned}/v1" if path in ("", "/") or path.endswith("/workers-ai") else cleaned


def wire_name(model: str, base_url: str) -> str:
    """The model as that address knows it: with its provider behind a gateway's `compat`, without it anywhere else."""
    if base_url.endswith("/compat"):
        return model if "/" in model and not model.startswith("@") else f"{'workers-ai' if model.startswith('@') else 'openai'}/{model}"
    for prefix in ("openai/", "workers-ai/"):
        model = model.removeprefix(prefix)
    return model


class Relaxed(StrEnum):
    """What a server did not understand, and is left out or said in another way from then on."""

    NO_EFFORT = "no-effort"
    EFFORT_NONE = "effort-none"
    OTHER_LIMIT = "other-limit"
    NO_USAGE = "no-usage"


def relaxation_for(error: ApiError, body: Mapping[str, Any]) -> Relaxed | None:
    """What to leave out after a refusal; `None`: that would mend nothing."""
    said = error.message.lower()
    if "reasoning_effort" in said and "reasoning_effort" in body:
        return Relaxed.EFFORT_NONE if "tools" in said and body["reasoning_effort"] != "none" else Relaxed.NO_EFFORT
    if "reasoning_effort" in said and "tools" in said:
        return Relaxed.EFFORT_NONE
    if "max_tokens" in said or "max_completion_tokens" in said:
        return Relaxed.OTHER_LIMIT if "support" in said or "unrecognized" in said or "unknown" in said else None
    return Relaxed.NO_USAGE if "stream_options" in said and "stream_options" in body else None


def build_body(request: ModelRequest, base_url: str, relaxed: Iterable[Relaxed] = ()) -> dict[str, Any]:
    """Raises ModelFailure where the person's own last message holds what the model cannot read."""
    facts = facts_of(request.model)
    limit = "max_completion_tokens" if bare_name(request.model).startswith(("gpt-", "chatgpt-", "o1", "o3", "o4")) else "max_tokens"
    body: dict[str, Any] = {
        "model": wire_name(request.model, base_url),
        "messages": _messages(request, facts),
        "stream": True,
        "stream_options": {"include_usage": True},
        limit: request.max_tokens or facts.output_tokens,
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.input_schema)},
            }
            for tool in request.tools
        ]
    if (effort := effort_for(request.model, request.thinking, tools=bool(request.tools))) is not None:
        body["reasoning_effort"] = effort
    for each in relaxed:
        match each:
            case Relaxed.NO_EFFORT:
                body.pop("reasoning_effort", None)
            case Relaxed.EFFORT_NONE:
                body["reasoning_effort"] = "none"
            case Relaxed.OTHER_LIMIT:
                body["max_tokens" if limit == "max_completion_tokens" else "max_completion_tokens"] = body.pop(limit)
            case Relaxed.NO_USAGE:
                body.pop("stream_options", None)
    return body


def effort_for(model: str, level: str | None, *, tools: bool) -> str | None:
    """`reasoning_effort`, `None`: left out. Its words differ by generation: `minimal` only GPT-5, `none` from 5.1 to 6, `xhigh` since 5.2.
    From 5.4 to 6 chat completions take tools only without reasoning."""
    if not reasons(model):
        return None
    match = _VERSION.match(bare_name(model))
    version = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    has_none = (5, 1) <= version < (6, 1)
    if tools and (5, 4) <= version < (6, 1):
        return "none"
    match level:
        case None:
            return None
        case "off":
            return "none" if has_none else "minimal" if version == (5, 0) else "low"
        case "minimal":
            return "minimal" if version == (5, 0) else "low"
        case "xhigh":
            return "xhigh" if version >= (5, 2) else "high"
        case _:
            return level


# messages


def _messages(request: ModelRequest, facts: ModelFacts) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    system = "\n\n".join(text for text in request.system if text.strip())
    if system:
        messages.append({"role": "system", "content": system})
    last = len(request.turns) - 1
    parts: list[dict[str, Any]] = []
    for index, turn in enumerate(request.turns):
        if turn.role == "user":
            results, said = _user(turn.blocks, request.model, facts, newest=index == last)
            messages += results  # the calls stand right before them
            parts += said
        if parts and (turn.role == "assistant" or index == last):
            messages.append({"role": "user", "content": _content(parts)})
            parts = []
        if turn.role == "assistant" and (answer := _assistant(turn.blocks)):
            messages.append(answer)
    return messages


def _content(parts: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Text alone as one string: not every server takes a list."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return list(parts)


def _assistant(blocks: Iterable[Block]) -> dict[str, Any] | None:
    """Thoughts are not sent: this API takes none back."""
    blocks = tuple(blocks)
    text = "\n\n".join(block.text for block in blocks if isinstance(block, Text) and block.text.strip())
    calls = [
        {
            "id": call_id(block.id),
            "type": "function",
            "function": {"name": block.name, "arguments": json.dumps(dict(block.input), ensure_ascii=False)},
        }
        for block in blocks
        if isinstance(block, ToolUse)
    ]
    if calls:
        return {"role": "assistant", "content": text or None, "tool_calls": calls}
    return {"role": "assistant", "content": text} if text else None


def _user(blocks: Sequence[Block], model: str, facts: ModelFacts, *, newest: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Results of tools, each a message of its own, and what the person said. Pictures in results follow as if the person had shown them:
    a result is text here."""
    results: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case Text() if block.text.strip():
                said.append({"type": "text", "text": block.text})
            case Media():
                said.append(_media(block, model, facts, must=newest))
            case ToolResult():
                text = "\n\n".join(part.text for part in block.content if isinstance(part, Text))
                media = [part for part in block.content if isinstance(part, Media)]
                results.append({"role": "tool", "tool_call_id": call_id(block.tool_use_id), "content": text or "(no text)"})
                if media:
                    shown.append({"type": "text", "text": f"From the result of {call_id(block.tool_use_id)}:"})
                    shown += [_media(part, model, facts, must=False) for part in media]
            case _:
                pass
    return results, shown + said


def _media(media: Media, model: str, facts: ModelFacts, *, must: bool) -> dict[str, Any]:
    """`must`: the person waits for an answer to this; further back a note in its place does."""
    document = media.media_type == "application/pdf"
    if not (facts.documents if document else facts.images):
        if must:
            raise unreadable(model, "PDFs" if document else "pictures")
        return {"type": "text", "text": f"[{media.name or 'a file'}: {media.media_type}, which this model cannot read]"}
    url = f"data:{media.media_type};base64,{media.data}"
    if document:
        return {"type": "file", "file": {"filename": media.name or "document.pdf", "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url}}


def call_id(name: str) -> str:
    return name if len(name) <= _MAX_ID else hashlib.sha256(name.encode()).hexdigest()[:_MAX_ID]
