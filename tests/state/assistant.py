"""What tests do to a state: open one, write into it, snapshot and restore it, as the container's workers do."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

from moltbot_state.bucket import Bucket
from moltbot_state.choice import HeadFound
from moltbot_state.known import Known
from moltbot_state.layout import StateDir
from moltbot_state.lineage import StateFile
from moltbot_state.ownership import Identity, look
from moltbot_state.restore import open_empty, recover, restore_head
from moltbot_state.snapshot import Run, Snapshotted, Staged, take_snapshot
from moltbot_state.staging import stage_at_rest

ADA = Identity("uid-ada", "team", "ada")
CREATED = "2026-11-24T08:00:00Z"


def nothing(*_: object) -> None:
    return None


def begin(state: StateDir, lineage: str = "lineage-a") -> StateFile:
    """An empty state with a database of one message."""
    recover(state)
    file = open_empty(state, lineage)
    say(state, "hello")
    return file


def say(state: StateDir, text: str) -> None:
    """Write a message into the database, as the gateway does, and close it."""
    connection = sqlite3.connect(state.database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA user_version=1")
    connection.execute("CREATE TABLE IF NOT EXISTS messages (text TEXT)")
    connection.execute("INSERT INTO messages VALUES (?)", (text,))
    connection.commit()
    connection.close()


def said(state: StateDir) -> list[str]:
    connection = sqlite3.connect(state.database)
    try:
        return [row[0] for row in connection.execute("SELECT text FROM messages")]
    finally:
        connection.close()


def snapshot(
    state: StateDir,
    bucket: Bucket,
    identity: Identity = ADA,
    checkpoint: Callable[[str], None] = nothing,
    now: float | None = None,
) -> Snapshotted:
    """One snapshot of a state at rest."""
    staged = stage_at_rest(state)
    try:
        run = Run(state, bucket, identity, "test", CREATED, time.time() if now is None else now, checkpoint, nothing)
        return take_snapshot(run, staged)
    finally:
        if staged.path is not None:
            staged.path.unlink(missing_ok=True)


def restore(state: StateDir, bucket: Bucket, identity: Identity = ADA, checkpoint: Callable[[str], None] = nothing) -> StateFile:
    """HEAD into a state directory."""
    recover(state)
    found, head = look(bucket, identity, None)
    assert isinstance(found, HeadFound), found
    assert head is not None
    return restore_head(state, bucket, head.head, durable=False, checkpoint=checkpoint, progress=nothing)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything beneath a directory by name: mode and content; links by their target."""
    found: dict[str, tuple[int, bytes]] = {}
    for directory, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(directory) / name
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                content = os.fsencode(path.readlink())
            else:
                content = b"" if stat.S_ISDIR(status.st_mode) else path.read_bytes()
            found[str(path.relative_to(root))] = (stat.S_IMODE(status.st_mode), content)
    return found


__all__ = ["ADA", "Known", "Staged", "begin", "nothing", "restore", "said", "say", "snapshot", "tree"]
