"""Tools of the MCP servers that the resource names, each server in a confined process of its own: a broken one costs only its own tools.

Servers are started when the first turn asks for tools, which waits for them a little; one that comes later joins the next turn. What a
model is offered changes only when a server says so: one that broke keeps its place in the list (its calls say that it does not run), so
that the prompt's prefix stays what it was.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from moltbot_gateway.agent_config import McpServer
from moltbot_gateway.conditions import Condition
from moltbot_gateway.models.base import Media
from moltbot_gateway.tools.base import MAX_PERSON_TEXT, Risk, Tool, ToolCall, ToolOutcome, failed
from moltbot_gateway.tools.mcp_child import McpChild, McpFailure, Offer, Place, RemoteTool, Result
from moltbot_gateway.tools.signatures import media_type_of
from moltbot_gateway.tools.untrusted import written_by_others
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

MCP_READY = "McpReady"
MAX_NAME = 64
# Characters of a result that the model gets, its frame aside.
MAX_CHARS = 28_000
# Seconds that the first turn waits for servers, and that a call may take.
WAIT_SECONDS = 10.0
CALL_SECONDS = 120.0
# Seconds before a broken server is started again: doubled each time, up to the last; after a run of this length it begins anew.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

log = get_logger("moltbot_gateway.mcp")


@dataclass
class _Server:
    """`child`: while it runs. `problem`: why it does not, for a person. `answered`: it has either come or failed once."""

    config: McpServer
    child: McpChild | None = None
    offer: Offer = field(default_factory=Offer)
    problem: str | None = None
    answered: bool = False


class McpServers:
    """`async with` it: what it started ends with it. `report` gets the condition whenever it changes."""

    def __init__(self, servers: Sequence[McpServer], place: Place, clock: Clock, report: Callable[[Condition], None]) -> None:
        self._servers = [_Server(config) for config in servers]
        self._place = place
        self._clock = clock
        self._report = report
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._condition: Condition | None = None

    async def __aenter__(self) -> McpServers:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(self) -> None:
        """Start the servers, once; returns at once."""
        if self._wanted.is_set() or not self._servers:
            return
        self._wanted.set()
        self._tasks = [self._group.create_task(self._keep(server)) for server in self._servers]
        self._tasks.append(self._group.create_task(self._wait_no_longer()))

    async def tools(self) -> tuple[Tool, ...]:
        """The tools of all servers, by name. The first time it starts them and waits at most WAIT_SECONDS."""
        self.start()
        if self._servers:
            await self._settled.wait()
        made = [self._tool(server, remote) for server in self._servers for remote in server.offer.tools]
        return tuple(sorted(made, key=lambda tool: tool.name))

    async def _wait_no_longer(self) -> None:
        await self._clock.sleep(WAIT_SECONDS)
        self._settled.set()

    async def _keep(self, server: _Server) -> None:
        """Keep one server running, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await self._run(server)
            except McpFailure as error:
                reason = str(error)
            except OSError as error:
                reason = f"it cannot be started ({error.strerror or error})"
            except Exception as error:  # the task's boundary: what nobody thought of must cost one server, not all
                log.exception("mcp server broke", server=server.config.name)
                reason = f"an error of the gateway's own ({type(error).__name__}; it is in the log)"
            if self._clock.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            # Its own words are for the condition: a log may go further than a person wants them to.
            log.warning("mcp server failed", server=server.config.name, retry_seconds=pause)
            self._tell(server, reason)
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self, server: _Server) -> None:
        """One life of a server. Raises McpFailure when it is over, OSError where it could not begin."""

        def changed(offer: Offer) -> None:
            server.offer = offer
            self._tell(server, None)

        child = await McpChild.start(server.config, self._place, changed)
        words = asyncio.create_task(child.listen_to_its_words())
        try:
            changed(await child.hello())
            server.child = child
            log.info("mcp server ready", server=server.config.name, tools=len(server.offer.tools))
            await child.follow()
        finally:
            server.child = None
            await child.end()
            words.cancel()
            await asyncio.wait((words,))

    def _tell(self, server: _Server, problem: str | None) -> None:
        server.problem, server.answered = problem, True
        if all(each.answered for each in self._servers):
            self._settled.set()
        problems = [f"{each.config.name}: {each.problem}" for each in self._servers if each.problem is not None]
        notes = [f"{each.config.name}: {words}" for each in self._servers for words in each.offer.left_out]
        if problems:
            condition = Condition(MCP_READY, "False", "McpServerFailed", "; ".join(problems))
        else:
            said = f"Left out: {'; '.join(notes)}" if notes else "All servers answer."
            condition = Condition(MCP_READY, "True", "McpServersAvailable", said)
        if condition != self._condition and all(each.answered for each in self._servers):
            self._condition = condition
            self._report(condition)

    def _tool(self, server: _Server, remote: RemoteTool) -> Tool:
        async def run(call: ToolCall) -> ToolOutcome:
            return await self._call(server, remote.name, call)

        return Tool(
            name=tool_name(server.config.name, remote.name),
            label=f"{server.config.name}: {remote.title or remote.name}"[:100],
            description=remote.description or remote.name,
            schema=remote.schema,
            run=run,
            risk=Risk.PROGRAMS if server.config.command else Risk.NETWORK,
            timeout=None,
            describe=lambda given: f"{server.config.name}: {remote.name} {json.dumps(given, ensure_ascii=False)}",
        )

    async def _call(self, server: _Server, name: str, call: ToolCall) -> ToolOutcome:
        child = server.child
        if child is None:
            return failed(
                f"The MCP server {server.config.name} does not run now ({server.problem}). It is started again by itself; try later."
            )
        try:
            result = await child.call(name, call.input, CALL_SECONDS, call.update)
        except McpFailure as error:
            return failed(f"The MCP server {server.config.name} failed: {error}.")
        return _outcome(server.config.name, result)


def tool_name(server: str, tool: str) -> str:
    """`mcp_<server>_<tool>` in letters that every provider takes, at most 64; what had to be changed for that carries a mark of its own,
    so that no two are the same."""
    name = f"mcp_{server}_{tool}"
    fitting = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    if fitting == name and len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:6]
    return f"{fitting[: MAX_NAME - 7]}_{mark}"


def _outcome(server: str, result: Result) -> ToolOutcome:
    texts: list[str] = []
    media: list[Media] = []
    for kind, held in result.pieces:
        picture = _picture(held) if kind == "image" else None
        if picture is not None:
            media.append(picture)
        else:
            texts.append(held if kind == "text" else "[a picture of a kind that cannot be looked at]")
    text = "\n\n".join(texts) or ("(a picture follows)" if media else "(no content)")
    if len(text) > MAX_CHARS:
        text = f"{text[:MAX_CHARS]}\n[cut: {len(text)} characters in all; ask the tool for less]"
    details: Mapping[str, object] = {"server": server, "characters": sum(map(len, texts)), "pictures": len(media)}
    return ToolOutcome(
        written_by_others(f"the MCP server {server}", text), text[:MAX_PERSON_TEXT], error=result.error, details=details, media=tuple(media)
    )


def _picture(data: str) -> Media | None:
    try:
        kind = media_type_of(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return None
    return Media(kind, data) if kind is not None and kind.startswith("image/") else None
