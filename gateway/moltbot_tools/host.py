"""The host: takes requests from the gateway, starts a worker for each, passes on what workers say, and ends with everything it started.

One thread and one loop, so that forking is safe. It does no work itself: a request that hangs is a worker that hangs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
from dataclasses import dataclass, field

from moltbot_tools import worker
from moltbot_tools.background import Background, Shelf
from moltbot_tools.frames import MAX_FRAME, Asked, Params, ToolFault, line, parse
from moltbot_tools.processes import adopt_orphans, descendants, end_descendants, own_children

# Requests at once; programs in the background are counted by themselves.
MAX_WORKERS = 16
_CHUNK = 262_144


class _Over(Exception):
    """The gateway is gone, or says what is no frame."""


@dataclass
class _Job:
    """A worker, and whom it answers. `background`: its program runs on after the call."""

    asked: Asked
    process: int
    pipe: int
    background: Background | None = None
    buffer: bytearray = field(default_factory=bytearray)
    answered: bool = False


class Host:
    def __init__(self, setting: worker.Setting) -> None:
        self._setting = setting
        self._jobs: dict[int, _Job] = {}
        self._shelf = Shelf()
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray()

    def serve(self, hello: dict[str, object]) -> None:
        """Until the gateway closes its end. Everything that was started has ended when this returns."""
        adopt_orphans()
        wakeup, writer = os.pipe()
        for descriptor in (wakeup, writer, 0):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._selector.register(0, selectors.EVENT_READ, None)
        self._selector.register(wakeup, selectors.EVENT_READ, None)
        gc.freeze()  # a worker's garbage collector does not touch, and so copy, what it shares with us
        try:
            self._say({"hello": hello})
            while True:
                for key, _ in self._selector.select(self._shelf.serve()):
                    if key.fd == 0:
                        self._hear()
                    elif key.fd == wakeup:
                        _empty(wakeup)
                    elif isinstance(key.data, _Job):
                        self._pass_on(key.data)
                self._end_strays()
        except _Over:
            pass
        finally:
            end_descendants()

    # from the gateway

    def _hear(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise _Over
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            frame = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            try:
                asked = parse(frame)
            except (ValueError, RecursionError) as error:
                raise _Over from error
            self._carry_out(asked)
        if len(self._buffer) > MAX_FRAME:
            raise _Over

    def _carry_out(self, asked: Asked) -> None:
        try:
            match asked.op:
                case "cancel":
                    self._cancel(asked.params)
                case "poll":
                    self._shelf.poll(asked.params, lambda news: self._answer(asked.id, news))
                case "processes":
                    self._answer(asked.id, {"processes": self._shelf.rows()})
                case "tell":
                    self._shelf.get(asked.params.text("name")).tell(asked.params)
                    self._answer(asked.id, {})
                case "end":
                    self._end_background(asked)
                case worker.START:
                    self._start_background(asked)
                case op if op in worker.OPERATIONS:
                    if sum(job.background is None for job in self._jobs.values()) >= MAX_WORKERS:
                        raise ToolFault("denied", f"{MAX_WORKERS} calls are running already; wait for one of them")
                    self._add(_Job(asked, *worker.start(self._setting, asked)))
                case _:
                    raise ToolFault("invalid", "unknown operation")
        except ToolFault as fault:
            self._say({"id": asked.id, **fault.to_json()})
        except OSError as error:  # no more processes, no more descriptors
            self._say({"id": asked.id, **ToolFault("io", f"the tool could not start: {error.strerror}").to_json()})

    def _cancel(self, params: Params) -> None:
        """Ask a program's worker to end it, and kill one that works on files: it leaves nothing half done."""
        wanted = params.count("id", -1)
        for job in self._jobs.values():
            if job.asked.id == wanted and not job.answered:
                _kill(job.process, signal.SIGTERM if job.asked.op == worker.EXEC else signal.SIGKILL)

    def _start_background(self, asked: Asked) -> None:
        name = self._shelf.admit()
        reader, writer = os.pipe()
        try:
            process, pipe = worker.start(self._setting, asked, reader)
        except OSError:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        program = Background(name, asked.params.text("command"), process, writer)
        self._shelf.put(program)
        self._add(_Job(asked, process, pipe, program, answered=True))
        self._answer(asked.id, {"name": name})

    def _end_background(self, asked: Asked) -> None:
        program = self._shelf.get(asked.params.text("name"))
        if program.running:
            _kill(program.worker, signal.SIGTERM)
        self._answer(asked.id, program.row())

    # from workers

    def _add(self, job: _Job) -> None:
        self._jobs[job.process] = job
        self._selector.register(job.pipe, selectors.EVENT_READ, job)

    def _pass_on(self, job: _Job) -> None:
        try:
            data = os.read(job.pipe, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._over(job)
            return
        job.buffer += data
        while (end := job.buffer.find(b"\n")) >= 0:
            frame = bytes(job.buffer[:end])
            del job.buffer[: end + 1]
            self._relay(job, frame)

    def _relay(self, job: _Job, frame: bytes) -> None:
        if job.background is None:
            if len(frame) > MAX_FRAME - 64:
                frame = line(ToolFault("too-large", "the answer is too large").to_json()).rstrip()
            job.answered = job.answered or not frame.startswith(b'{"update"')
            _write(b'{"id":%d,%b\n' % (job.asked.id, frame[1:]))
            return
        said = json.loads(frame)
        if "update" in said:
            job.background.add(said["update"]["text"])
        else:
            job.background.ended(said.get("result") or {"ended": said["error"]["message"]})

    def _over(self, job: _Job) -> None:
        self._selector.unregister(job.pipe)
        os.close(job.pipe)
        del self._jobs[job.process]
        with contextlib.suppress(ChildProcessError):
            os.waitpid(job.process, 0)
        if job.background is not None and job.background.running:
            job.background.ended({"ended": "its watcher was killed"})
        if not job.answered:
            self._say({"id": job.asked.id, **ToolFault("ended", "it was ended before it was done").to_json()})

    def _end_strays(self) -> None:
        """Programs whose worker was killed have become our children: nobody watches them any more."""
        known = set(self._jobs)
        for child in own_children():
            if child not in known:
                for process in [*reversed(descendants(child)), child]:
                    _kill(process, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)

    # to the gateway

    def _answer(self, number: int, result: dict[str, object]) -> None:
        self._say({"id": number, "result": result})

    def _say(self, frame: dict[str, object]) -> None:
        _write(line(frame))


def _write(data: bytes) -> None:
    """Waits for a gateway that does not read: the workers wait as well then."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except BrokenPipeError as error:
        raise _Over from error


def _end(number: int, frame: object) -> None:
    raise _Over


def _kill(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _empty(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(descriptor, 512)
