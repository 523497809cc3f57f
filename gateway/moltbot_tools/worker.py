"""A worker: a fork of the host that carries out one request, tells the host through a pipe, and ends. Whatever a request does to it, hangs
it, floods it or eats its memory, it can be killed, and nothing else notices."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moltbot_tools import reading, search, writing
from moltbot_tools.confinement import limit_memory
from moltbot_tools.frames import Asked, Params, ToolFault, line
from moltbot_tools.paths import Places, directory
from moltbot_tools.processes import end_with_parent
from moltbot_tools.programs import DEFAULT_TIMEOUT, MAX_TIMEOUT, Program, run

# Writable memory of a worker that reads and writes files (bytes).
_FILE_MEMORY = 512 * 2**20

_FILES: Mapping[str, Callable[[Places, Params], dict[str, object]]] = {
    "read": reading.read,
    "list": reading.list_directory,
    "search": search.search,
    "write": writing.write,
    "edit": writing.edit,
}
# A program in the foreground, and one in the background.
EXEC, START = "exec", "start"
OPERATIONS = frozenset({*_FILES, EXEC, START})


@dataclass(frozen=True)
class Setting:
    """What every worker of a host has in common. `memory`: bytes of one call's programs. `host`: its process."""

    places: Places
    environment: Mapping[str, str]
    memory: int
    abi: int
    host: int


def start(setting: Setting, asked: Asked, stdin: int | None = None) -> tuple[int, int]:
    """Process of the worker and the descriptor from which its frames are read. `stdin` is the program's."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        os.set_blocking(reader, False)
        return process, reader
    try:
        end_with_parent(setting.host, signal.SIGKILL)
        _only(writer, stdin)
        _work(setting, asked, writer, stdin)
    finally:
        os._exit(0)


def _only(writer: int, stdin: int | None) -> None:
    """Nothing of the host's is open here: neither the gateway's pipes nor those of other workers."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    kept = sorted({writer, *(() if stdin is None else (stdin,))})
    for first, last in zip([3, *(one + 1 for one in kept)], [*kept, 4096], strict=True):
        os.closerange(first, last)


def _work(setting: Setting, asked: Asked, writer: int, stdin: int | None) -> None:
    def send(frame: dict[str, object]) -> None:
        data = memoryview(line(frame))
        while data:
            data = data[os.write(writer, data) :]

    try:
        if asked.op in _FILES:
            limit_memory(_FILE_MEMORY)
            answer = _FILES[asked.op](setting.places, asked.params)
        else:
            answer = run(_program(setting, asked, stdin), send, setting.host)
        send({"result": answer})
    except ToolFault as fault:
        send(fault.to_json())
    except MemoryError:
        send(ToolFault("too-large", "it needs more memory than a tool may use").to_json())
    except Exception as error:  # noqa: BLE001 - the edge of a worker: whatever went wrong is an answer
        where = traceback.extract_tb(error.__traceback__)[-1]
        send(ToolFault("io", f"the tool failed: {error} ({where.name}:{where.lineno})").to_json())


def _program(setting: Setting, asked: Asked, stdin: int | None) -> Program:
    params = asked.params
    command = params.text("command")
    if not command.strip() or "\0" in command:
        raise ToolFault("invalid", "command is empty or has a NUL character in it")
    environment = {**params.texts("env"), **setting.environment}
    timeout = max(0.1, min(params.number("timeout", DEFAULT_TIMEOUT), MAX_TIMEOUT)) if asked.op == EXEC else None
    place = directory(setting.places, params.text("cwd", ""))
    return Program(command, place, environment, timeout, setting.memory, setting.abi, stdin)
