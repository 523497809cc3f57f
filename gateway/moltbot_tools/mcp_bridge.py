"""`python -m moltbot_tools.mcp_bridge`: one MCP server, spoken to by the official SDK, in a process confined as the other tools are.

The gateway never imports the SDK (it brings 60 MB and a web framework), and what a server sends reaches it only as frames, JSON lines:

    in   {"server": {"command": […], "env": {…}} or {"url", "headers"}, "only": […]}         first of all
         {"id", "call": {"name", "arguments", "seconds"}}  ·  {"cancel": id}
    out  {"hello": {"tools": [{"name", "title", "description", "schema"}], "left_out": […]}}
         {"tools": […], "left_out": […]}                   when they change
         {"id", "update": text}  ·  {"id", "result": {"content": […], "error": bool}}  ·  {"id", "failed": text}
         {"failed": text}          the server cannot be used; the process ends

A server's own words on standard error go to ours, so that the gateway has its last ones. End of input ends the server and this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moltbot_tools.confinement import confine
from moltbot_tools.mcp_content import content_of, tools_of

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import Transport, TransportStreams

NOT_CONFINED = 3
# Seconds that a server has to start and to name its tools (`npx` may have to fetch it first).
START_SECONDS = 60.0
# Seconds for a sign of life.
CHECK_SECONDS = 15.0
MAX_FRAME = 8 * 2**20
# Writable memory of this process; the SDK gathers a server's line, however long, before it looks at it.
MAX_MEMORY = 224 * 2**20
# What stands between us and a server by stdio: it dies with us (prctl(2), PR_SET_PDEATHSIG), has its own bounds of memory, and says in one
# line when it cannot be started.
_LAUNCH = (
    "import ctypes,os,resource,sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9)\n"
    "hard = resource.getrlimit(resource.RLIMIT_DATA)[1]\n"
    "resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))\n"
    "try: os.execvp(sys.argv[1], sys.argv[1:])\n"
    "except OSError as error: sys.exit(f'{sys.argv[1]} cannot be started: {error.strerror}')\n"
)


class Bridge:
    """`out` is written by one frame at a time; a call is a task, and its end its frame."""

    def __init__(self, config: Mapping[str, Any], workspace: Path, frames: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        self._server = config["server"]
        self._only = frozenset(config.get("only") or ())
        self._workspace = workspace
        self._frames = frames
        self._out = out
        self._writing = asyncio.Lock()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        """Until the end of input. Raises what the SDK raises where the server cannot be used."""
        # An end of input before the first call, also while the server starts, breaks off whatever is under way, in order.
        first = asyncio.ensure_future(self._frames.readline())
        begun = asyncio.current_task()
        first.add_done_callback(lambda read: None if read.cancelled() or read.result() or begun is None else begun.cancel())
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(START_SECONDS):
                client = await stack.enter_async_context(self._client())
                tools = await self._list(client)
            await self._send({"hello": tools})
            async with asyncio.TaskGroup() as group:
                followers = [
                    group.create_task(self._follow(client)),
                    group.create_task(self._listen(client)),
                    group.create_task(self._watch()),
                ]
                await self._take(client, group, first)
                for task in (*followers, *self._calls.values()):
                    task.cancel()

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        from mcp import Client
        from mcp.client.stdio import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client
        from mcp_types import Implementation

        about = Implementation(name="moltbot", version="1")
        if "url" in self._server:
            import httpx2

            # Between two events of a stream a server may be silent for as long as a call takes.
            timeout = httpx2.Timeout(30.0, read=None)
            async with httpx2.AsyncClient(headers=self._server.get("headers"), timeout=timeout, trust_env=False) as http:
                transport = streamable_http_client(self._server["url"], http_client=http)
                async with Client(transport, client_info=about, message_handler=self._hear, cache=None) as client:
                    yield client
            return
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in os.environ}
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-I", "-S", "-c", _LAUNCH, *self._server["command"]],
            env={**own, **self._server.get("env", {})},
            cwd=self._workspace,
            encoding_error_handler="replace",
        )
        async with Client(self._watched(stdio_client(parameters)), client_info=about, message_handler=self._hear, cache=None) as client:
            yield client

    @contextlib.asynccontextmanager
    async def _watched(self, transport: Transport) -> AsyncIterator[TransportStreams]:
        """The same transport, and `_ended` is set when the server closes its output: the SDK only tells the next call."""
        async with transport as (read, write):
            import anyio

            into, out_of = anyio.create_memory_object_stream[Any](0)

            async def forward() -> None:
                async with into:
                    async for message in read:
                        await into.send(message)
                self._ended.set()

            async with anyio.create_task_group() as group:
                group.start_soon(forward)
                yield out_of, write
                group.cancel_scope.cancel()

    async def _watch(self) -> None:
        await self._ended.wait()
        # What was under way hears it from the SDK first.
        await asyncio.sleep(0.1)
        raise ConnectionError("it ended")

    async def _hear(self, message: object) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    async def _listen(self, client: Client) -> None:
        """Servers since 2026-07-28 tell changes only to who asks; older ones tell them unasked (`_hear`)."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        with contextlib.suppress(ListenNotSupportedError, SubscriptionLost, MCPError):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._changed.set()

    async def _follow(self, client: Client) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with asyncio.timeout(START_SECONDS):
                tools = await self._list(client)
            await self._send(tools)

    async def _list(self, client: Client) -> dict[str, object]:
        listed: list[Any] = []
        cursor: str | None = None
        for _ in range(20):
            page = await client.list_tools(cursor=cursor)
            listed += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        return tools_of(listed, self._only)

    async def _take(self, client: Client, group: asyncio.TaskGroup, first: asyncio.Future[bytes]) -> None:
        """Frames of the gateway, which is trusted: a wrong one is a fault and ends the process."""
        line = await first
        while line:
            frame = json.loads(line)
            if "cancel" in frame:
                task = self._calls.get(frame["cancel"])
                if task is not None:
                    task.cancel()
            else:
                number = frame["id"]
                self._calls[number] = group.create_task(self._call(client, number, frame["call"]))
            line = await self._frames.readline()

    async def _call(self, client: Client, number: int, call: Mapping[str, Any]) -> None:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            await self._send({"id": number, "update": f"{share}: {message[:500]}" if message else share})

        try:
            async with asyncio.timeout(call["seconds"]):
                result = await client.call_tool(call["name"], call["arguments"], progress_callback=progress)
            await self._send({"id": number, "result": {"content": content_of(result), "error": result.is_error}})
        except TimeoutError:
            await self._send({"id": number, "failed": f"it took longer than {call['seconds']:g} seconds"})
        except Exception as error:  # noqa: BLE001 - a tool's boundary: whatever the SDK makes of a server's answer is an answer of one line
            await self._send({"id": number, "failed": _words(error)})
            await self._check(client)
        finally:
            self._calls.pop(number, None)

    async def _check(self, client: Client) -> None:
        """After a failed call: a server that cannot even name its tools (gone, or it no longer knows this session) is begun anew."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await client.list_tools()
        except Exception as error:
            raise ConnectionError("it no longer answers") from error

    async def _send(self, frame: Mapping[str, object]) -> None:
        data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        if len(data) > MAX_FRAME:
            data = json.dumps({"id": frame.get("id"), "failed": "its answer is too large"}).encode() + b"\n"
        async with self._writing:
            self._out.write(data)
            await self._out.drain()


def _words(error: BaseException) -> str:
    """The innermost of what went wrong, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:500]


async def _serve(workspace: Path) -> int:
    loop = asyncio.get_running_loop()
    frames = asyncio.StreamReader(limit=MAX_FRAME)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(frames), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    out = asyncio.StreamWriter(transport, protocol, None, loop)
    bridge = Bridge(json.loads(await frames.readline()), workspace, frames, out)
    try:
        await bridge.serve()
    except asyncio.CancelledError:
        return 0
    except TimeoutError:
        return _give_up("it did not answer in time")
    except Exception as error:  # noqa: BLE001 - the process's boundary: the gateway tells the person
        return _give_up(_words(error))
    return 0


def _give_up(reason: str) -> int:
    sys.stdout.buffer.write(json.dumps({"failed": reason}).encode() + b"\n")
    sys.stdout.buffer.flush()
    return 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="moltbot_tools.mcp_bridge")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--unconfined", action="store_true", help="a person's word that the pod is the boundary")
    parser.add_argument("--required", action="store_true", help="start nothing where the kernel cannot confine it")
    options = parser.parse_args(arguments)
    workspace = Path(os.path.realpath(options.workspace))
    # The SDK logs what a server sent wrong; those are not our words to write.
    logging.disable(logging.CRITICAL)
    try:
        holds = confine(workspace, wanted=not options.unconfined)
    except OSError as error:
        return _give_up(f"it cannot be confined ({error})")
    if options.required and not holds.confined:
        return _give_up("this kernel cannot confine it (no Landlock), and unconfined it is not started")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, hard))
    return asyncio.run(_serve(workspace))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
