"""The blocks of a conversation: as the model's adapters have them, and as the database and the wire do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moltbot_gateway.models.base import Block, Media, Text, Thinking, ToolUse
from moltbot_gateway.store.media import StoredMedia
from moltbot_gateway.store.records import Message

WireBlock = Mapping[str, object]


def to_wire(blocks: Sequence[Block]) -> list[dict[str, object]]:
    """What a model said, as `chat.history` has it."""
    wire: list[dict[str, object]] = []
    for block in blocks:
        match block:
            case Text():
                wire.append({"type": "text", "text": block.text})
            case Thinking():
                wire.append(_thinking_to_wire(block))
            case ToolUse():
                call: dict[str, object] = {"type": "toolCall", "id": block.id, "name": block.name, "arguments": dict(block.input)}
                wire.append(call | ({"malformed": block.malformed} if block.malformed else {}))
            case _:
                pass  # a model answers with nothing else
    return wire


def _thinking_to_wire(block: Thinking) -> dict[str, object]:
    wire: dict[str, object] = {"type": "thinking", "thinking": block.text, "provider": block.provider}
    if block.signature:
        wire["thinkingSignature"] = block.signature
    if block.redacted:
        wire["redacted"] = block.redacted
    return wire


def from_wire(content: Sequence[WireBlock], media: Mapping[str, StoredMedia]) -> tuple[Block, ...]:
    """Blocks for the model. Media that is no longer there is told in words."""
    blocks: list[Block] = []
    for wire in content:
        match wire.get("type"):
            case "text" if wire.get("text"):
                blocks.append(Text(str(wire["text"])))
            case "thinking":
                blocks.append(
                    Thinking(
                        str(wire.get("thinking", "")),
                        str(wire.get("thinkingSignature", "")),
                        str(wire.get("redacted", "")),
                        str(wire.get("provider", "anthropic")),
                    )
                )
            case "toolCall":
                arguments = wire.get("arguments")
                given = arguments if isinstance(arguments, dict) else {}
                blocks.append(ToolUse(str(wire.get("id")), str(wire.get("name")), given, str(wire.get("malformed", ""))))
            case "image" | "document":
                blocks.append(_media(wire, media))
            case _:
                pass
    return tuple(blocks)


def _media(wire: WireBlock, media: Mapping[str, StoredMedia]) -> Block:
    stored = media.get(str(wire.get("mediaId")))
    if stored is None:
        return Text(f"[{wire.get('fileName') or 'a file'} was here and is no longer shown]")
    return Media(stored.mime_type, stored.base64, stored.name)


# Bytes of earlier pictures and documents that a request carries beside those of the newest message that has any: everything is in base64,
# providers take 32 MB, and it stands in memory several times.
MAX_EARLIER_MEDIA = 8 * 2**20


def newest_media(messages: Sequence[Message]) -> list[str]:
    """Ids of what a model is shown, the newest first. In place of an older one stands what it was."""
    wanted: list[str] = []
    size = 0
    for message in reversed(messages):
        of_message = [wire for wire in message.content or () if wire.get("mediaId")]
        if wanted:
            size += sum(number for wire in of_message if isinstance(number := wire.get("bytes"), int))
            if size > MAX_EARLIER_MEDIA:
                break
        wanted += [str(wire["mediaId"]) for wire in of_message]
    return wanted


def text_of(blocks: Sequence[Block]) -> str:
    return "\n\n".join(block.text for block in blocks if isinstance(block, Text))
