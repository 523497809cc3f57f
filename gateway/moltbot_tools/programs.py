"""Running one program in a worker of its own: started, watched, and ended with everything that came from it.

The worker is the subreaper of what it starts, and is told when the host ends, so nothing outlives them. The program runs in a domain of
its own: it can signal neither the worker nor the host nor another call's programs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moltbot_tools import landlock
from moltbot_tools.confinement import limit_memory
from moltbot_tools.output import Output
from moltbot_tools.processes import adopt_orphans, alone_with_its_own, end_descendants, end_with_parent, load, reap

Send = Callable[[dict[str, object]], None]

DEFAULT_TIMEOUT, MAX_TIMEOUT = 120.0, 1800.0
# A fork bomb, as opposed to a large build. Processes of one call.
MAX_PROCESSES = 256
# A flood, as opposed to a talkative build (bytes of one call). What runs in the background is slowed down instead, to bytes a second.
MAX_OUTPUT = 64 * 2**20
BACKGROUND_RATE = 256 * 2**10
# Free space of the workspace's volume below which a program that fills it is ended: the database lives there too (bytes).
LEAST_FREE = 128 * 2**20
# Seconds between looks at what the program uses, and between what is shown of a running one.
_WATCH, _SHOW = 0.05, 0.3
_SHOWN = 4000
_CHUNK = 65536
# The gateway answers people, and we watch, while a program uses all of the processor: hundreds of a fork bomb's processes together must not
# keep us from the look that ends it. In a container with a memory limit they fill it otherwise, and the kernel ends the gateway first.
_NICE = 19


@dataclass(frozen=True)
class Program:
    """What to run. `timeout` seconds, None: until it ends. `memory`: bytes of all its processes. `stdin`: a descriptor, None: nothing."""

    command: str
    directory: Path
    environment: Mapping[str, str]
    timeout: float | None
    memory: int
    abi: int
    stdin: int | None = None


def run(program: Program, send: Send, host: int) -> dict[str, object]:
    """Run it to its end and say how it went: `{exitCode, signal, output, bytes, truncated, binary, durationMs, ended, left}`. `ended`: why
    it was ended, empty when it ended by itself; `left`: processes that were still there. In the background (`timeout` None) its output
    goes to `send` as it comes."""
    return _Run(program, send, host).to_end()


class _Run:
    def __init__(self, program: Program, send: Send, host: int) -> None:
        self._program, self._send = program, send
        self._output = Output()
        self._background = program.timeout is None
        self._status: int | None = None
        self._ended = ""
        self._began = self._shown = self._watched = time.monotonic()
        self._free_at_first = _free(program.directory)
        self._wakeup, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._cancelled)
        adopt_orphans()
        end_with_parent(host)
        self._alone = alone_with_its_own(program.abi, host)
        self._reader, self._main = _start(program)

    def _cancelled(self, number: int, frame: object) -> None:
        self._ended = self._ended or "cancelled"

    def to_end(self) -> dict[str, object]:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        open_pipe = True
        while self._status is None and not self._ended:
            for descriptor, _ in poll.poll(_WATCH * 1000):
                if descriptor == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup, 512)
                elif open_pipe and not self._take():
                    open_pipe = False
                    poll.unregister(self._reader)
            reap(self._waited)
            self._watch()
        left = end_descendants(0 if "many processes" in self._ended else 2.0, waited=self._waited, alone=self._alone)
        while open_pipe and self._output.total <= MAX_OUTPUT and self._take():
            pass
        os.close(self._reader)
        return self._result(left)

    def _take(self) -> bool:
        """What is in the pipe now; False at its end, or when nothing is there."""
        try:
            data = os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return self._status is None and not self._ended
        if not data:
            return False
        self._output.add(data)
        if self._background:
            self._send({"update": {"text": data.decode("utf-8", "replace")}})
            time.sleep(len(data) / BACKGROUND_RATE)
        elif self._output.total > MAX_OUTPUT:
            self._ended = self._ended or f"it wrote more than {MAX_OUTPUT // 2**20} MiB"
        return True

    def _waited(self, process: int, status: int) -> None:
        if process == self._main:
            self._status = status

    def _watch(self) -> None:
        now = time.monotonic()
        timeout = self._program.timeout
        if timeout is not None and now - self._began > timeout:
            self._ended = self._ended or f"it took longer than {timeout:g} s"
        if not self._background and now - self._shown >= _SHOW and self._output.total:
            self._shown = now
            self._send({"update": {"text": self._output.end(_SHOWN)}})
        if now - self._watched < _WATCH:
            return
        used = load(os.getpid(), MAX_PROCESSES)
        self._watched = time.monotonic()
        if used.processes > MAX_PROCESSES:
            self._ended = self._ended or f"it started too many processes (more than {MAX_PROCESSES})"
        elif used.memory > self._program.memory:
            self._ended = self._ended or f"it used more than {self._program.memory // 2**20} MiB of memory"
        elif _free(self._program.directory) < LEAST_FREE < self._free_at_first:
            self._ended = self._ended or "it filled the disk"

    def _result(self, left: int) -> dict[str, object]:
        code = os.waitstatus_to_exitcode(self._status) if self._status is not None else None
        by_signal = signal.Signals(-code).name if code is not None and code < 0 and -code in list(signal.Signals) else ""
        return {
            "exitCode": code if code is None or code >= 0 else None,
            "signal": by_signal,
            "output": "" if self._background else self._output.text(),
            "bytes": self._output.total,
            "truncated": 0 if self._background else self._output.left_out,
            "binary": self._output.binary,
            "durationMs": round((time.monotonic() - self._began) * 1000),
            "ended": self._ended,
            "left": 0 if self._ended else left,
        }


def _free(directory: Path) -> int:
    try:
        found = os.statvfs(directory)
    except OSError:
        return LEAST_FREE
    return found.f_bavail * found.f_frsize


def _start(program: Program) -> tuple[int, int]:
    """Descriptor of its output, and its process."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    process = os.fork()
    if process:
        for descriptor in (writer, nothing):
            os.close(descriptor)
        if program.stdin is not None:
            os.close(program.stdin)
        return reader, process
    try:
        os.setsid()
        os.dup2(program.stdin if program.stdin is not None else nothing, 0)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.closerange(3, 1024)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.nice(_NICE)
        limit_memory(program.memory)
        os.chdir(program.directory)
        landlock.separate_signals(program.abi)
        os.execve("/bin/sh", ["sh", "-c", program.command], dict(program.environment))  # noqa: S606 - it is the shell
    except BaseException as error:  # noqa: BLE001 - this process must not go on as a second worker
        os.write(2, f"the program could not be started: {error}\n".encode())
    finally:
        os._exit(127)
