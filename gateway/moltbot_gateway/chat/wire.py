"""Shapes of messages and events as they go over the wire (protocol versions 3 and 4 together). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.models.base import Usage
from moltbot_gateway.store.conversations import Message, Run

INTERRUPTED_TEXT = "The answer was interrupted because the assistant was restarted. Ask again."


def content_of(text: str) -> list[dict[str, object]]:
    return [{"type": "text", "text": text}] if text else []


def message_to_wire(message: Message) -> dict[str, object]:
    """One entry of `chat.history`. What the store adds in `detail` (provider, model, usage, stopReason, errorMessage …) stands beside."""
    wire: dict[str, object] = {"role": message.role, "content": content_of(message.text), "timestamp": message.at_ms, "id": str(message.id)}
    if message.run_id is not None:
        wire["runId"] = message.run_id
    return wire | dict(message.detail)


def queued_to_wire(run: Run) -> dict[str, object]:
    """A message that waits for its turn: part of the history already."""
    return {"role": "user", "content": content_of(run.text), "timestamp": run.accepted_ms, "runId": run.id, "queued": True}


def usage_to_wire(usage: Usage) -> dict[str, object]:
    """Costs are not known here: zero, as the official servers say for models without a price."""
    return {
        "input": usage.input,
        "output": usage.output,
        "cacheRead": usage.cache_read,
        "cacheWrite": usage.cache_write,
        "totalTokens": usage.total,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0},
    }


def partial_to_wire(text: str, at_ms: int) -> dict[str, object]:
    return {"role": "assistant", "content": content_of(text), "timestamp": at_ms}


def merge_deltas(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Two deltas of one run (`chat` or `agent`) as one, for a client that reads slowly: the text is cumulative, the difference is not."""
    old, new = earlier.get("data"), later.get("data")
    if isinstance(old, dict) and isinstance(new, dict):
        return {**later, "data": {**new, "delta": f"{old.get('delta', '')}{new.get('delta', '')}"}}
    return {**later, "deltaText": f"{earlier.get('deltaText', '')}{later.get('deltaText', '')}"}
