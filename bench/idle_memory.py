"""Resident memory of a gateway that has answered, and of what it started: the confined child, and the process that speaks to an MCP server.

The floor is a Python that does nothing. Shared pages count in each process that has them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gateway_process import children, gateway
from bench.measure import in_turn, resident_mib, table
from bench.model_server import model_server
from tests.fakes.gateway_client import SealedClient

ROOT = Path(__file__).resolve().parent.parent
FLOOR = "a Python that waits"
# Seconds in which a process that has just answered comes to rest.
REST = 2.0
Figures = dict[str, tuple[float, str]]


def _floor() -> Figures:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            return {"resident": (_at_rest(process.pid), "MiB")}
        finally:
            process.kill()


def _at_rest(pid: int) -> float:
    time.sleep(REST)
    return resident_mib(pid)


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


async def _resident(command: str, agent: dict[str, object], said: str) -> float:
    """Of the gateway after one turn, or of its child whose command line has `command`."""
    with tempfile.TemporaryDirectory() as folder:
        async with model_server() as server, gateway(server, Path(folder), model="claude-haiku-4-5", agent=agent) as process:
            (Path(folder) / "current/workspace/mcp_server.py").write_text((ROOT / "tests/fakes/mcp_server.py").read_text())
            async with SealedClient.connect(process.address) as client:
                await client.say(said)
            await asyncio.sleep(REST)
            pid = process.process.pid
            found = [child for child in children(pid) if command in _command_line(child)] if command else [pid]
            return resident_mib(found[0])


def _subject(command: str, agent: dict[str, object], said: str) -> Figures:
    return {"resident": (asyncio.run(_resident(command, agent, said)), "MiB")}


def main(runs: int) -> None:
    server: dict[str, object] = {"name": "fake", "command": [sys.executable, "mcp_server.py", "good"], "env": []}
    subjects = [
        (FLOOR, _floor),
        ("gateway after one turn", lambda: _subject("", {}, "hello")),
        ("confined child after one call", lambda: _subject("host", {}, "[fake:call list] Good.")),
        (
            "process for an MCP server",
            lambda: _subject("mcp_bridge", {"mcpServers": [server]}, '[fake:call fake_add {"a": 1, "b": 2}] Good.'),
        ),
    ]
    print(table(in_turn(subjects, min(runs, 3)), floor=FLOOR))
