"""What an MCP server says of its tools and of their results, brought into bounds and into shapes that every model's provider takes.

A provider refuses a whole request for one bad schema, and then one server would cost the whole assistant: so a tool with such a one is left
out, by name, with the reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_types import CallToolResult, Tool

MAX_TOOLS = 64
MAX_DESCRIPTION = 1024
# Characters of one schema as JSON, and of all of a server's: they are sent with every question.
MAX_SCHEMA = 16_000
MAX_SCHEMAS = 64_000
MAX_SCHEMA_DEPTH = 12
MAX_TEXT = 200_000
MAX_IMAGES = 8
# Bytes of one picture, and characters of all as base64: a frame has 8 MiB.
MAX_IMAGE = 5 * 2**20
MAX_IMAGE_TEXT = 7 * 2**20
# Names of properties that the Messages API takes.
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def tools_of(listed: Iterable[Tool], only: frozenset[str]) -> dict[str, object]:
    """`{"tools": […], "left_out": [sentences]}`. `only`: names that a person chose; empty: all."""
    tools: dict[str, dict[str, object]] = {}
    left_out: list[str] = []
    seen: set[str] = set()
    size = 0
    for tool in listed:
        seen.add(tool.name)
        if only and tool.name not in only:
            continue
        schema = json.dumps(tool.input_schema)
        problem = _problem(tool.input_schema, schema)
        if tool.name in tools:
            problem = "there are two of this name"
        elif len(tools) >= MAX_TOOLS or size + len(schema) > MAX_SCHEMAS:
            problem = "the server has more tools than are taken"
        if problem is not None:
            left_out.append(f"{tool.name[:64]}: {problem}")
            continue
        size += len(schema)
        title = tool.title or (tool.annotations.title if tool.annotations else None) or ""
        description = " ".join((tool.description or title).split())[:MAX_DESCRIPTION]
        tools[tool.name] = {"name": tool.name[:256], "title": title[:100], "description": description, "schema": tool.input_schema}
    left_out += [
        f"{name}: the server has no such tool" for name in sorted(only - set(tools)) if not any(name in words for words in left_out)
    ]
    return {"tools": [tools[name] for name in sorted(tools)], "left_out": left_out[:20]}


def _problem(schema: Mapping[str, Any], text: str) -> str | None:
    """Why a provider would refuse it; `None` where it would not."""
    from jsonschema import Draft202012Validator, SchemaError

    if len(text) > MAX_SCHEMA:
        return f"its schema has more than {MAX_SCHEMA} characters"
    if schema.get("type") != "object":
        return "its schema describes no object"
    if any(word in schema for word in ("oneOf", "anyOf", "allOf")):
        return "its schema has alternatives at the top"
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(_PROPERTY.fullmatch(name) for name in properties):
        return "its schema has names that cannot be used"
    for depth, part in _parts(schema):
        if depth > MAX_SCHEMA_DEPTH:
            return "its schema is nested too deep"
        within = part.get("properties", {})
        if isinstance(within, dict) and any(isinstance(one, bool) for one in within.values()):
            return "its schema has properties that are only true or false"
        if not str(part.get("$ref", "#")).startswith("#"):
            return "its schema refers to another document"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return "its schema is no JSON Schema"
    return None


def _parts(value: object, depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, dict):
        yield depth, value
    if depth <= MAX_SCHEMA_DEPTH:
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _parts(part, depth + 1)


def content_of(result: CallToolResult) -> list[dict[str, object]]:
    """`{"text"}` and `{"image": base64}` pieces; what is neither is told in words."""
    pieces: list[dict[str, object]] = []
    text_left, images, image_text = MAX_TEXT, 0, 0
    for block in result.content:
        if block.type == "image":
            if images < MAX_IMAGES and image_text + len(block.data) <= MAX_IMAGE_TEXT and _bytes_of(block.data) <= MAX_IMAGE:
                images, image_text = images + 1, image_text + len(block.data)
                pieces.append({"image": block.data})
                continue
            words = f"[a picture of {len(block.data)} characters that is too large or no picture]"
        else:
            words = _words(block)
        if text_left > 0:
            pieces.append({"text": words[:text_left] + (f"\n[cut: {len(words)} characters in all]" if len(words) > text_left else "")})
            text_left -= len(words)
    if not pieces and result.structured_content is not None:
        pieces.append({"text": json.dumps(result.structured_content, ensure_ascii=False)[:MAX_TEXT]})
    return pieces


def _bytes_of(data: str) -> int:
    try:
        return len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return MAX_IMAGE + 1


def _words(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "resource":
            held = block.resource
            return str(getattr(held, "text", None) or f"[{held.uri}: {held.mime_type or 'binary'}, not shown]")
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case kind:
            return f"[{kind}, not shown]"
