"""Starting workers and listening to them: the container's side of worker.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence

from moltbot_state.errors import StateError

MAX_LINE = 256 * 1024


class WorkerFailed(StateError):
    """What a worker said went wrong, or that it ended without a word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Workers:
    """One at a time is the caller's rule. `command`: what is run (tests put another program there). `keep_open`: descriptors that a worker
    inherits, so that the state directory stays locked until the last worker is gone."""

    def __init__(self, environ: Mapping[str, str], command: Sequence[str] = ()) -> None:
        self._command = list(command) or [sys.executable, "-m", "moltbot_state.worker"]
        # The S3 client would read profiles, proxies of other tools and endpoints from these.
        self._environ = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
        self.keep_open: tuple[int, ...] = ()

    async def run(self, job: Mapping[str, object], progress: Callable[[], None]) -> Mapping[str, object]:
        """The result of one job. `progress` is called once it runs, and whenever it moves. Raises WorkerFailed. Cancelled: the worker is
        killed, which is safe at any moment."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environ,
            pass_fds=self.keep_open,
            limit=MAX_LINE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        result: Mapping[str, object] | None = None
        progress()
        try:
            process.stdin.write(json.dumps(dict(job)).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
            async for line in process.stdout:
                document = json.loads(line)
                progress()
                if "progress" not in document:
                    result = document
            await process.wait()
        except ValueError as error:
            raise WorkerFailed("BackupFailed", "The worker said something that is no JSON; see its log lines.") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            process.stdin.close()
        if result is None:
            how = f"signal {-process.returncode}" if process.returncode and process.returncode < 0 else f"exit code {process.returncode}"
            memory = " It may have run out of memory: raise the container's limit." if process.returncode == -9 else ""
            raise WorkerFailed("BackupFailed", f"The worker ended without a result ({how}); see its log lines.{memory}")
        problem = result.get("error")
        if isinstance(problem, dict):
            raise WorkerFailed(str(problem.get("reason")), str(problem.get("message")))
        return result
