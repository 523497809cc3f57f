"""The asyncio end of the launcher: start a process, signal it, learn how it ended."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A process that its parent left behind gets so long between SIGTERM and SIGKILL: enough to commit a turn, short enough for the next start.
ORPHAN_GRACE_SECONDS = 10.0
# A start order carries a whole environment, certificates included.
LINE_BYTES = 4 << 20


@dataclass(frozen=True)
class Exit:
    """How a process ended. `signal` is 0 unless one ended it; `code` is then 128 + signal, as container runtimes report it."""

    code: int
    signal: int


class CannotStart(Exception):
    """The program could not be executed; the message is the system's."""


class Process:
    def __init__(self, launcher: "Launcher", name: str) -> None:
        self._launcher, self.name, self.pid = launcher, name, 0
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def terminate(self) -> None:
        self._launcher.signal(self.name, signal.SIGTERM, group=False)

    def kill(self) -> None:
        """The whole process group, at once."""
        self._launcher.signal(self.name, signal.SIGKILL, group=True)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.exit)


class Launcher:
    """One launcher process and what it runs. Use `open_launcher`."""

    def __init__(self, channel: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        self._channel, self._process = channel, process
        self._running: dict[str, Process] = {}
        self.ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_waiting: Callable[[str], None] = lambda _: None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=self._channel, limit=LINE_BYTES)
        self._reading = asyncio.create_task(self._read(reader), name="launcher")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass
        finally:
            # The launcher is gone, and by its parent-death signal what it had started.
            for process in list(self._running.values()):
                self._finish(process, Exit(128 + signal.SIGKILL, signal.SIGKILL))
            if not self.ready.done():
                self.ready.set_exception(CannotStart("the launcher of processes ended before it was ready"))
                self.ready.exception()  # somebody may wait for it, or nobody
            if not self.ended.done():
                self.ended.set_result(None)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready.set_result(message["ready"])
        elif "waiting" in message:
            self.on_waiting(message["waiting"])
        elif "started" in message:
            process = self._running[message["started"]["id"]]
            process.pid = message["started"]["pid"]
            if not process.started.done():  # its starter may have been cancelled
                process.started.set_result(process.pid)
        elif "failed" in message:
            process = self._running.pop(message["failed"]["id"])
            if not process.started.done():
                process.started.set_exception(CannotStart(message["failed"]["message"]))
            process.exit.cancel()
        elif "exited" in message:
            process = self._running[message["exited"]["id"]]
            self._finish(process, Exit(message["exited"]["code"], message["exited"]["signal"]))

    def _finish(self, process: Process, how: Exit) -> None:
        self._running.pop(process.name, None)
        if not process.started.done():
            process.started.set_exception(CannotStart("the launcher of processes has ended"))
            process.started.exception()
        if not process.exit.done():
            process.exit.set_result(how)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self.ended.done():
            self._writer.write(json.dumps(message).encode() + b"\n")

    def signal(self, name: str, number: int, *, group: bool) -> None:
        self._send({"signal": {"id": name, "signal": int(number), "group": group}})

    async def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> Process:
        """Start a program; `name` is unique among what runs. Its output goes to `log`, appended.

        Raises CannotStart. When cancelled, the process may run already: it stays known to the launcher and ends with it.
        """
        await asyncio.shield(self.ready)
        if self.ended.done():
            raise CannotStart("the launcher of processes has ended")
        if name in self._running:
            raise CannotStart(f"{name} runs already")
        process = self._running[name] = Process(self, name)
        self._send({"start": {"id": name, "argv": list(argv), "env": dict(env), "cwd": str(cwd), "log": str(log)}})
        await process.started
        return process

    async def close(self) -> None:
        """End everything that runs (SIGTERM, then SIGKILL) and wait until it is gone."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.write_eof()
        await asyncio.shield(self.ended)
        if self._reading is not None:
            await self._reading
        if self._writer is not None:
            self._writer.close()
        await asyncio.to_thread(self._process.wait)


async def open_launcher(lock: Path, *, orphan_grace: float = ORPHAN_GRACE_SECONDS) -> Launcher:
    """Start the launcher. `launcher.ready` is set once nothing of an earlier run holds `lock`."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = Path(__file__).with_name("launcher.py")
        process = subprocess.Popen(
            # Isolated and without site packages: 11 MiB and 30 ms.
            [sys.executable, "-I", "-S", str(program), str(theirs.fileno()), str(lock), str(orphan_grace)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
        )
    ours.setblocking(False)
    launcher = Launcher(ours, process)
    await launcher.open()
    return launcher
