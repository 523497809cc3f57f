"""The calls of one step: side by side where none of them changes anything, each told when it begins and ends, each result on disk as it
comes, and an answer for every one of them, also when the turn is stopped meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from moltbot_gateway.chat.active import Active
from moltbot_gateway.chat.calls import STOPPED, Calls, Done, describe, result_message, side_by_side
from moltbot_gateway.models.base import ToolUse
from moltbot_gateway.store import media, runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, Message
from moltbot_gateway.tools.base import Tool, ToolCall, failed
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")


class Rounds:
    def __init__(self, database: Database, calls: Calls, clock: Clock, advance: Callable[[], None]) -> None:
        self._database, self._calls, self._clock, self._advance = database, calls, clock, advance

    async def carry_out(self, active: Active, uses: Sequence[ToolUse], tools: Mapping[str, Tool], *, private: bool) -> None:
        for group in side_by_side(uses, tools):
            await self._group(active, group, tools, private=private)

    async def _group(self, active: Active, group: Sequence[ToolUse], tools: Mapping[str, Tool], *, private: bool) -> None:
        tasks: dict[asyncio.Task[Done], ToolUse] = {}
        for use in group:
            self._tell_start(active, use, tools.get(use.name))
            task = asyncio.create_task(self._calls.carry_out(tools, use, self._call(active, use, private=private)))
            tasks[task] = use
            active.tasks.add(task)
            if active.ending is not None:
                task.cancel()
        waiting = set(tasks)
        try:
            while waiting:
                ready, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(ready, key=lambda one: group.index(tasks[one])):
                    await self._result(active, _done(task, tasks[task]), tools)
        finally:
            for task in tasks:
                active.tasks.discard(task)
                task.cancel()  # only when this worker itself was cancelled is there any left

    def _tell_start(self, active: Active, use: ToolUse, tool: Tool | None) -> None:
        label, words = tool.label if tool else use.name, describe(tool, use.input)
        active.telling.tool("start", use.id, use.name, {"label": label, "args": dict(use.input), "describe": words})
        active.telling.status("tool", words or label)

    def _call(self, active: Active, use: ToolUse, *, private: bool) -> ToolCall:
        def update(text: str) -> None:
            self._advance()
            active.telling.partial_result(use.id, use.name, text)

        run = active.run
        return ToolCall(use.id, use.name, use.input, run.session_key, run.id, private, update)

    async def _result(self, active: Active, done: Done, tools: Mapping[str, Tool]) -> None:
        tool = tools.get(done.use.name)
        new, pictures = result_message(done, tool)
        now_ms = int(self._clock.epoch() * 1000)

        def write(db: Connection) -> Message | None:
            for picture in pictures:
                media.put_media(db, picture, now_ms)
            return runs.append_step(db, active.run.id, new, now_ms)

        message = await self._database.write(write)
        self._advance()
        if message is not None:
            shown = {"text": message.detail["person"] or message.text, "details": message.detail["details"]}
            meta = {"durationMs": message.detail["durationMs"]}
            active.telling.tool("result", done.use.id, done.use.name, {"isError": done.outcome.error, "result": shown, "meta": meta})
            active.telling.message(message)
        log.info("tool called", run=active.run.id, tool=done.use.name, seconds=round(done.seconds, 3), error=done.outcome.error)


def _done(task: asyncio.Task[Done], use: ToolUse) -> Done:
    return Done(use, failed(STOPPED, "Stopped."), 0.0) if task.cancelled() else task.result()
