"""What OpenAI's chat completions refuse, in their words (platform.openai.com/docs/api-reference/chat/create, …/guides/error-codes)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

MODELS = ("gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5.4", "gpt-6-luna", "gpt-6.2-sol", "gpt-4o-mini", "o3", "@cf/meta/llama-4-scout")
_FIELDS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "temperature",
        "top_p",
        "stop",
        "user",
        "prompt_cache_key",
        "store",
        "metadata",
    }
)
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.*)", re.DOTALL)
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAX_IMAGE = 50 * 2**20


class ApiError(Exception):
    """Answered with the platform's error shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code, self.headers = status, message, kind, param, code, dict(headers or {})

    def to_json(self) -> dict[str, object]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def refuse(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def efforts_of(model: str) -> tuple[str, ...]:
    """Empty: no reasoning model."""
    match model:
        case "gpt-5" | "gpt-5-mini":
            return ("minimal", "low", "medium", "high")
        case "gpt-5.1":
            return ("none", "low", "medium", "high")
        case "gpt-5.4" | "gpt-6-luna":
            return ("none", "low", "medium", "high", "xhigh")
        case "gpt-6.2-sol":
            return ("low", "medium", "high", "xhigh", "max")
        case "o3":
            return ("low", "medium", "high")
        case _:
            return ()


def check_body(body: Any) -> dict[str, Any]:
    """The body, typed. Raises ApiError."""
    if not isinstance(body, dict):
        raise refuse("We could not parse the JSON body of your request.")
    if unknown := sorted(set(body) - _FIELDS):
        raise refuse(f"Unrecognized request argument supplied: {unknown[0]}", unknown[0], "unknown_parameter")
    for name in ("model", "messages"):
        if name not in body:
            raise refuse(f"you must provide a {name} parameter", name)
    model = body["model"]
    if model not in MODELS:
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise ApiError(404, text, code="model_not_found")
    if "stream_options" in body and not body.get("stream"):
        raise refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    _check_limits(body)
    _check_tools(body.get("tools"))
    _check_effort(body)
    _check_messages(body["messages"], model)
    return body


def _check_limits(body: dict[str, Any]) -> None:
    if efforts_of(body["model"]) and "max_tokens" in body:
        text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        raise refuse(text, "max_tokens", "unsupported_parameter")
    if body["model"].startswith("@cf/") and "max_completion_tokens" in body:
        raise refuse("Unsupported parameter: 'max_completion_tokens' is not supported", "max_completion_tokens", "unsupported_parameter")
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body and (not isinstance(body[name], int) or not 1 <= body[name] <= 128_000):
            raise refuse(f"Invalid '{name}': integer out of range.", name, "integer_above_max_value")


def _check_effort(body: dict[str, Any]) -> None:
    model, effort = body["model"], body.get("reasoning_effort")
    allowed = efforts_of(model)
    if effort is not None and not allowed:
        raise refuse("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort", "unsupported_parameter")
    if effort is not None and effort not in allowed:
        values = ", ".join(f"'{value}'" for value in allowed)
        text = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. Supported values are: {values}."
        raise refuse(text, "reasoning_effort", "unsupported_value")
    if body.get("tools") and model in ("gpt-5.4", "gpt-6-luna") and effort != "none":
        text = f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. To use function tools, use "
        raise refuse(text + "/v1/responses or set reasoning_effort to 'none'.", "reasoning_effort")


def _check_tools(tools: Any) -> None:
    if tools is None:
        return
    if not isinstance(tools, list) or not tools:
        raise refuse("Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools", "empty_array")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
            raise refuse(f"Missing required parameter: 'tools[{index}].function'.", f"tools[{index}].function")
        function = tool["function"]
        if unknown := sorted(set(function) - {"name", "description", "parameters", "strict"}):
            raise refuse(f"Unknown parameter: 'tools[{index}].function.{unknown[0]}'.", f"tools[{index}].function.{unknown[0]}")
        if not _TOOL_NAME.fullmatch(str(function.get("name", ""))):
            text = (
                f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that matches '^[a-zA-Z0-9_-]+$'."
            )
            raise refuse(text, f"tools[{index}].function.name", "invalid_value")
        schema = function.get("parameters", {"type": "object"})
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise refuse(
                f"Invalid schema for function '{function['name']}': {error.message}", "tools", "invalid_function_parameters"
            ) from error
        if schema.get("type") != "object":
            text = f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"'."
            raise refuse(text, f"tools[{index}].function.parameters", "invalid_function_parameters")


def _check_messages(messages: Any, model: str) -> None:
    if not isinstance(messages, list) or not messages:
        raise refuse("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array")
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise refuse(f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'.")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise refuse(f"Invalid parameter: {text}", f"messages.[{index}].role")
            open_calls.remove(message["tool_call_id"])
            if not isinstance(message.get("content"), str):
                raise refuse(f"Invalid type for 'messages[{index}].content': expected a string.", f"messages.[{index}].content")
            continue
        _all_answered(open_calls, index)
        if role == "assistant":
            open_calls = _check_assistant(message, index)
        else:
            _check_content(message.get("content"), index, model)
    _all_answered(open_calls, len(messages))


def _all_answered(open_calls: Sequence[str], index: int) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        raise refuse(
            f"{text}The following tool_call_ids did not have response messages: {', '.join(open_calls)}", f"messages.[{index}].role"
        )


def _check_assistant(message: Mapping[str, Any], index: int) -> list[str]:
    if unknown := sorted(set(message) - {"role", "content", "tool_calls", "refusal", "name"}):
        raise refuse(f"Unknown parameter: 'messages[{index}].{unknown[0]}'.", f"messages[{index}].{unknown[0]}", "unknown_parameter")
    calls = message.get("tool_calls")
    if not message.get("content") and not calls:
        raise refuse(f"Invalid value for 'content': expected a string, got null. (messages[{index}])", f"messages.[{index}].content")
    ids = []
    for number, call in enumerate(calls or ()):
        place = f"messages[{index}].tool_calls[{number}]"
        if len(call["id"]) > 40:
            raise refuse(
                f"Invalid '{place}.id': string too long. Expected a string with maximum length 40.", place, "string_above_max_length"
            )
        if call.get("type") != "function" or not isinstance(call["function"].get("arguments"), str):
            raise refuse(f"Invalid type for '{place}.function.arguments': expected a string.", place, "invalid_type")
        json.loads(call["function"]["arguments"])
        ids.append(call["id"])
    return ids


def _check_content(content: Any, index: int, model: str) -> None:
    if isinstance(content, str) and content:
        return
    if not isinstance(content, list) or not content or model.startswith("@cf/"):
        raise refuse(f"Invalid type for 'messages[{index}].content': expected a string.", f"messages.[{index}].content")
    for number, part in enumerate(content):
        place = f"messages[{index}].content[{number}]"
        match part.get("type"):
            case "text":
                if not isinstance(part.get("text"), str):
                    raise refuse(f"Missing required parameter: '{place}.text'.", place)
            case "image_url":
                kind, data = _decode(part["image_url"].get("url", ""), f"{place}.image_url")
                if kind not in _IMAGES or len(data) > _MAX_IMAGE:
                    text = "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
                    raise refuse(f"{text}['png', 'jpeg', 'gif', 'webp'].", None, "image_parse_error")
            case "file":
                kind, data = _decode(part["file"].get("file_data", ""), f"{place}.file")
                if kind != "application/pdf" or not data.startswith(b"%PDF-") or not part["file"].get("filename"):
                    raise refuse(
                        f"Invalid file data: '{place}.file.file_data'. Expected a PDF.", f"{place}.file.file_data", "invalid_value"
                    )
            case kind:
                raise refuse(f"Invalid value: '{kind}'. Supported values are: 'text', 'image_url', 'input_audio', 'file'.", f"{place}.type")


def _decode(url: str, place: str) -> tuple[str, bytes]:
    match = _DATA_URL.fullmatch(url)
    if match is None:
        raise refuse(f"Invalid '{place}': this fake takes data URLs.", place)
    try:
        return match[1], base64.b64decode(match[2], validate=True)
    except ValueError as error:
        raise refuse(f"Invalid base64 in '{place}'.", place) from error
