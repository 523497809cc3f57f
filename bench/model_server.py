"""The fake of the Messages API as a process of its own, so that its work and memory are not counted as ours.

It keeps only the newest requests (thousands of a long conversation would be gigabytes), and prints the newest body when a line comes in.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.anthropic_api import ApiError, FakeAnthropic, Plan, Recorded

KEY = "sk-ant-test-key"
# Requests that are kept: more than there are at once.
_KEPT = 8


class _Newest(list[Recorded]):
    def append(self, item: Recorded, /) -> None:
        super().append(item)
        del self[:-_KEPT]


class _Fake(FakeAnthropic):
    def _marked(self, body: dict[str, Any]) -> Plan | ApiError:
        """Who asks for a summary sends what was said, markers and all: those are no longer for this fake."""
        return super()._marked(body) if body.get("tools") else Plan("Everything was well. " * 40)


@dataclass
class ModelServer:
    """Where it listens; `last_body` asks for the newest request's body."""

    url: str
    process: asyncio.subprocess.Process

    async def last_body(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        body: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return body


@contextlib.asynccontextmanager
async def model_server(word_pause: float = 0.0) -> AsyncIterator[ModelServer]:
    """`word_pause`: seconds between the words of an answer."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.model_server", "--word-pause", str(word_pause)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 2**20,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError("the fake of the Messages API did not start")
        yield ModelServer(url, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve(word_pause: float) -> None:
    fake = _Fake(api_key=KEY, word_pause=word_pause, requests=_Newest())
    print(await fake.start(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(fake.requests[-1].body, ensure_ascii=False, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--word-pause", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args().word_pause))
