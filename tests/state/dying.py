"""Work that is killed by SIGKILL at a checkpoint, in a process of its own: no `finally` runs, nothing is flushed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from moltbot_state.bucket import Bucket, Place
from moltbot_state.layout import StateDir
from moltbot_trust.redaction import Secret
from tests.fakes.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.state.assistant import restore, snapshot

# A fork server without threads that has boto3 loaded: a death costs a fifth of a second.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["boto3", "tests.state.dying"])


def _kill_at(wanted: str) -> Callable[[str], None]:
    def checkpoint(name: str) -> None:
        if name == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def _work(what: str, place: Place, root: str, wanted: str) -> None:
    bucket = Bucket(place, Secret(ACCESS_KEY), Secret(SECRET_KEY))
    {"snapshot": snapshot, "restore": restore}[what](StateDir(Path(root)), bucket, checkpoint=_kill_at(wanted))  # type: ignore[operator]


def die_at(checkpoint: str, what: str, s3: S3Server, prefix: str, state: StateDir) -> None:
    """Do it, and die there. Fails when it is not passed."""
    process = _context.Process(target=_work, args=(what, s3.place(prefix), str(state.root), checkpoint))
    process.start()
    process.join(90)
    assert process.exitcode == -signal.SIGKILL, f"{checkpoint!r} was not passed: exit code {process.exitcode}"
