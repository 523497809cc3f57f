"""A gateway pod around the state container: its environment, keys, and a gateway that stages a real SQLite database."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from pathlib import Path

from aiohttp import web

from moltbot_state.errors import BackupFailed
from moltbot_state.layout import StateDir
from moltbot_trust.assertions import Assertion
from moltbot_trust.control import Call, ControlClient, JsonObject, control_application
from moltbot_trust.keys import BACKUP_PURPOSES, GATEWAY_PURPOSES, STATE_PURPOSES, KeyRing, MasterKeys, Purpose
from moltbot_trust.tls import fingerprint_of, server_context
from tests.fakes.certificate import make_certificate
from tests.fakes.s3 import ACCESS_KEY, SECRET_KEY, S3Server

MASTER = MasterKeys.generate()
UID, POD_UID = "uid-ada", "pod-1"
OPERATOR = MASTER.key_ring(frozenset({Purpose.OPERATOR_STATE}), UID)
BACKUP = MASTER.key_ring(BACKUP_PURPOSES, UID)
GATEWAY = MASTER.key_ring(GATEWAY_PURPOSES, UID)


class FakeGateway:
    """Owns the database as the gateway does: one exclusive connection, a change token, copies by the backup API."""

    def __init__(self, state: StateDir) -> None:
        self._state, self._writes = state, 0
        self._connection: sqlite3.Connection | None = None
        self.staged: list[tuple[str | None, bool]] = []
        self.gone = False

    def open(self) -> None:
        connection = sqlite3.connect(self._state.database, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA user_version=1")
        connection.execute("CREATE TABLE IF NOT EXISTS messages (text TEXT)")
        self._connection = connection

    def say(self, text: str) -> None:
        assert self._connection is not None
        self._connection.execute("INSERT INTO messages VALUES (?)", (text,))
        self._writes += 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.gone = True

    async def stage(self, stage_id: str, unless: str | None) -> tuple[str, str | None]:
        if self.gone or self._connection is None:
            raise BackupFailed("The gateway did not copy its database: it is gone")
        change = f"run.{self._writes}"
        self.staged.append((unless, unless != change))
        if unless == change:
            return change, None
        self._state.stage.mkdir(exist_ok=True)
        copy = sqlite3.connect(self._state.stage / f"{stage_id}.sqlite")
        self._connection.backup(copy)
        copy.close()
        return change, f"stage/{stage_id}.sqlite"

    async def serve(self) -> tuple[web.AppRunner, str]:
        """Its control server on a free port, and the URL."""

        async def stage(body: JsonObject, _caller: Assertion) -> JsonObject:
            unless = body.get("unless")
            change, path = await self.stage(str(body["id"]), unless if isinstance(unless, str) else None)
            return {"change": change, "path": path}

        call = Call("POST", "/stage", frozenset({Purpose.STATE_GATEWAY}), stage)
        application = control_application([call], GATEWAY, {Purpose.STATE_GATEWAY: f"pod:{POD_UID}"})
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(*make_certificate())).start()
        return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"


def environment(s3: S3Server, prefix: str, state: StateDir, **changes: str) -> dict[str, str]:
    """The container's environment. An empty value takes a variable out."""
    certificate, key = make_certificate()
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ}
    variables = {
        "MOLTBOT_NAME": "ada",
        "MOLTBOT_NAMESPACE": "team",
        "MOLTBOT_UID": UID,
        "MOLTBOT_POD_UID": POD_UID,
        "MOLTBOT_POD_IP": "127.0.0.1",
        "MOLTBOT_STATE_DIR": str(state.root),
        "MOLTBOT_KEYS": MASTER.key_ring(STATE_PURPOSES, UID).to_json(),
        "MOLTBOT_TLS_CERTIFICATE": certificate,
        "MOLTBOT_TLS_PRIVATE_KEY": key,
        "MOLTBOT_STORAGE": "ephemeral",
        "MOLTBOT_LOG_FORMAT": "json",
        "MOLTBOT_LOG_LEVEL": "debug",
        "MOLTBOT_BUCKET_ENDPOINT": s3.endpoint,
        "MOLTBOT_BUCKET_REGION": "us-east-1",
        "MOLTBOT_BUCKET_NAME": s3.bucket,
        "MOLTBOT_BUCKET_PREFIX": prefix,
        "MOLTBOT_BUCKET_ACCESS_KEY_ID": ACCESS_KEY,
        "MOLTBOT_BUCKET_SECRET_ACCESS_KEY": SECRET_KEY,
        "MOLTBOT_GATEWAY_URL": "https://127.0.0.1:1",
        "MOLTBOT_BACKUP_SECONDS": "300",
        "MOLTBOT_FLUSH_SECONDS": "30",
        "MOLTBOT_LISTEN_CONTROL_PORT": "0",
    }
    return {**inherited, **{name: value for name, value in {**variables, **changes}.items() if value}}


class Process:
    """The container as a process of its own; `log` is every line that it and its workers wrote."""

    def __init__(self, environ: dict[str, str], program: str = "moltbot_state") -> None:
        self._environ, self._program = environ, program
        self.log: list[str] = []
        self._new_line = asyncio.Event()

    async def start(self) -> None:
        root = Path(__file__).resolve().parents[2]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._program, env=self._environ, stderr=asyncio.subprocess.PIPE, cwd=root
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode())
            self._new_line.set()
        self._new_line.set()

    async def said(self, event: str, **fields: object) -> dict[str, object]:
        """The first log line of that event with those fields."""
        seen = 0
        async with asyncio.timeout(60):
            while True:
                for line in self.log[seen:]:
                    seen += 1
                    document = json.loads(line) if line.startswith("{") else {}
                    if document.get("event") == event and all(document.get(name) == value for name, value in fields.items()):
                        return dict(document)
                assert not self._reader.done(), "".join(self.log)
                self._new_line.clear()
                if seen == len(self.log):
                    await self._new_line.wait()

    async def client(self, ring: KeyRing, purpose: Purpose, audience: str = f"pod:{POD_UID}") -> ControlClient:
        port = (await self.said("listening"))["port"]
        return ControlClient(
            f"https://127.0.0.1:{port}", fingerprint_of(make_certificate()[0]), ring, purpose, audience, timeout_seconds=20
        )

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(60):
            code = await self.process.wait()
            await self._reader
        return code

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.end()
