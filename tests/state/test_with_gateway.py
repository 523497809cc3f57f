"""Both containers of a pod, as processes, over a sleep: the real gateway's database goes to the bucket and comes back (rules 5, 8, 9)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moltbot_state.layout import StateDir
from moltbot_trust.control import ControlClient, ControlError
from moltbot_trust.keys import GATEWAY_PURPOSES, Purpose
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, STATE_CONTROL_PORT, fingerprint_of
from tests.fakes.certificate import make_certificate
from tests.fakes.s3 import S3Server
from tests.state.pod import MASTER, UID, Process, environment

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="every pod has an address of its own in 127/8")
OPERATOR = MASTER.key_ring(frozenset({Purpose.OPERATOR_STATE, Purpose.OPERATOR_GATEWAY}), UID)
_pods = itertools.count(1)


@dataclass
class Pod:
    address: str
    uid: str
    state: Process
    gateway: Process

    def client(self, purpose: Purpose) -> ControlClient:
        port = STATE_CONTROL_PORT if purpose is Purpose.OPERATOR_STATE else GATEWAY_CONTROL_PORT
        fingerprint = fingerprint_of(make_certificate()[0])
        return ControlClient(f"https://{self.address}:{port}", fingerprint, OPERATOR, purpose, f"pod:{self.uid}", timeout_seconds=20)

    async def opened(self) -> dict[str, object]:
        """The gateway's report once it is open."""
        async with asyncio.timeout(60), self.client(Purpose.OPERATOR_GATEWAY) as client:
            while True:
                with contextlib.suppress(ControlError):
                    report = await client.get("/report")
                    if report["state"] == "open":
                        return report
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def start(s3: S3Server, prefix: str, state: StateDir) -> AsyncIterator[Pod]:
    number = next(_pods)
    address, uid = f"127.{77 + number}.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF or 1}", f"pod-{number}"
    common = environment(s3, prefix, state, MOLTBOT_POD_IP=address, MOLTBOT_POD_UID=uid, MOLTBOT_LISTEN_CONTROL_PORT="")
    control = f"https://{address}:{GATEWAY_CONTROL_PORT}"
    bucket = {name for name in common if "BUCKET" in name}
    own = bucket | {"MOLTBOT_GATEWAY_URL", "MOLTBOT_BACKUP_SECONDS", "MOLTBOT_FLUSH_SECONDS"}
    gateway = {name: value for name, value in common.items() if name not in own} | {
        "MOLTBOT_KEYS": MASTER.key_ring(GATEWAY_PURPOSES, UID).to_json(),
        "MOLTBOT_STATE_URL": f"https://{address}:{STATE_CONTROL_PORT}",
        "MOLTBOT_MODEL_ADAPTER": "demo",
    }
    it = Pod(address, uid, Process({**common, "MOLTBOT_GATEWAY_URL": control}), Process(gateway, "moltbot_gateway"))
    await it.state.start()
    await it.gateway.start()
    try:
        yield it
        # The stop order of a pod with a restartable init container: the gateway first, then the state container flushes.
        for process in (it.gateway, it.state):
            process.process.send_signal(signal.SIGTERM)
            assert await process.end() == 0, "".join(process.log)
    finally:
        for process in (it.gateway, it.state):
            await process.kill()


def tables(state: StateDir) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(state.database)
    try:
        names = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    finally:
        connection.close()


async def test_the_gateways_database_lives_from_pod_to_pod(s3: S3Server, prefix: str, state: StateDir, tmp_path: Path) -> None:
    async with start(s3, prefix, state) as first:
        report = await first.opened()
        assert report["lineage"] is None, "ephemeral, and no snapshot yet"
        async with first.client(Purpose.OPERATOR_STATE) as operator:
            made = await operator.post("/snapshot", {"reason": "scheduled"})
            assert made["result"] == "created"
            # The gateway knows that nothing was written since.
            assert (await operator.post("/snapshot", {"reason": "final"}))["result"] == "unchanged"
        (state.workspace / "notes").write_text("of the last moment")
    second_state = StateDir(tmp_path / "second")
    async with start(s3, prefix, second_state) as second:
        report = await second.opened()
        assert isinstance(report["lineage"], str) and report["sequence"] == 2, "with what the last flush took"
    assert (second_state.workspace / "notes").read_text() == "of the last moment"
    assert tables(second_state) == tables(state)
