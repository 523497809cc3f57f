"""Which tool the demo model calls for what was said, and what it says of the results. Pure; it knows a few sentences and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from moltbot_gateway.models.base import Text, ToolResult, ToolUse, Turn

# Lines of a result that it repeats.
_SHOWN_LINES = 40

_FLAGS = re.IGNORECASE | re.DOTALL
_Call = tuple[str, dict[str, object]]

_RUN = re.compile(r"^\s*(?:please\s+)?(?:run|execute|exec)\s*:?\s+`?(?P<command>[^`]+?)`?\s*$|^\s*\$\s+(?P<prompt>.+)$", _FLAGS)
_LIST = re.compile(r"^\s*(?:please\s+)?(?:list|show)\s+(?:(?:the|my|all|your)\s+)?files\b", _FLAGS)
_READ = re.compile(r"^\s*(?:please\s+)?(?:read|open)\s+(?:the\s+file\s+)?`?(?P<path>[\w./-]+\.\w+)`?\s*$", _FLAGS)
_WRITE = re.compile(r"^\s*(?:please\s+)?write\s+(?:the\s+file\s+|to\s+)?`?(?P<path>[\w./-]+\.\w+)`?\s*:\s*(?P<content>.+)$", _FLAGS)
_SEARCH = re.compile(r"^\s*(?:please\s+)?search\s+(?:your\s+|my\s+)?memory\s+for\s+(?P<query>.+?)[?.!]?\s*$", _FLAGS)
_FETCH = re.compile(r"^\s*(?:please\s+)?(?:fetch|read|open|summari[sz]e)\s+(?P<url>https?://\S+)\s*$", _FLAGS)
_WEB = re.compile(r"^\s*(?:please\s+)?search\s+the\s+web\s+for\s+(?P<query>.+?)[?.!]?\s*$", _FLAGS)
_REMIND = re.compile(
    r"^\s*(?:please\s+)?remind\s+me\s+in\s+(?P<count>\d{1,5})\s*(?P<unit>minutes?|mins?|hours?|h|m)\b\s*(?:to|about|that|of|:)?\s*(?P<what>.+)$",
    _FLAGS,
)
_JOBS = re.compile(r"^\s*(?:please\s+)?(?:list|show)\s+(?:(?:the|my|all|your)\s+)?(?:jobs|reminders|schedule)\b", _FLAGS)
_REMEMBER = re.compile(r"(?:^|[.!?]\s+)(?:please\s+)?remember\s+(?:this|that)\s*[.!]*\s*$", _FLAGS)


def call_for(said: str, tools: AbstractSet[str]) -> _Call | None:
    """Name and input of the call that a message asks for, where that tool is there."""
    call = _call(said)
    return call if call is not None and call[0] in tools else None


def _call(said: str) -> _Call | None:
    if match := _RUN.match(said):
        return "exec", {"command": (match["command"] or match["prompt"]).strip()}
    if _LIST.match(said):
        return "list", {}
    if match := _FETCH.match(said):
        return "web_fetch", {"url": match["url"], "max_chars": 3000}
    if match := _READ.match(said):
        return "read", {"path": match["path"]}
    if match := _WRITE.match(said):
        return "write", {"path": match["path"], "content": match["content"].strip() + "\n"}
    if match := _SEARCH.match(said):
        return "memory_search", {"query": match["query"]}
    if match := _WEB.match(said):
        return "web_search", {"query": match["query"]}
    if match := _REMIND.match(said):
        minutes = int(match["count"]) * (60 if match["unit"].lower().startswith("h") else 1)
        what = match["what"].strip()
        return "cron", {"action": "add", "name": what, "inMinutes": max(1, minutes), "prompt": f"say Reminder: {what}"}
    if _JOBS.match(said):
        return "cron", {"action": "list"}
    return None


def remembers(said: str) -> str | None:
    """What is to be remembered where that is asked for at the end: “The milk is sour. Remember that.”"""
    match = _REMEMBER.search(said)
    return said[: match.start()].strip(" .!?") or None if match is not None else None


def say_of_results(turns: Sequence[Turn]) -> str | None:
    """What the last turn's results are; `None` where it has none."""
    results = [block for block in turns[-1].blocks if isinstance(block, ToolResult)]
    if not results:
        return None
    names: Mapping[str, str] = {block.id: block.name for turn in turns for block in turn.blocks if isinstance(block, ToolUse)}
    return "\n\n".join(_say(names.get(result.tool_use_id, "the tool"), result) for result in results)


def _say(name: str, result: ToolResult) -> str:
    text = "\n".join(part.text for part in result.content if isinstance(part, Text)).strip()
    lines = text.splitlines()
    shown = "\n".join(lines[:_SHOWN_LINES]) + (f"\n… {len(lines) - _SHOWN_LINES} more lines" if len(lines) > _SHOWN_LINES else "")
    fence = "````" if "```" in shown else "```"
    said = f"`{name}` did not work:" if result.is_error else f"`{name}` says:"
    return f"{said}\n\n{fence}\n{shown or '(nothing)'}\n{fence}"
