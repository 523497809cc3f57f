"""memory_search and memory_get: what the assistant wrote down, and what was said. Only in the owner's private conversations."""

from __future__ import annotations

import asyncio

from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.store.search import MARK, UNMARK
from moltbot_gateway.tools.base import Tool, ToolCall, ToolOutcome, failed, object_schema
from moltbot_gateway.workspace import beneath, files
from moltbot_gateway.workspace.memory import MAX_INDEXED, Memory

DEFAULT_HITS, MAX_HITS = 6, 20
# Of conversations beside the notes.
SAID_HITS = 4
DEFAULT_LINES, MAX_LINES = 60, 400
# Characters of one answer of memory_get; `tools.base` has the outer bound.
MAX_TEXT = 20_000
_NOT_PRIVATE = "Memory is only for private conversations with the owner, and this is none. Answer without it, and do not guess."


def memory_tools(memory: Memory) -> tuple[Tool, ...]:
    """Both change nothing and ask nobody."""

    async def search(call: ToolCall) -> ToolOutcome:
        return await _search(memory, call)

    async def get(call: ToolCall) -> ToolOutcome:
        return await _get(memory, call)

    return (
        Tool(
            "memory_search",
            "Search memory",
            "Search MEMORY.md, the notes in memory/, the main conversation and this one, before you answer about anything earlier. Few "
            "telling words work best; the beginning of a word is enough.",
            object_schema(
                {"query": {"type": "string"}},
                limit={"type": "integer", "minimum": 1, "maximum": MAX_HITS, "description": f"default {DEFAULT_HITS}"},
            ),
            search,
            describe=lambda given: str(given.get("query", "")),
        ),
        Tool(
            "memory_get",
            "Read memory",
            "Read lines of MEMORY.md or memory/YYYY-MM-DD.md, such as those around a hit of memory_search.",
            object_schema(
                {"path": {"type": "string"}},
                from_line={"type": "integer", "minimum": 1},
                lines={"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": f"default {DEFAULT_LINES}"},
            ),
            get,
            describe=lambda given: str(given.get("path", "")),
        ),
    )


async def _search(memory: Memory, call: ToolCall) -> ToolOutcome:
    if not call.private:
        return failed(_NOT_PRIVATE, "Memory is not shown here.")
    text = call.text("query")
    limit = max(1, min(MAX_HITS, call.number("limit", DEFAULT_HITS)))
    notes = await memory.search(text, limit=limit)
    said = await memory.search_said(text, call.session_key, limit=SAID_HITS)
    if not notes and not said:
        return ToolOutcome("Nothing found. Try other words, fewer of them, or the beginning of a word.", "Nothing found")
    blocks = []
    for hit in notes:
        numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(hit.text.split("\n"), hit.first))
        blocks.append(f"{hit.path}, lines {hit.first}-{hit.last}\n{numbered}")
    for one in said:
        snippet = " ".join(one.snippet.replace(MARK, "").replace(UNMARK, "").split())
        blocks.append(f"conversation {one.title!r}, {'owner' if one.role == 'user' else 'you'}, {_day(one.at_ms)}\n{snippet}")
    places = [{"path": hit.path, "firstLine": hit.first, "lastLine": hit.last} for hit in notes]
    person = f"{len(notes)} in notes, {len(said)} in conversations"
    return ToolOutcome("\n\n".join(blocks), person, details={"notes": places, "messages": [one.message_id for one in said]})


async def _get(memory: Memory, call: ToolCall) -> ToolOutcome:
    if not call.private:
        return failed(_NOT_PRIVATE, "Memory is not shown here.")
    path = call.text("path").strip()
    first = max(1, call.number("from_line", 1))
    count = max(1, min(MAX_LINES, call.number("lines", DEFAULT_LINES)))
    if path != files.MEMORY and not (path.startswith(f"{files.NOTES}/") and path.endswith(".md")):
        return failed("Only MEMORY.md and memory/*.md are read here; use read for other files.", "No file of memory")
    try:
        content, entry = await asyncio.to_thread(beneath.read_bytes, memory.workspace, path, MAX_INDEXED)
    except FileMissing:
        return failed(f"There is no {path}. memory_search finds what there is.", f"{path} does not exist")
    except WorkspaceError as error:
        return failed(str(error))
    lines = content.decode("utf-8", "replace").splitlines()
    rest = f"\n[Only the first {len(content)} bytes of {entry.size}: use read for the rest]" if entry.size > len(content) else ""
    shown = lines[first - 1 : first - 1 + count]
    if not shown:
        return ToolOutcome(f"{path} has {len(lines)} lines.{rest}", f"{path}: nothing from line {first} on")
    text = "\n".join(f"{number}: {line}" for number, line in enumerate(shown, first))[:MAX_TEXT]
    last = first + len(shown) - 1
    more = f"\n[{len(lines)} lines in all; go on with from_line {last + 1}]" if last < len(lines) else ""
    return ToolOutcome(text + more + rest, f"{path}, lines {first}–{last}", details={"path": path, "firstLine": first, "lastLine": last})


def _day(at_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
