"""The platform's prompt cache: prefixes of tools, then system, then messages, kept at each mark and found again from the marks of a later
request (docs/en/build-with-claude/prompt-caching). Tokens are guessed: four characters each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.anthropic_blocks import unmarked
from tests.fakes.anthropic_rules import generation

_LOOK_BACK = 20
_IMAGE_TOKENS, _PAGE_TOKENS = 1_600, 2_000


@dataclass(frozen=True)
class Counted:
    """As `usage` has them."""

    input: int
    read: int
    written: int

    @property
    def total(self) -> int:
        return self.input + self.read + self.written


@dataclass
class PromptCache:
    _kept: set[str] = field(default_factory=set)

    def count(self, body: Mapping[str, Any]) -> Counted:
        """Counts one request, and keeps what it marks."""
        minimum = 512 if generation(body["model"]) >= (5, 0) else 1_024
        digest = hashlib.sha256(body["model"].encode())
        prefixes: list[tuple[str, int]] = []
        marks: list[int] = []
        tokens = 0
        for text, size, marked in _units(body):
            digest.update(text.encode())
            tokens += size
            if marked:
                marks.append(len(prefixes))
            prefixes.append((digest.hexdigest(), tokens))
        read = 0
        for mark in marks:
            for position in range(mark, max(-1, mark - _LOOK_BACK), -1):
                name, size = prefixes[position]
                if name in self._kept:
                    read = max(read, size)
                    break
        kept = [prefixes[mark] for mark in marks if prefixes[mark][1] >= minimum]
        self._kept |= {name for name, _ in kept}
        end = max([size for _, size in kept] or [0])
        return Counted(tokens - max(end, read), read, max(0, end - read))


def _units(body: Mapping[str, Any]) -> Iterator[tuple[str, int, bool]]:
    for tool in body.get("tools", []):
        yield _unit("tool", tool)
    system = body.get("system") or []
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield _unit("system", block)
    # Other thinking is another conversation to the cache, though not another prompt.
    thinking = json.dumps(body.get("thinking"), sort_keys=True)
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            yield _unit(message["role"] + thinking, block)


def _unit(role: str, block: Mapping[str, Any]) -> tuple[str, int, bool]:
    return role + json.dumps(unmarked(block)), tokens_of(block), "cache_control" in block


def tokens_of(value: Any) -> int:
    """Of a block, or of anything."""
    if isinstance(value, dict) and value.get("type") == "image":
        return _IMAGE_TOKENS
    if isinstance(value, dict) and value.get("type") == "document":
        return _PAGE_TOKENS
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return 4 + sum(tokens_of(item) for item in value["content"])
    return max(1, len(value if isinstance(value, str) else json.dumps(unmarked(value))) // 4)
