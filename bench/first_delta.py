"""From sending a message to the first words of the answer: what the gateway adds over the model's own first byte.

The floor is a bare client that sends the very request that the gateway sent (the system prompt, all tools) to the same fake over a
connection that is open already, and waits for the first text: once with aiohttp, once with the Anthropic SDK that the gateway uses. All
in turn, in one run. A percentile is over all counted messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import anthropic

from bench.gateway_process import gateway
from bench.model_server import KEY, ModelServer, model_server
from tests.fakes.gateway_client import SealedClient

MODEL = "claude-haiku-4-5"
MESSAGES = int(os.environ.get("BENCH_MESSAGES", "60"))
WARM_UP = 5
GOAL_MS = 20
Once = Callable[[int], Awaitable[float]]


@contextlib.asynccontextmanager
async def _by_aiohttp(server: ModelServer, body: Mapping[str, Any]) -> AsyncIterator[Once]:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    async with aiohttp.ClientSession(headers=headers) as session:

        async def once(number: int) -> float:
            began, took = time.perf_counter(), 0.0
            async with session.post(f"{server.url}/v1/messages", data=data) as answer:
                async for line in answer.content:
                    if not took and b'"text_delta"' in line:
                        took = time.perf_counter() - began
            return took

        yield once


@contextlib.asynccontextmanager
async def _by_sdk(server: ModelServer, body: Mapping[str, Any]) -> AsyncIterator[Once]:
    headers: dict[str, Any] = {"Authorization": anthropic.Omit()}
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, default_headers=headers) as client:

        async def once(number: int) -> float:
            began, took = time.perf_counter(), 0.0
            async with await client.messages.create(**{**body, "stream": True}, extra_headers={"x-api-key": KEY}) as stream:
                async for event in stream:
                    if not took and event.type == "content_block_delta" and event.delta.type == "text_delta":
                        took = time.perf_counter() - began
            return took

        yield once


def _by_gateway(client: SealedClient) -> Once:
    async def once(number: int) -> float:
        """A conversation of its own each time, so that every request is as long as the floor's."""
        client.events.clear()
        began = time.perf_counter()
        run = await client.send("hello", session=f"agent:main:talk-{number}")
        await client.wait_delta(run)
        took = time.perf_counter() - began
        await client.wait_end(run)
        return took

    return once


async def _measure() -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(model_server(word_pause=0.005))
            process = await stack.enter_async_context(gateway(server, Path(folder), model=MODEL, agent={}))
            client = await stack.enter_async_context(SealedClient.connect(process.address))
            await client.say("hello")
            body = await server.last_body()
            subjects = {
                "aiohttp client (floor)": await stack.enter_async_context(_by_aiohttp(server, body)),
                "Anthropic SDK": await stack.enter_async_context(_by_sdk(server, body)),
                "gateway": _by_gateway(client),
            }
            for number in range(WARM_UP + MESSAGES):
                for name, once in subjects.items():
                    took = await once(number) * 1000
                    if number >= WARM_UP:
                        found.setdefault(name, []).append(took)
    return found


def main(runs: int) -> None:
    """`MESSAGES` of each in turn, however many `runs`."""
    found = asyncio.run(_measure())
    floor = next(iter(found.values()))
    lines = ["| what | quickest quarter | median | 95 % | beyond the floor |", "|---|---|---|---|---|"]
    for name, values in found.items():
        figures = [_part(values, part) for part in (0.25, 0.5, 0.95)]
        over = [one - _part(floor, part) for one, part in zip(figures, (0.25, 0.5, 0.95), strict=True)]
        beyond = " · ".join(f"{one:.1f}" for one in over)
        lines.append(f"| {name} | " + " | ".join(f"{one:.1f} ms" for one in figures) + f" | {beyond} ms |")
    print("\n".join(lines) + f"\n\ngoal: at most {GOAL_MS} ms beyond the floor")


def _part(values: list[float], part: float) -> float:
    """The value that so great a part of them does not exceed."""
    return statistics.quantiles(values, n=100)[round(part * 100) - 1]
