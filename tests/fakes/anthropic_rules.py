"""What Anthropic's platform refuses, in its own words: the fields of a request, tools and thinking. `anthropic_blocks` has the messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema

from tests.fakes.anthropic_blocks import Given, check_content, check_messages, mark_of
from tests.fakes.anthropic_errors import ApiError, invalid

VERSIONS = ("2023-06-01", "2026-10-21")
MAX_BODY = 32 * 2**20
MODELS = (
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-haiku-5-5",
    "claude-fable-5-1",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5",
    "claude-3-5-haiku-latest",
)
_REQUIRED = ("model", "max_tokens", "messages")
_OPTIONAL = ("system", "stream", "stop_sequences", "metadata", "tools", "tool_choice", "thinking", "output_config", "service_tier")
_LATER = ("cache_control", "container", "diagnostics", "inference_geo", "speed")
_FIELDS = frozenset((*_REQUIRED, *_OPTIONAL, *_LATER))
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TOOL_FIELDS = frozenset({"name", "description", "input_schema", "cache_control", "type", "strict", "eager_input_streaming"})
_ALWAYS_THINK = ("claude-opus-5-5", "claude-fable-5-1")
MAX_BREAKPOINTS = 4


def generation(model: str) -> tuple[int, int]:
    """(5, 5) of claude-sonnet-5-5."""
    match = re.search(r"-(\d)(?:-(\d{1,2}))?(?=$|-\d{8}$|-latest$|-[a-z])", model)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def max_output(model: str) -> int:
    version = generation(model)
    return 128_000 if version >= (4, 7) else 64_000 if version >= (3, 7) else 8_192


def window_of(model: str) -> int:
    return 1_000_000 if generation(model) >= (4, 6) else 200_000


def thinks(body: Mapping[str, Any]) -> bool:
    """Whether this request is thought about: asked for, or by itself since generation 5."""
    thinking = body.get("thinking")
    return generation(body["model"]) >= (5, 0) if thinking is None else thinking["type"] in ("adaptive", "enabled")


def check_body(body: Any, version: str, given: Given) -> dict[str, Any]:
    """The body, typed. Raises ApiError with the platform's words. `given`: the thoughts that were told so far."""
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON")
    if version >= "2026-10-21" and (sampling := _SAMPLING & set(body)):
        raise invalid(f"{sorted(sampling)[0]}: Extra inputs are not permitted")
    if unknown := sorted(set(body) - _FIELDS - _SAMPLING):
        raise invalid(f"{unknown[0]}: Extra inputs are not permitted")
    for name in _REQUIRED:
        if name not in body:
            raise invalid(f"{name}: Field required")
    model = body["model"]
    if not isinstance(model, str):
        raise invalid("model: Input should be a valid string")
    if isinstance(body["max_tokens"], bool) or not isinstance(body["max_tokens"], int):
        raise invalid("max_tokens: Input should be a valid integer")
    if model not in MODELS:
        raise ApiError(404, "not_found_error", f"model: {model}")
    if body["max_tokens"] < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if body["max_tokens"] > max_output(model):
        raise invalid(
            f"max_tokens: {body['max_tokens']} > {max_output(model)}, which is the maximum allowed number of output tokens for {model}"
        )
    if "stream" in body and not isinstance(body["stream"], bool):
        raise invalid("stream: Input should be a valid boolean")
    breakpoints = _check_tools(body) + _check_system(body.get("system")) + check_messages(body["messages"], window_of(model))
    if breakpoints > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {breakpoints}.")
    _check_thinking(body)
    _check_turns(body, given)
    return body


def _check_system(system: Any) -> int:
    if system is None or isinstance(system, str):
        return 0
    if not isinstance(system, list):
        raise invalid("system: Input should be a valid string or list")
    return check_content(system, "system", ("text",), 200_000)


def _check_tools(body: dict[str, Any]) -> int:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    marks = 0
    for index, tool in enumerate(tools):
        path = f"tools.{index}.custom"
        if not isinstance(tool, dict):
            raise invalid(f"tools.{index}: Input should be a valid dictionary")
        if unknown := sorted(set(tool) - _TOOL_FIELDS):
            raise invalid(f"{path}.{unknown[0]}: Extra inputs are not permitted")
        for name in ("name", "input_schema"):
            if name not in tool:
                raise invalid(f"{path}.{name}: Field required")
        if not isinstance(tool["name"], str) or not _TOOL_NAME.fullmatch(tool["name"]):
            raise invalid(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not isinstance(tool.get("description", ""), str):
            raise invalid(f"{path}.description: Input should be a valid string")
        _check_schema(tool["input_schema"], path)
        marks += mark_of(tool, path)
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.")
    _check_choice(body, names)
    return marks


def _check_schema(schema: Any, path: str) -> None:
    if not isinstance(schema, dict):
        raise invalid(f"{path}.input_schema: Input should be a valid dictionary")
    if "type" not in schema:
        raise invalid(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")
    if {"oneOf", "allOf", "anyOf"} & set(schema):
        raise invalid(f"{path}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        text = "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12)."
        raise invalid(f"{path}.input_schema: {text}") from error


def _check_choice(body: dict[str, Any], names: list[str]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice: Input tag found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    if not names and kind != "none":
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in names:
        raise invalid(f"tool_choice: Tool '{choice.get('name')}' not found in provided tools")
    if kind in ("any", "tool") and thinks(body):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _check_thinking(body: dict[str, Any]) -> None:
    thinking, output, model = body.get("thinking"), body.get("output_config"), body["model"]
    version = generation(model)
    effort = output.get("effort") if isinstance(output, dict) else None
    if thinking is not None:
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        if kind not in ("adaptive", "enabled", "disabled", "between_tools"):
            raise invalid("thinking.type: Input should be 'adaptive', 'enabled', 'disabled' or 'between_tools'")
        allowed = {"adaptive": {"type", "display"}, "enabled": {"type", "display", "budget_tokens"}}.get(kind, {"type"})
        if unknown := sorted(set(thinking) - allowed):
            raise invalid(f"thinking.{kind}.{unknown[0]}: Extra inputs are not permitted")
        if thinking.get("display", "summarized") not in ("summarized", "omitted"):
            raise invalid("thinking.adaptive.display: Input should be 'summarized' or 'omitted'")
        if kind == "adaptive" and version < (4, 6):
            raise invalid("adaptive thinking is not supported on this model")
        if kind == "enabled" and version >= (4, 7):
            raise invalid(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort".'
            )
        if kind == "enabled" and version < (3, 7):
            raise invalid("thinking: Extended thinking is not supported on this model")
        if kind == "enabled" and thinking.get("budget_tokens", 0) < 1024:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if kind == "enabled" and thinking["budget_tokens"] >= body["max_tokens"]:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if kind == "disabled" and (model in _ALWAYS_THINK or model == "claude-sonnet-5-5"):
            raise invalid('"thinking.type.disabled" is not supported for this model. Use "thinking.type.between_tools" where it is served.')
        if kind == "between_tools" and (model != "claude-sonnet-5-5" or effort in ("xhigh", "max")):
            raise invalid('"thinking.type.between_tools" is not supported for this model or effort.')
    if output is not None:
        if not isinstance(output, dict) or set(output) - {"effort", "format"}:
            raise invalid("output_config: Extra inputs are not permitted")
        if effort not in _EFFORTS:
            raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
        if version < (4, 5):
            raise invalid("This model does not support the effort parameter.")
        if effort == "xhigh" and version < (4, 7):
            raise invalid("This model does not support effort level 'xhigh'.")


def _check_turns(body: dict[str, Any], given: Given) -> None:
    """Thoughts come back as they were told; a tool loop that thinks began with a thought; nothing is put into the model's mouth."""
    messages = body["messages"]
    given.check(body)
    uses_tools = any(
        block.get("type") in ("tool_use", "tool_result")
        for message in messages
        if isinstance(message["content"], list)
        for block in message["content"]
    )
    if uses_tools and not body.get("tools"):
        raise invalid("Requests which include `tool_use` or `tool_result` blocks must define tools.")
    last = messages[-1]
    if last["role"] == "assistant" and generation(body["model"]) >= (4, 6) and not given.paused(last["content"]):
        raise invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
    if body.get("thinking", {}).get("type") != "enabled" or isinstance(last["content"], str):
        return
    if last["role"] == "user" and any(block["type"] == "tool_result" for block in last["content"]):
        index, answer = next((index, item) for index, item in reversed(list(enumerate(messages))) if item["role"] == "assistant")
        first = answer["content"][0]["type"]
        if first not in ("thinking", "redacted_thinking"):
            raise invalid(
                f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is "
                "enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and "
                "`tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this requirement, disable "
                "`thinking`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
            )
