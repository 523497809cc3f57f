"""message: the assistant speaks to somebody elsewhere, through a channel; its owner reads along in the main conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moltbot_gateway.delivery.outbox import Outbox
from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, failed, object_schema

MAX_TEXT = 20_000


def message_tool(outbox: Outbox, channels: Callable[[], Mapping[str, int]]) -> Tool:
    """`channels`: those that are connected, each with the characters of a part that it takes (`telegram` → 4000)."""
    return Tool(
        "message",
        "Send message",
        "Send a message to somebody outside this conversation. to: <channel>:<chat>, such as telegram:12345. To answer here, just answer.",
        object_schema({"to": {"type": "string"}, "text": {"type": "string"}}),
        _Message(outbox, channels).run,
        Risk.OUTWARD,
        describe=lambda given: f"to {given.get('to')}: {given.get('text')}",
    )


class _Message:
    def __init__(self, outbox: Outbox, channels: Callable[[], Mapping[str, int]]) -> None:
        self._outbox, self._channels = outbox, channels

    async def run(self, call: ToolCall) -> ToolOutcome:
        to, text = call.text("to").strip(), call.text("text").strip()
        if not call.private:
            # Whoever writes in a group does not speak to others in the owner's name.
            return failed("Messages are sent only from the owner's own conversation.")
        if not text:
            return failed("The text is empty; nothing was sent.")
        if len(text) > MAX_TEXT:
            return failed(f"A message has at most {MAX_TEXT} characters; nothing was sent.")
        channels = self._channels()
        if not channels:
            await self._outbox.note(text, {"delivered": {"to": to, "parts": 0}})
            said = "No channel is connected, so nobody outside got it. It was put into the main conversation instead."
            return ToolOutcome(said, "No channel is connected; it stands in the main conversation.", details={"sent": False})
        channel, _, chat = to.partition(":")
        if channel not in channels or not chat:
            known = ", ".join(f"{name}:<chat>" for name in sorted(channels))
            return failed(f"{to[:80]!r} is no place that can be reached; connected: {known}. Nothing was sent.")
        # The same call carried out again (a repeated step) is the same event, and goes out once.
        parts = await self._outbox.enqueue(f"tool:{call.run_id}:{call.id}", to, text, limit=channels[channel])
        said = f"On its way to {to}{f', in {parts} parts' if parts > 1 else ''}; it also stands in the main conversation."
        return ToolOutcome(said, f"Sent to {to}", details={"sent": True, "to": to, "parts": parts})
