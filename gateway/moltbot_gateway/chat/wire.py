"""Shapes of messages and events as they go over the wire (protocol versions 3 and 4 together). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.models.base import Usage
from moltbot_gateway.store.records import Message, Run

INTERRUPTED_TEXT = "The answer was interrupted because the assistant was restarted. Continue it, or ask again."


def content_of(text: str) -> list[dict[str, object]]:
    return [{"type": "text", "text": text}] if text else []


def message_to_wire(message: Message) -> dict[str, object]:
    """One entry of `chat.history`. What the store adds in `detail` (provider, model, usage, stopReason, errorMessage …) stands beside."""
    content = content_of(message.text) if message.content is None else list(message.content)
    wire: dict[str, object] = {"role": message.role, "content": content, "timestamp": message.at_ms, "id": str(message.id)}
    if message.run_id is not None:
        wire["runId"] = message.run_id
    return wire | dict(message.detail)


def queued_to_wire(run: Run) -> dict[str, object]:
    """A message that waits for its turn: part of the history already."""
    attached = run.options.get("attachments")
    content = content_of(run.text) + (list(attached) if isinstance(attached, list) else [])
    return {"role": "user", "content": content, "timestamp": run.accepted_ms, "runId": run.id, "queued": True}


def usage_to_wire(usage: Usage, cost_micros: int | None) -> dict[str, object]:
    """`cost_micros`: millionths of a US dollar; `None`: the model's price is not known, which is said."""
    cost: dict[str, object] = {"total": 0 if cost_micros is None else cost_micros / 1_000_000}
    if cost_micros is None:
        cost["unknown"] = True
    return {
        "input": usage.input,
        "output": usage.output,
        "cacheRead": usage.cache_read,
        "cacheWrite": usage.cache_write,
        "totalTokens": usage.total,
        "cost": cost,
    }


def partial_to_wire(text: str, at_ms: int) -> dict[str, object]:
    return {"role": "assistant", "content": content_of(text), "timestamp": at_ms}


def merge_deltas(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Two deltas of one run (`chat` or `agent`) as one, for a client that reads slowly: the text is cumulative, the difference is not."""
    old, new = earlier.get("data"), later.get("data")
    if isinstance(old, dict) and isinstance(new, dict):
        return {**later, "data": {**new, "delta": f"{old.get('delta', '')}{new.get('delta', '')}"}}
    return {**later, "deltaText": f"{earlier.get('deltaText', '')}{later.get('deltaText', '')}"}
