"""What "hello" sends to the model with everything that a fresh assistant is offered: bytes of the request, part by part."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.gateway_client import SealedClient
from tests.gateway.pod import Pod, start

GOAL = 12_000


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


async def _sent() -> tuple[Mapping[str, Any], int]:
    """The request's body, and its length as it came over the wire."""
    fake = FakeAnthropic()
    await fake.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            environ = {"MOLTBOT_MODEL_ADAPTER": "anthropic", "MOLTBOT_MODEL_API_KEY": fake.api_key, "MOLTBOT_MODEL_BASE_URL": fake.url}
            async with start(Pod(Path(folder), environ=environ)) as live, SealedClient.connect(live.address) as client:
                await client.say("hello")
        request = fake.requests[-1]
        return request.body, int(request.headers["content-length"])
    finally:
        await fake.stop()


def main(runs: int) -> None:
    """Once, however many `runs`: it is the same each time."""
    body, whole = asyncio.run(_sent())
    lines = ["| part | bytes | of all |", "|---|---|---|"]
    parts = [("system prompt", _bytes(body["system"])), ("tools", _bytes(body["tools"])), ("messages", _bytes(body["messages"]))]
    parts += [(f"tool {tool['name']}", _bytes(tool)) for tool in sorted(body["tools"], key=_bytes, reverse=True)]
    lines += [f"| {name} | {size:,} | {size / whole:.0%} |" for name, size in parts]
    print("\n".join([*lines, f"| **all** | **{whole:,}** (goal < {GOAL:,}) | |"]))
