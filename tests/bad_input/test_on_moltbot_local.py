"""The table on `moltbot up`: the real operator, router, gateway and state container, all rows at once on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from moltbot_kube import Kube
from tests.bad_input.stage import PATIENCE, Stage, namespace_of, play
from tests.bad_input.table import TABLE, Row, Where
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.s3 import S3Server
from tests.lifecycle.test_on_moltbot_local import free_port

LOOP: Any = {"loop_scope": "module"}
pytestmark = [pytest.mark.asyncio(**LOOP), pytest.mark.xdist_group("bad-input"), pytest.mark.timeout(180)]
ROWS = [row for row in TABLE if Where.MACHINE in row.where]


@dataclass
class Machine:
    """`said`: what `moltbot up` tells its person."""

    kube: Kube
    port: int
    s3: S3Server
    claude: FakeAnthropic
    said: list[str]
    plays: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def stage(self, row: Row) -> Stage:
        port = self.claude.url.rpartition(":")[2]
        values = {
            "CLAUDE_CIDR": "127.0.0.1/32",
            "CLAUDE_PORT": port,
            "CLAUDE": self.claude.url,
            "S3": self.s3.endpoint,
            "BUCKET": self.s3.bucket,
        }
        return Stage(self.kube, namespace_of(row), values, self.port, self.s3.client())

    def begin(self, rows: list[Row]) -> None:
        """Play them all at once: waiting for one is then waiting for all."""
        for row in rows:
            self.plays[row.id] = asyncio.create_task(play(self.stage(row), row), name=row.id)


@contextlib.asynccontextmanager
async def up(home: Path) -> AsyncIterator[tuple[Path, int, list[str]]]:
    """`moltbot up` with nothing in it; (kubeconfig, the router's port, what it says)."""
    port, said = free_port(), list[str]()
    command = ["up", "--data-dir", str(home), "--port", str(port), "--admin-port", str(free_port())]
    kept: Mapping[str, str] = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "moltbot_cli",
        *command,
        env=kept,
        cwd=home.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    ready, output = asyncio.Event(), process.stdout

    async def follow() -> None:
        async for line in output:
            said.append(line.decode().rstrip())
            if "ready after" in said[-1]:
                ready.set()

    following = asyncio.create_task(follow())
    try:
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        yield home / "kubeconfig", port, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await following


@pytest_asyncio.fixture(scope="module", **LOOP)
async def machine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    claude = FakeAnthropic()
    await claude.start()
    wanted = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    with S3Server() as s3:
        async with up(tmp_path_factory.mktemp("bad-input") / "home") as (kubeconfig, port, said):
            async with await Kube.connect(str(kubeconfig)) as kube:
                machine = Machine(kube, port, s3, claude, said)
                machine.begin([row for row in ROWS if row.id in wanted])
                yield machine
                for task in machine.plays.values():
                    task.cancel()
                await asyncio.gather(*machine.plays.values(), return_exceptions=True)
    await claude.stop()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_mistake_is_told_with_what_mends_it_and_nothing_is_lost(machine: Machine, row: Row) -> None:
    """Rules 1, 4, 5, 8, 12."""
    await machine.plays[row.id]


async def test_no_mistake_ends_operator_or_router(machine: Machine) -> None:
    """Last of the module: after all that, neither was started a second time."""
    said = machine.said
    bad = [number for number, line in enumerate(said) if re.search(r"is not running|Traceback", line)]
    assert not bad, "\n".join(said[max(0, bad[0] - 5) : bad[0] + 40])
