"""What Anthropic's platform refuses, in its own words: the rules that the fake of its Messages API holds requests to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSIONS = ("2023-06-01", "2026-10-21")
MAX_BODY = 32 * 2**20
MODELS = ("claude-sonnet-5-5", "claude-sonnet-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-4-6", "claude-sonnet-4-5")
_REQUIRED = ("model", "max_tokens", "messages")
_OPTIONAL = ("system", "stream", "stop_sequences", "metadata", "tools", "tool_choice", "thinking", "output_config", "service_tier")
_LATER = ("cache_control", "container", "diagnostics", "inference_geo", "speed")
_FIELDS = frozenset((*_REQUIRED, *_OPTIONAL, *_LATER))
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
MAX_BREAKPOINTS = 4


class ApiError(Exception):
    """Answered with the platform's error shape."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, dict(headers or {})


def invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message)


def check_body(body: Any, version: str) -> dict[str, Any]:
    """The body, typed. Raises ApiError with the platform's words."""
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON")
    if version >= "2026-10-21" and (sampling := _SAMPLING & set(body)):
        raise invalid(f"{sorted(sampling)[0]}: Extra inputs are not permitted")
    if unknown := sorted(set(body) - _FIELDS - _SAMPLING):
        raise invalid(f"{unknown[0]}: Extra inputs are not permitted")
    for name in _REQUIRED:
        if name not in body:
            raise invalid(f"{name}: Field required")
    if not isinstance(body["model"], str):
        raise invalid("model: Input should be a valid string")
    if isinstance(body["max_tokens"], bool) or not isinstance(body["max_tokens"], int):
        raise invalid("max_tokens: Input should be a valid integer")
    if not 1 <= body["max_tokens"] <= 128_000:
        raise invalid("max_tokens: must be between 1 and the model's maximum")
    if "stream" in body and not isinstance(body["stream"], bool):
        raise invalid("stream: Input should be a valid boolean")
    breakpoints = _check_system(body.get("system")) + _check_messages(body["messages"])
    if breakpoints > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}.")
    if body["model"] not in MODELS:
        raise ApiError(404, "not_found_error", f"model: {body['model']}")
    _check_thinking(body)
    if body["messages"][-1]["role"] == "assistant" and _is_newer(body["model"]):
        raise invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
    return body


def _is_newer(model: str) -> bool:
    return not model.endswith("4-5")


def _check_system(system: Any) -> int:
    if system is None or isinstance(system, str):
        return 0
    if not isinstance(system, list):
        raise invalid("system: Input should be a valid string or list")
    return sum(_check_text_block(block, f"system.{index}") for index, block in enumerate(system))


def _check_messages(messages: Any) -> int:
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    breakpoints = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise invalid(f"messages.{index}: Input should be a valid dictionary")
        if unknown := sorted(set(message) - {"role", "content"}):
            raise invalid(f"messages.{index}.{unknown[0]}: Extra inputs are not permitted")
        if message.get("role") not in ("user", "assistant"):
            raise invalid(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if isinstance(content, str):
            if not content:
                raise invalid(f"messages.{index}: all messages must have non-empty content except for the optional final assistant message")
            continue
        if not isinstance(content, list) or not content:
            raise invalid(f"messages.{index}: all messages must have non-empty content except for the optional final assistant message")
        breakpoints += sum(_check_text_block(block, f"messages.{index}.content.{number}") for number, block in enumerate(content))
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    return breakpoints


def _check_text_block(block: Any, path: str) -> int:
    if not isinstance(block, dict) or block.get("type") != "text":
        raise invalid(f"{path}.type: this fake takes text blocks")
    if unknown := sorted(set(block) - {"type", "text", "cache_control", "citations"}):
        raise invalid(f"{path}.text.{unknown[0]}: Extra inputs are not permitted")
    if not isinstance(block.get("text"), str):
        raise invalid(f"{path}.text.text: Field required")
    if not block["text"].strip():
        raise invalid("messages: text content blocks must contain non-whitespace text")
    control = block.get("cache_control")
    if control is not None and (not isinstance(control, dict) or control.get("type") != "ephemeral"):
        raise invalid(f"{path}.text.cache_control.type: Input should be 'ephemeral'")
    return int(control is not None)


def _check_thinking(body: dict[str, Any]) -> None:
    thinking, output = body.get("thinking"), body.get("output_config")
    if thinking is not None:
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        if kind not in ("adaptive", "enabled", "disabled", "between_tools"):
            raise invalid("thinking.type: Input should be 'adaptive', 'enabled', 'disabled' or 'between_tools'")
        if kind == "adaptive" and not _is_newer(body["model"]):
            raise invalid("thinking.type: adaptive thinking is not supported on this model")
        if kind == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < body["max_tokens"]:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if output is not None:
        if not isinstance(output, dict) or set(output) - {"effort", "format"}:
            raise invalid("output_config: Extra inputs are not permitted")
        if output.get("effort") not in _EFFORTS:
            raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
