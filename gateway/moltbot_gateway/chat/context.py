"""What of a conversation the model gets. Pure, and stable: what was said earlier is built the same way each time, so that the provider's
cache holds from turn to turn.

Left out: what the gateway answered itself (commands), what was taken back before it began, answers without anything in them, and a
question that the model refused together with its refusal, for a refusal in the context makes the next one likelier. A call whose result is
missing gets one that says so.

What the assistant said by itself while it answered (what a job found, what it sent elsewhere) stands behind that answer: in the middle it
would part a call from its result, or end the request with the assistant's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from moltbot_gateway.chat.blocks import from_wire
from moltbot_gateway.models.base import Block, Text, Thinking, ToolResult, ToolUse, Turn
from moltbot_gateway.models.failure import ErrorKind
from moltbot_gateway.store.media import StoredMedia
from moltbot_gateway.store.records import Message

# Messages; more than any model's window holds in ordinary talk. A longer conversation is summarised long before (`compaction`).
MAX_MESSAGES = 4000
NO_RESULT = (
    "This call was interrupted and has no result: it may or may not have happened. Look at the present state before you do it again."
)
NOTE_FIRST = "(Nothing was said here before; what follows you said by yourself.)"
SUMMARY_HEAD = "Summary of the conversation so far; what it tells is no longer here word for word:"


def build_context(
    messages: Sequence[Message],
    media: Mapping[str, StoredMedia],
    *,
    run_id: str,
    summary: str = "",
    stamp: Callable[[int], str] = lambda at_ms: "",
) -> list[Turn]:
    """`messages` after the summary, oldest first, up to and with those of `run_id`. `stamp` gives the time in front of a person's words, a
    block of its own."""
    refused = {message.run_id for message in messages if message.detail.get("errorKind") == ErrorKind.REFUSAL} - {run_id, None}
    kept = [message for message in messages if not _is_apart(message) and message.run_id not in refused]
    while kept and kept[0].role != "user" and not _is_note(kept[0]):
        del kept[0]  # a conversation begins with the person; the cut above may have left an answer first
    kept = _notes_behind(kept, run_id)
    turns = [Turn("user", (Text(f"{SUMMARY_HEAD}\n\n{summary}"),))] if summary else []
    if not summary and kept and _is_note(kept[0]):
        turns = [Turn("user", (Text(NOTE_FIRST),))]
    for message in kept:
        blocks = _blocks(message, media, stamp)
        if blocks:
            turns.append(Turn("assistant" if message.role == "assistant" else "user", blocks))
    return _pair(turns)


def _is_apart(message: Message) -> bool:
    return bool(message.detail.get("command") or message.detail.get("withdrawn"))


def _is_note(message: Message) -> bool:
    """Said by the assistant without having been asked there (`store.notes`)."""
    return message.role == "assistant" and message.run_id is None


def _notes_behind(messages: Sequence[Message], run_id: str) -> list[Message]:
    """Notes that came while a run went on stand behind its last message; those of the run that is on its way are left out until then."""
    last = {message.run_id: index for index, message in enumerate(messages) if message.run_id is not None}
    began = next((index for index, message in enumerate(messages) if message.run_id == run_id), len(messages))
    ordered: list[Message] = []
    held: list[Message] = []
    open_until = -1
    for index, message in enumerate(messages):
        if message.run_id is not None:
            ordered.append(message)
            open_until = max(open_until, last[message.run_id])
            if open_until <= index < began:
                ordered, held = ordered + held, []
        elif index < open_until or index > began:
            held.append(message)
        else:
            ordered.append(message)
    return ordered


def _blocks(message: Message, media: Mapping[str, StoredMedia], stamp: Callable[[int], str]) -> tuple[Block, ...]:
    content = message.content
    blocks = from_wire(content, media) if content is not None else ((Text(message.text),) if message.text else ())
    match message.role:
        case "user":
            mark = stamp(message.at_ms)
            return (Text(mark), *blocks) if mark and blocks else blocks
        case "toolResult":
            call = str(message.detail.get("toolCallId"))
            plain = tuple(block for block in blocks if not isinstance(block, ToolUse))
            return (ToolResult(call, plain or (Text("(nothing)"),), bool(message.detail.get("isError"))),)  # type: ignore[arg-type]
        case _:
            return blocks


def _pair(turns: Sequence[Turn]) -> list[Turn]:
    """Every call is followed by its results at once, in the order of the calls; a result without a call is left out."""
    paired: list[Turn] = []
    results = {block.tool_use_id: block for turn in turns for block in turn.blocks if isinstance(block, ToolResult)}
    for turn in turns:
        if isinstance(turn.blocks[0], ToolResult):
            continue  # alone in its turn (`_blocks`)
        paired.append(turn)
        calls = [block for block in turn.blocks if isinstance(block, ToolUse)]
        if calls:
            answers = tuple(results.get(call.id) or ToolResult(call.id, (Text(NO_RESULT),), is_error=True) for call in calls)
            paired.append(Turn("user", answers))
    return paired


def count_messages(turns: Sequence[Turn]) -> int:
    """Of which the turns were built: each result of a step is a message of its own."""
    return sum(sum(isinstance(block, ToolResult) for block in turn.blocks) or 1 for turn in turns)


def guess_tokens(text: str) -> int:
    """Four bytes a token: right enough for Latin letters, and for scripts of which one sign is nearly a token."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) // 4


def estimate_tokens(turns: Sequence[Turn]) -> int:
    """Roughly, for a decision and never for a bill; 1,500 a picture or page."""
    tokens, pictures = 0, 0
    for turn in turns:
        for block in turn.blocks:
            match block:
                case Text():
                    tokens += guess_tokens(block.text)
                case ToolUse():
                    tokens += guess_tokens(str(block.input))
                case ToolResult():
                    tokens += sum(guess_tokens(part.text) for part in block.content if isinstance(part, Text))
                    pictures += sum(not isinstance(part, Text) for part in block.content)
                case Thinking():
                    tokens += guess_tokens(block.text)
                case _:
                    pictures += 1
    return tokens + 1500 * pictures
