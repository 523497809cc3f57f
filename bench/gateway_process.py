"""A gateway as a process of its own with the fake of the Messages API for a model, as the turns and answers of `bench` need it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bench.measure import resident_mib
from bench.model_server import KEY, ModelServer
from tests.gateway.pod import Pod, Process


@contextlib.asynccontextmanager
async def gateway(server: ModelServer, folder: Path, *, model: str, agent: Mapping[str, object]) -> AsyncIterator[Process]:
    """Opened, ended with the block. Programs run without being asked about: `agent` is laid over that."""
    environ = {
        "MOLTBOT_MODEL_ADAPTER": "anthropic",
        "MOLTBOT_MODEL_NAME": model,
        "MOLTBOT_MODEL_API_KEY": KEY,
        "MOLTBOT_MODEL_BASE_URL": server.url,
        "MOLTBOT_AGENT": json.dumps({"programs": "allow", **agent}),
    }
    process = await Process.start(Pod(folder, environ=environ))
    try:
        await _until_open(process)
        yield process
    finally:
        await process.terminate()


async def _until_open(process: Process) -> None:
    async with asyncio.timeout(20), process.address.control() as control:
        while (await control.get("/report"))["state"] != "open":
            await asyncio.sleep(0.02)


def descriptors(pid: int) -> int:
    """Open files, sockets and pipes of a process (Linux)."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Threads of a process (Linux)."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children(pid: int) -> list[int]:
    """Processes that it started and that still run (Linux)."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(one) for one in (task / "children").read_text().split()]
    return found


def resident_of_children(pid: int) -> float:
    """MiB of all of them together; pages that they share with each other counted in each."""
    total = 0.0
    for child in children(pid):
        with contextlib.suppress(OSError):
            total += resident_mib(child)
    return total
