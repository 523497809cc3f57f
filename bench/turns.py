"""A thousand turns with tools through the real edge: what the gateway and its confined child hold, and what a turn of a long conversation
costs.

Each turn reads a file, runs a program and answers: three requests to the model. The gateway, the fake of the model's API and the child
are processes of their own. *several*: five conversations at once, each summarised by itself once it nears the window. *one*: a single
conversation whose every request is longer than the one before, measured early and shortly before it is summarised for the number of its
messages. The processor time is the gateway's own: neither the fake's nor the programs', and other work on the machine does not count.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway_process import children, descriptors, gateway, resident_of_children, threads
from bench.measure import processor_seconds, resident_mib
from bench.model_server import ModelServer, model_server
from moltbot_gateway.chat.context import MAX_MESSAGES
from moltbot_gateway.store import conversations
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Connection, NewMessage
from tests.fakes.gateway_client import MAIN, SealedClient
from tests.gateway.pod import Process

TURNS = int(os.environ.get("BENCH_TURNS", "1000"))
SESSIONS = 5
LOOKED_AT = (50, 500, 1000)
# Seconds for one turn: the first one waits for the SDK, on a busy machine for long.
PATIENCE = 120.0
# Turns of the single conversation: this many are measured, around each of these places. It is summarised after the last one.
AROUND, WARM = 20, 3
PLACES = (50, 450)
MESSAGES_A_TURN = 6


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
    run = await client.send(_words(command), session=session)

    def is_end(event: Mapping[str, Any]) -> bool:
        return event["event"] == "chat" and event["payload"]["runId"] == run and event["payload"]["state"] in ("final", "error", "aborted")

    end = (await client.wait_for(is_end, PATIENCE))["payload"]
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
    print(f"{SESSIONS} conversations at once, summarised {summarised} times\n")
    return found


async def _one(server: ModelServer, folder: Path) -> list[tuple[int, float, float]]:
    """For each of `PLACES`: its number, and the clock's and the gateway's processor's seconds of a turn there. Between them the gateway is
    ended, and the conversation made longer in its database by what was said last."""
    found: list[tuple[int, float, float]] = []
    for place in PLACES:
        said = await _lengthen(folder / "current/moltbot.sqlite", place - AROUND // 2 - WARM) if found else 0
        async with gateway(server, folder, model="claude-sonnet-4-6", agent={}) as process:
            (folder / "current/workspace/notes.txt").write_text("a short note\n" * 10)
            async with SealedClient.connect(process.address) as client:
                while said < place - AROUND // 2 - WARM:
                    await _turn(client, MAIN, "seq 1 50")
                    said += 1
                for _ in range(WARM):
                    await _turn(client, MAIN, "seq 1 50")
                clocks, before = [], processor_seconds(process.process.pid)
                for _ in range(AROUND):
                    began = time.perf_counter()
                    await _turn(client, MAIN, "seq 1 50")
                    clocks.append(time.perf_counter() - began)
                worked = (processor_seconds(process.process.pid) - before) / AROUND
                found.append((place, statistics.median(clocks), worked))
    return found


async def _lengthen(path: Path, turns: int) -> int:
    """The main conversation has so many turns then, which it returns: those it has, again and again under other ids."""
    database = await Database.open(path)

    def write(db: Connection) -> int:
        session = conversations.ensure_session(db, MAIN, 0)
        messages = conversations.list_messages(db, session, limit=MAX_MESSAGES)
        had = sum(message.role == "user" for message in messages)
        for number in range(turns - had):
            begin = next(index for index, message in enumerate(messages) if message.role == "user") + number % had * MESSAGES_A_TURN
            for message in messages[begin : begin + MESSAGES_A_TURN]:
                detail = json.loads(json.dumps(message.detail).replace("toolu_", f"toolu_{number}x"))
                content = message.content and json.loads(json.dumps(message.content).replace("toolu_", f"toolu_{number}x"))
                new = NewMessage(message.role, message.text, detail, content)
                conversations.append_message(db, session, new, at_ms=message.at_ms, run_id=f"{number} {message.run_id}")
        return max(had, turns)

    try:
        return await database.write(write)
    finally:
        await database.close()


def _table(found: Sequence[Held]) -> str:
    lines = ["| turns | gateway | children | open files | threads | processes |", "|---|---|---|---|---|---|"]
    for held in found:
        row = (f"{held.turns:,}", f"{held.resident:.1f} MiB", f"{held.child:.1f} MiB", held.descriptors, held.threads, held.processes)
        lines.append("| " + " | ".join(str(cell) for cell in row) + " |")
    return "\n".join(lines)


def _costs(costs: Sequence[tuple[int, float, float]]) -> str:
    lines = ["| turn | clock | gateway's processor | × first |", "|---|---|---|---|"]
    for place, clock, processor in costs:
        lines.append(f"| {place} | {clock * 1000:.0f} ms | {processor * 1000:.0f} ms | {processor / costs[0][2]:.2f} |")
    return "\n".join(lines)


async def _all() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with model_server() as server:
            print(_table(await _several(server, Path(folder) / "several")), flush=True)
        async with model_server() as server:
            print(f"\none conversation\n\n{_costs(await _one(server, Path(folder) / 'one'))}")


def main(runs: int) -> None:
    """Once, however many `runs`: it takes minutes."""
    asyncio.run(_all())
