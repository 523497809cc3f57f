"""What Anthropic's platform refuses in messages: blocks, the pairing of calls and results, images, documents, thoughts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.anthropic_errors import ApiError, invalid

_IMAGES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}
_MAX_IMAGE = 5 * 2**20
_MAX_PDF = 32 * 2**20
_FIELDS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "title", "context", "citations", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
_OF_USER = ("text", "image", "document", "tool_result")
_OF_ASSISTANT = ("text", "tool_use", "thinking", "redacted_thinking")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_EMPTY = "all messages must have non-empty content except for the optional final assistant message"


def mark_of(block: Mapping[str, Any], path: str) -> int:
    """1 with a cache mark."""
    control = block.get("cache_control")
    if control is not None and (not isinstance(control, dict) or control.get("type") != "ephemeral"):
        raise invalid(f"{path}.cache_control.type: Input should be 'ephemeral'")
    return int(control is not None)


def check_messages(messages: Any, window: int) -> int:
    """How many cache marks there are."""
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    marks = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise invalid(f"messages.{index}: Input should be a valid dictionary")
        if unknown := sorted(set(message) - {"role", "content"}):
            raise invalid(f"messages.{index}.{unknown[0]}: Extra inputs are not permitted")
        if message.get("role") not in ("user", "assistant"):
            raise invalid(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not content or not isinstance(content, str | list):
            raise invalid(f"messages.{index}: {_EMPTY}")
        if isinstance(content, list):
            allowed = _OF_USER if message["role"] == "user" else _OF_ASSISTANT
            marks += check_content(content, f"messages.{index}.content", allowed, window)
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    _check_pairs(messages)
    return marks


def check_content(content: Sequence[Any], path: str, allowed: Sequence[str], window: int) -> int:
    return sum(_check_block(block, f"{path}.{number}", allowed, window) for number, block in enumerate(content))


def _check_block(block: Any, path: str, allowed: Sequence[str], window: int) -> int:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in allowed:
        expected = ", ".join(f"'{name}'" for name in allowed)
        raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}")
    if unknown := sorted(set(block) - _FIELDS[kind]):
        raise invalid(f"{path}.{kind}.{unknown[0]}: Extra inputs are not permitted")
    match kind:
        case "text":
            if not isinstance(block.get("text"), str):
                raise invalid(f"{path}.text.text: Field required")
            if not block["text"].strip():
                raise invalid("messages: text content blocks must contain non-whitespace text")
        case "image":
            _check_image(block.get("source"), f"{path}.image.source")
        case "document":
            _check_document(block.get("source"), f"{path}.document.source", window)
        case "tool_use":
            if not isinstance(block.get("id"), str) or not _ID.fullmatch(block["id"]):
                raise invalid(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not isinstance(block.get("name"), str) or not 1 <= len(block["name"]) <= 200:
                raise invalid(f"{path}.tool_use.name: String should have at least 1 character")
            if not isinstance(block.get("input"), dict):
                raise invalid(f"{path}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            if not isinstance(block.get("tool_use_id"), str):
                raise invalid(f"{path}.tool_result.tool_use_id: Field required")
            if not isinstance(block.get("is_error", False), bool):
                raise invalid(f"{path}.tool_result.is_error: Input should be a valid boolean")
            inside = block.get("content", "")
            if isinstance(inside, list):
                if block.get("is_error") and any(part.get("type") != "text" for part in inside):
                    raise invalid(f"{path}.tool_result: content: all content must be type 'text' if 'is_error' is true")
                check_content(inside, f"{path}.tool_result.content", ("text", "image", "document"), window)
            elif not isinstance(inside, str):
                raise invalid(f"{path}.tool_result.content: Input should be a valid string or list")
    return mark_of(block, f"{path}.{kind}")


def _decode(source: Any, path: str, types: Sequence[str]) -> tuple[str, bytes]:
    if not isinstance(source, dict) or source.get("type") != "base64" or set(source) != {"type", "media_type", "data"}:
        raise invalid(f"{path}: this fake takes sources of type 'base64' with 'media_type' and 'data'")
    if source["media_type"] not in types:
        raise invalid(f"{path}.base64.media_type: Input should be {', '.join(repr(name) for name in types)}")
    try:
        return source["media_type"], base64.b64decode(source["data"], validate=True)
    except (ValueError, TypeError, binascii.Error) as error:
        raise invalid(f"{path}.base64.data: Input should be a valid base64 string") from error


def _check_image(source: Any, path: str) -> None:
    kind, data = _decode(source, path, tuple(_IMAGES))
    if len(data) > _MAX_IMAGE:
        raise invalid(f"{path}.base64: image exceeds 5 MB maximum: {len(data)} bytes > {_MAX_IMAGE} bytes")
    found = next((name for name, magic in _IMAGES.items() if data.startswith(magic)), None)
    if found is None:
        raise invalid("Could not process image")
    if found != kind:
        raise invalid(
            f"{path}.base64.data: The image was specified using the {kind} media type, but the image appears to be a {found} image"
        )


def _check_document(source: Any, path: str, window: int) -> None:
    _, data = _decode(source, path, ("application/pdf",))
    if len(data) > _MAX_PDF:
        raise ApiError(413, "request_too_large", "Request exceeds the maximum size")
    if not data.startswith(b"%PDF-"):
        raise invalid(f"{path}.base64.data: The PDF specified was not valid.")
    most = 600 if window >= 1_000_000 else 100
    if len(re.findall(rb"/Type\s*/Page(?![a-zA-Z])", data)) > most:
        raise invalid(f"A maximum of {most} PDF pages may be provided.")


def _check_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for number, block in enumerate(blocks):
            if block["type"] == "tool_use":
                if block["id"] in seen:
                    raise invalid(f"messages.{index}.content.{number}: `tool_use` ids must be unique")
                seen.add(block["id"])
        following = messages[index + 1] if index + 1 < len(messages) else None
        answers = _leading_results(following)
        if uses and (missing := [name for name in uses if name not in answers]):
            raise invalid(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each "
                "`tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        before = _uses(messages[index - 1]) if index else []
        results = [(number, block["tool_use_id"]) for number, block in enumerate(blocks) if block["type"] == "tool_result"]
        for number, name in results:
            if name not in before:
                raise invalid(
                    f"messages.{index}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        names = [name for _, name in results]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise invalid(
                f"messages.{index}.content: each tool_use must have a single result. Found multiple `tool_result` blocks with id: "
                f"{twice[0]}"
            )


def _uses(message: Mapping[str, Any]) -> list[str]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    return [block["id"] for block in blocks if block["type"] == "tool_use"]


def _leading_results(message: Mapping[str, Any] | None) -> list[str]:
    """Results count only before any other block."""
    if message is None or message["role"] != "user" or isinstance(message["content"], str):
        return []
    found = []
    for block in message["content"]:
        if block["type"] != "tool_result":
            break
        found.append(block["tool_use_id"])
    return found


@dataclass
class Given:
    """The thoughts that the fake told: each comes back with its signature and its text, to a conversation that was not changed before it
    (docs/en/build-with-claude/preserved-thinking; enforced for accounts made since 2026-08-31). `bound`: whether that is held."""

    bound: bool = True
    _thoughts: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    _paused: set[str] = field(default_factory=set)

    def tell(self, text: str, body: Mapping[str, Any], *, binds: bool) -> str:
        """A signature for a thought in answer to that request."""
        prefix = _prefix(body, len(body["messages"]))
        signature = base64.b64encode(hashlib.sha256(f"{len(self._thoughts)}{text}{prefix}".encode()).digest()).decode()
        self._thoughts[signature] = (text, prefix, binds)
        return signature

    def pause(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        self._paused.add(_canonical(blocks))

    def paused(self, content: Any) -> bool:
        return _canonical(content) in self._paused

    def check(self, body: Mapping[str, Any]) -> None:
        for index, message in enumerate(body["messages"]):
            if isinstance(message["content"], str):
                continue
            for number, block in enumerate(message["content"]):
                if block["type"] not in ("thinking", "redacted_thinking"):
                    continue
                path, kind = f"messages.{index}.content.{number}", block["type"]
                text, prefix, binds = self._thoughts.get(block.get("signature") or block.get("data") or "", ("", "", False))
                if not prefix or (kind == "thinking" and block.get("thinking") != text):
                    raise invalid(f"{path}: Invalid `signature` in `{kind}` block")
                if self.bound and binds and number == 0 and prefix != _prefix(body, index):
                    raise invalid(
                        f"{path}: Invalid `signature` in `{kind}` block. The block is bound to a different conversation. Remove the block, "
                        'or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
                    )


def _prefix(body: Mapping[str, Any], messages: int) -> str:
    return hashlib.sha256(_canonical([body.get("system"), body.get("tools"), body["messages"][:messages]]).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(unmarked(value), sort_keys=True)


def unmarked(value: Any) -> Any:
    """Without cache marks, which change nothing of what is read."""
    if isinstance(value, dict):
        return {name: unmarked(item) for name, item in value.items() if name != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value
