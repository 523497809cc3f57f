"""A thousand turns with tools through the real edge: what the gateway and its confined child hold, and what a turn of a long conversation
costs.

Each turn reads a file, runs a program and answers: three requests to the model. The gateway, the fake of the model's API and the child
are processes of their own. *several*: five conversations at once, each summarised by itself once it nears the window. *one*: a single
conversation that still fits its window when it ends, whose every request is longer than the one before. The processor time is the
gateway's own: neither the fake's nor the programs', and other work on the machine does not count.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gateway_process import children, descriptors, gateway, resident_of_children, threads
from bench.measure import processor_seconds, resident_mib
from bench.model_server import ModelServer, model_server
from tests.fakes.gateway_client import MAIN, SealedClient
from tests.gateway.pod import Process

TURNS = int(os.environ.get("BENCH_TURNS", "1000"))
SESSIONS = 5
LOOKED_AT = (50, 500, 1000)
# Of the conversation that is measured at its beginning and at its end: so many turns around each place.
AROUND = 20
PLACES = (50, 950)


@dataclass(frozen=True)
class Held:
    """What the processes hold after so many turns."""

    turns: int
    resident: float
    child: float
    descriptors: int
    threads: int
    processes: int


def _words(command: str) -> str:
    read, execute = json.dumps({"path": "notes.txt"}), json.dumps({"command": command})
    return f"[fake:call read {read}] [fake:then] [fake:call exec {execute}] [fake:then] All of it is well, and the program says so too."


def _held(process: Process, turns: int) -> Held:
    pid = process.process.pid
    return Held(turns, resident_mib(pid), resident_of_children(pid), descriptors(pid), threads(pid), len(children(pid)))


async def _turn(client: SealedClient, session: str, command: str) -> None:
    end = await client.wait_end(await client.send(_words(command), session=session))
    if end["state"] != "final":
        raise RuntimeError(f"a turn did not end well: {end}")
    client.events.clear()


async def _several(server: ModelServer, folder: Path) -> list[Held]:
    """A window of 200,000 tokens; each turn leaves some 2,500 in the conversation."""
    found: list[Held] = []
    done = 0
    async with gateway(server, folder, model="claude-haiku-4-5", agent={}) as process:
        (folder / "current/workspace/notes.txt").write_text("".join(f"{number} is a number.\n" for number in range(250)))

        async def talk(session: str, turns: int) -> None:
            nonlocal done
            async with SealedClient.connect(process.address) as client:
                for _ in range(turns):
                    await _turn(client, session, "seq 1 1000")
                    done += 1
                    if done in LOOKED_AT:
                        found.append(_held(process, done))

        async with asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(talk(f"agent:main:talk-{number}", TURNS // SESSIONS))
        summarised = sum('"conversation summarised"' in line for line in process.log)
        found.append(_held(process, done))
    print(f"{SESSIONS} conversations at once, summarised {summarised} times\n")
    return found


async def _one(server: ModelServer, folder: Path) -> tuple[list[Held], list[tuple[float, float]], int]:
    """What is held, seconds of the clock and of the gateway's processor for each turn, and bytes of the last request."""
    found: list[Held] = []
    costs: list[tuple[float, float]] = []
    async with gateway(server, folder, model="claude-sonnet-4-6", agent={}) as process:
        (folder / "current/workspace/notes.txt").write_text("a short note\n" * 10)
        async with SealedClient.connect(process.address) as client:
            for number in range(1, TURNS + 1):
                began, before = time.perf_counter(), processor_seconds(process.process.pid)
                await _turn(client, MAIN, "seq 1 50")
                costs.append((time.perf_counter() - began, processor_seconds(process.process.pid) - before))
                if number in LOOKED_AT:
                    found.append(_held(process, number))
        size = len(json.dumps(await server.last_body(), ensure_ascii=False, separators=(",", ":")))
    return found, costs, size


def _table(found: Sequence[Held]) -> str:
    lines = ["| turns | gateway | children | open files | threads | processes |", "|---|---|---|---|---|---|"]
    for held in found:
        row = (f"{held.turns:,}", f"{held.resident:.1f} MiB", f"{held.child:.1f} MiB", held.descriptors, held.threads, held.processes)
        lines.append("| " + " | ".join(str(cell) for cell in row) + " |")
    return "\n".join(lines)


def _costs(costs: Sequence[tuple[float, float]]) -> str:
    lines = ["| turn | clock | gateway's processor | × first |", "|---|---|---|---|"]
    first: float | None = None
    for place in PLACES:
        part = costs[place - AROUND // 2 : place + AROUND // 2]
        if not part:
            continue
        clock, processor = statistics.median(one for one, _ in part), statistics.mean(one for _, one in part)
        first = first or processor
        lines.append(f"| {place} | {clock * 1000:.0f} ms | {processor * 1000:.0f} ms | {processor / first:.2f} |")
    return "\n".join(lines)


async def _all() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with model_server() as server:
            print(_table(await _several(server, Path(folder) / "several")), flush=True)
        async with model_server() as server:
            found, costs, size = await _one(server, Path(folder) / "one")
    print(f"\none conversation, its last request {size / 1e6:.2f} MB\n\n{_table(found)}\n\n{_costs(costs)}")


def main(runs: int) -> None:
    """Once, however many `runs`: it takes minutes."""
    asyncio.run(_all())
