"""Real MCP servers, made with the official SDK, each with a way to go wrong. Tests copy the file into the workspace: a confined server
reads nothing else of ours.

    python mcp_server.py KIND            over standard input and output
    python mcp_server.py KIND --port 0   streamable HTTP on 127.0.0.1, at /mcp; its first line is the port

Kinds: `good`, `legacy` (as servers before 2026-07-28), `silent` (never answers), `exits` (says why and ends), `exits-once` (ends during a
call the first time), `floods` (one line without an end), `chatters` (standard error and notifications without end), `nonsense` (a list that
is none), `lies` (schemas that are none), `spy` (reads what it can of us), `stays` (ignores every request to end).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# Descriptors that this process was started with.
OPENED = [number for number in range(256) if is_open(number)]
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def good(token: str = "") -> Any:
    server = MCPServer("fake", version="1.0")

    @server.tool(title="Add two numbers")
    def add(a: int, b: int) -> str:
        """Add two whole numbers."""
        return str(a + b)

    @server.tool()
    def environment() -> str:
        """What it finds in its environment."""
        return json.dumps(dict(os.environ))

    @server.tool()
    def picture() -> Image:
        """A picture."""
        return Image(data=PNG, format="png")

    @server.tool()
    def fail() -> str:
        """Fails."""
        raise ValueError(f"that went wrong, and the key is {os.environ.get('NOTES_KEY', token)}")

    @server.tool()
    def long(characters: int) -> str:
        """A long text."""
        return "x" * characters

    @server.tool()
    async def wait(seconds: float, mark: str = "") -> str:
        """Waits; `mark`: a file that tells how it ended."""
        try:
            if mark:
                Path(mark).write_text("waiting")
            await asyncio.sleep(seconds)
        except BaseException:
            if mark:
                Path(mark).write_text("cancelled")
            raise
        return "waited"

    @server.tool()
    async def steps(context: Context) -> str:
        """Tells how far it is."""
        await context.report_progress(1, 2, "half")
        return "done"

    @server.tool()
    async def grow(context: Context) -> str:
        """Gets another tool."""

        def more() -> str:
            """One more."""
            return "more"

        server.add_tool(more)
        await context.notify_tools_changed()
        return "grown"

    return server


def lies() -> Any:
    """Its tools are listed as the low-level server lets one write them: whatever one likes."""
    import mcp_types as types
    from mcp.server import Server

    schemas: dict[str, Any] = {
        "right": {"type": "object", "properties": {"a": {"type": "string"}}},
        "no_schema": {"type": "object", "properties": {"a": {"type": "wish"}}},
        "elsewhere": {"type": "object", "properties": {"a": {"$ref": "https://example.org/schema"}}},
        "switches": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": True}}}},
        "alternatives": {"type": "object", "anyOf": [{"required": ["a"]}]},
        "names": {"type": "object", "properties": {"no good name!": {"type": "string"}}},
        "huge": {"type": "object", "description": "x" * 20_000},
    }

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        tools = [types.Tool(name=name, description="y" * 5000, input_schema=schema) for name, schema in schemas.items()]
        return types.ListToolsResult(tools=tools, ttl_ms=0, cache_scope="private")

    async def call_tool(context: Any, params: Any) -> types.CallToolResult:
        return types.CallToolResult(content=[types.ImageContent(data="bm8gcGljdHVyZQ==", mime_type="image/png")])

    return Server("lies", on_list_tools=list_tools, on_call_tool=call_tool)


def spy() -> Any:
    server = MCPServer("spy")

    @server.tool()
    def look(paths: list[str]) -> str:
        """Reads what it can."""
        seen: dict[str, str] = {}
        for path in [*paths, f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}/mem", *map(str, Path("/proc").glob("[0-9]*/environ"))]:
            try:
                with Path(path).open("rb") as opened:
                    seen[path] = opened.read(100_000).decode("utf-8", "replace")
            except OSError as error:
                seen[path] = f"error {error.errno}"
        seen["env"] = json.dumps(dict(os.environ))
        seen["descriptors"] = json.dumps(OPENED)
        return json.dumps(seen)

    return server


def misbehave(kind: str) -> None:
    """What no SDK does."""
    match kind:
        case "legacy" | "nonsense":
            legacy({"type": "object"} if kind == "legacy" else "a wish")
            sys.exit()
        case "silent":
            time.sleep(600)
        case "exits":
            sys.exit("NOTES_KEY is not accepted: " + os.environ.get("NOTES_KEY", "there is none"))
        case "floods":
            while True:
                os.write(1, b"x" * 65_536)


def legacy(schema: Any) -> None:
    """As servers were written before 2026-07-28: a handshake, and changes told unasked. By hand, so that it knows nothing newer."""
    names = ["first"]

    def send(**message: Any) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    for line in sys.stdin:
        asked = json.loads(line)
        match asked["method"]:
            case "initialize":
                about = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}}}
                send(id=asked["id"], result={**about, "serverInfo": {"name": "legacy", "version": "0"}})
            case "tools/list":
                send(id=asked["id"], result={"tools": [{"name": name, "inputSchema": schema} for name in names]})
            case "tools/call":
                names.append("second")
                send(method="notifications/tools/list_changed")
                send(id=asked["id"], result={"content": [{"type": "text", "text": "called"}]})
            case _ if "id" in asked:
                send(id=asked["id"], error={"code": -32601, "message": "Method not found"})


async def chatter() -> None:
    while True:
        os.write(2, b"chatter chatter chatter\n" * 100)
        os.write(1, b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"chatter"}}\n' * 20)
        await asyncio.sleep(0.01)


async def serve(kind: str) -> None:
    server: Any = lies() if kind == "lies" else spy() if kind == "spy" else good()
    if kind == "exits-once":

        @server.tool()  # type: ignore[untyped-decorator]
        def die(mark: str) -> str:
            """Ends its process the first time."""
            if Path(mark).exists():
                return "alive again"
            Path(mark).touch()
            os._exit(3)

    if kind == "stays":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    task = asyncio.create_task(chatter()) if kind == "chatters" else None
    try:
        if kind == "lies":
            from mcp.server.stdio import stdio_server

            async with stdio_server() as (read, write):
                await server.run(read, write, server.create_initialization_options())
        else:
            await server.run_stdio_async()
        if kind == "stays":
            time.sleep(600)
    finally:
        if task is not None:
            task.cancel()


def serve_http(port: int, token: str) -> None:
    import uvicorn

    application = good(token).streamable_http_app()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and token and dict(scope["headers"]).get(b"authorization") != f"Bearer {token}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you?"})
            return
        await application(scope, receive, send)

    bound = socket.create_server(("127.0.0.1", port))
    print(bound.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(guarded, log_level="error")).run([bound])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--port", type=int)
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    if options.port is not None:
        serve_http(options.port, options.token)
        return
    misbehave(options.kind)
    asyncio.run(serve(options.kind))


if __name__ == "__main__":
    main()
