"""The client of the confined child: starts it when the first tool needs it, asks it, and starts another when it is gone.

What comes from the child is hostile input: whoever runs programs in there may have taken it over. A line that is no frame, or too long,
ends the child and with it the calls that were running, each with an answer; nothing else notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moltbot_gateway.errors import GatewayError
from moltbot_gateway.tools.own_program import own_program
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.tools")

# Bytes of one line, both ways.
MAX_FRAME = 8 * 2**20
# Seconds: until the child says that it is ready; for its programs to end after a cancel (SIGTERM, then SIGKILL); for itself at the end.
START_PATIENCE, CANCEL_PATIENCE, END_PATIENCE = 20.0, 6.0, 5.0
# Of what it writes beside frames the last bytes are kept, to say why it did not start.
_SAID_BYTES = 2000
_PIPE, _NOTHING = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Update = Callable[[Mapping[str, object]], None]


class HostFailure(GatewayError):
    """A call got no result. `code` of moltbot_tools.frames.ToolFault, or `ended`, `start`, `timeout`; the text is for the model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Probe:
    """`landlock`: version of this machine's, 0 without it. `confined`: whether tools would be. `problem`: why the program did not start."""

    landlock: int
    confined: bool
    problem: str = ""


def child_environment(workspace: Path, time_zone: str = "UTC") -> dict[str, str]:
    """Everything that a confined program finds in its environment, before what a person put there on purpose; nothing of ours."""
    return {
        "PATH": os.environ.get("PATH") or _DEFAULT_PATH,
        "HOME": str(workspace),
        "LANG": "C.UTF-8",
        "TZ": time_zone,
        "TMPDIR": str(workspace / ".tmp"),
    }


def _command(command: str, workspace: Path, confine: bool) -> list[str]:
    flags = [] if confine else ["--unconfined"]
    return own_program("__main__", command, "--workspace", str(workspace), *flags)


async def probe() -> Probe:
    """What confinement this machine offers, by confining a process that then ends. Some 30 ms; never at the start's expense."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_command("probe", Path("/"), True),
            stdin=_NOTHING,
            stdout=_PIPE,
            stderr=_PIPE,
            env={"PATH": _DEFAULT_PATH},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_PATIENCE):
                output, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _hello(output) if process.returncode == 0 else Probe(0, False, said.decode("utf-8", "replace")[-_SAID_BYTES:].strip())
    except (OSError, ValueError, TimeoutError) as error:
        return Probe(0, False, str(error) or "it did not answer")


def _hello(data: bytes) -> Probe:
    """Raises ValueError."""
    frame = json.loads(data)
    hello = frame.get("hello") if isinstance(frame, dict) else None
    if not isinstance(hello, dict) or not isinstance(hello.get("landlock"), int) or not isinstance(hello.get("confined"), bool):
        raise ValueError("its first words are none that we know")  # noqa: TRY004
    return Probe(hello["landlock"], hello["confined"])


@dataclass
class _Call:
    answer: asyncio.Future[Mapping[str, object]]
    update: Update


@dataclass
class _Child:
    """One process and its calls."""

    process: asyncio.subprocess.Process
    hello: Probe
    calls: dict[int, _Call] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    over: bool = False

    def kill(self) -> None:
        """The host alone: the kernel tells its workers, and each ends the programs that it watches."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class ToolHost:
    """`environment`: what a person put there on purpose, for programs. `confine` false: the pod is the boundary (a person's word)."""

    def __init__(self, workspace: Path, environment: Mapping[str, str], *, time_zone: str = "UTC", confine: bool = True) -> None:
        self.workspace = workspace
        self.environment = dict(environment)
        self._time_zone, self._confine = time_zone, confine
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._number = 0
        self._closed = False
        # Processes that this one has started so far.
        self.starts = 0

    @property
    def confined(self) -> bool | None:
        """Whether its programs are confined; `None` before the first call."""
        return self._child.hello.confined if self._child is not None else None

    async def is_confined(self) -> bool:
        """As `confined`; starts the child to find out. Raises HostFailure."""
        return (await self._ready()).hello.confined

    async def call(
        self, op: str, params: Mapping[str, object], *, timeout: float, update: Update = lambda so_far: None
    ) -> Mapping[str, object]:
        """Its result. `timeout` in seconds, after which the call is ended in the child too. Cancelling the caller ends it as well, and
        returns when its programs are gone.

        Raises:
            HostFailure: there is no result; its text says why, for the model.
        """
        child = await self._ready()
        self._number += 1
        number = self._number
        frame = json.dumps({"id": number, "op": op, "params": dict(params)}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if len(frame) > MAX_FRAME:
            raise HostFailure("too-large", "the request is too large; do it in parts")
        call = _Call(asyncio.get_running_loop().create_future(), update)
        child.calls[number] = call
        try:
            async with asyncio.timeout(timeout):
                await self._send(child, frame)
                return await asyncio.shield(call.answer)
        except TimeoutError:
            await self._cancel(child, number, call)
            raise HostFailure("timeout", f"it took longer than {timeout:g} s and was ended") from None
        except asyncio.CancelledError:
            await self._cancel(child, number, call)
            raise
        finally:
            child.calls.pop(number, None)
            if call.answer.done() and not call.answer.cancelled():
                call.answer.exception()  # taken note of, whoever still waits

    async def close(self) -> None:
        """End the child with all that runs in it. Safe to call twice; calls that are running fail."""
        self._closed = True
        async with self._starting:
            child, self._child = self._child, None
        if child is None:
            return
        assert child.process.stdin is not None
        child.process.stdin.close()
        try:
            async with asyncio.timeout(END_PATIENCE):
                await child.process.wait()
        except TimeoutError:
            child.kill()
            await child.process.wait()
        await asyncio.wait(child.tasks)

    # one child

    async def _ready(self) -> _Child:
        async with self._starting:
            if self._closed:
                raise HostFailure("ended", "the assistant is going to sleep; the tool was not started")
            if self._child is None or self._child.over:
                self._child = await self._start()
            return self._child

    async def _start(self) -> _Child:
        self.workspace.mkdir(parents=True, exist_ok=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *_command("host", self.workspace, self._confine),
                stdin=_PIPE,
                stdout=_PIPE,
                stderr=_PIPE,
                env=child_environment(self.workspace, self._time_zone),
                cwd=self.workspace,
                start_new_session=True,
                limit=MAX_FRAME,
            )
        except OSError as error:
            raise HostFailure("start", f"the tool process could not be started: {error.strerror}") from error
        said = bytearray()
        listening = asyncio.create_task(_keep_end(process, said))
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_PATIENCE):
                hello = _hello(await process.stdout.readline())
            if self._confine and hello.landlock and not hello.confined:
                raise ValueError("it is not confined although it could be")
        except (ValueError, TimeoutError) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()
            await listening
            words = said.decode("utf-8", "replace").strip() or str(error)
            log.warning("tool process not started", code=code)
            raise HostFailure("start", f"the tool process could not be started: {words[-500:]}") from error
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        self.starts += 1
        child = _Child(process, hello)
        child.tasks = {listening, asyncio.create_task(self._read(child))}
        log.info("tool process started", landlock=hello.landlock, confined=hello.confined)
        return child

    async def _send(self, child: _Child, frame: bytes) -> None:
        assert child.process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):  # it has ended; the reader says so to everybody
            child.process.stdin.write(frame)
            await child.process.stdin.drain()

    async def _cancel(self, child: _Child, number: int, call: _Call) -> None:
        """Ask the child to end it; a child that does not is ended itself. Not cut short by another cancellation."""
        await asyncio.shield(self._cancelled(child, number, call))

    async def _cancelled(self, child: _Child, number: int, call: _Call) -> None:
        self._number += 1
        frame = json.dumps({"id": self._number, "op": "cancel", "params": {"id": number}}).encode() + b"\n"
        try:
            async with asyncio.timeout(CANCEL_PATIENCE):
                await self._send(child, frame)
                await asyncio.wait({call.answer})
        except TimeoutError:
            child.kill()

    async def _read(self, child: _Child) -> None:
        """Until the child ends, or says what it must not say."""
        stdout = child.process.stdout
        assert stdout is not None
        reason = ""
        try:
            while data := await stdout.readline():
                self._take(child, data)
        except ValueError as error:  # too long, or no frame
            reason = str(error)[:200]
        finally:
            child.over = True
            child.kill()
            failure = HostFailure("ended", "the tool process ended while this was running; what it did until then was done. Try again.")
            for call in list(child.calls.values()):
                if not call.answer.done():
                    call.answer.set_exception(failure)
        code = await child.process.wait()
        if not self._closed:
            log.warning("tool process ended", code=code, reason=reason)

    def _take(self, child: _Child, data: bytes) -> None:
        """Raises ValueError for what is no frame, or answers nothing that was asked."""
        try:
            frame = json.loads(data)
        except RecursionError as error:
            raise ValueError("a frame is too deep") from error
        if not isinstance(frame, dict) or not isinstance(frame.get("id"), int) or not 0 < frame["id"] <= self._number:
            raise ValueError("a frame answers nothing that was asked")
        call = child.calls.get(frame["id"])
        if call is None or call.answer.done():
            return  # the answer to a cancelled call
        update, result, fault = frame.get("update"), frame.get("result"), frame.get("error")
        if isinstance(update, dict):
            call.update(update)
        elif isinstance(result, dict):
            call.answer.set_result(result)
        elif isinstance(fault, dict) and isinstance(fault.get("code"), str) and isinstance(fault.get("message"), str):
            call.answer.set_exception(HostFailure(fault["code"][:40], fault["message"][:4000]))
        else:
            raise ValueError("a frame has neither update nor result nor error")  # noqa: TRY004 - of what it says, not of its type


async def _keep_end(process: asyncio.subprocess.Process, said: bytearray) -> None:
    """What the child says beside frames: never logged, since a program in there may say anything."""
    assert process.stderr is not None
    while data := await process.stderr.read(65536):
        said += data
        del said[:-_SAID_BYTES]
