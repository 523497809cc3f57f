"""One call of a tool, as the loop would make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moltbot_gateway.tools.base import Tool, ToolCall, ToolOutcome


async def call(tool: Tool, *, update: Callable[[str], None] = lambda text: None, **given: object) -> ToolOutcome:
    return await tool.run(ToolCall("call-1", tool.name, given, "main", "run-1", update=update))


def named(tools: Iterable[Tool], name: str) -> Tool:
    return next(tool for tool in tools if tool.name == name)
