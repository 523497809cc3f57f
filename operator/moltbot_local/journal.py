"""Where objects are kept: one SQLite file in WAL mode.

A write is one transaction of one or two rows, on the loop: with `synchronous=NORMAL` it is a write into the page cache (measured: a whole
write of a status costs 40 µs), no fsync, so it costs less than handing it to a thread, and nothing is ever acknowledged that a `kill -9`
of this process could lose. What a power cut may lose is the last moments, never the file. A second process on the same directory is
refused by the lock file.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .resources import Object

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (kind, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 0), resource_version INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (0, 0);
"""


class DirectoryInUse(Exception):
    """Another process keeps its objects in this directory."""


class Journal:
    """`directory` None keeps nothing: objects live as long as the process."""

    def __init__(self, directory: Path | None) -> None:
        self._lock: int | None = None
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._lock)
                raise DirectoryInUse(f"{directory} is in use by another process; stop that one, or name another directory") from error
            # Secrets are in it: nobody else may read it, from its first byte on.
            path = directory / "objects.sqlite"
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._database = sqlite3.connect(path if directory is not None else ":memory:", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)

    def load(self) -> Iterator[tuple[str, str, str, Object]]:
        """(kind, namespace, name, object) of all that is kept."""
        for kind, namespace, name, body in self._database.execute("SELECT kind, namespace, name, body FROM objects"):
            yield kind, namespace, name, json.loads(body)

    def resource_version(self) -> int:
        row = self._database.execute("SELECT resource_version FROM counter").fetchone()
        return int(row[0])

    def write(self, kind: str, namespace: str, name: str, body: bytes | None, resource_version: int) -> None:
        """Keep (`body` None: forget) one object, together with the counter."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if body is None:
                self._database.execute("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", (kind, namespace, name))
            else:
                self._database.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (kind, namespace, name, body))
            self._database.execute("UPDATE counter SET resource_version = ?", (resource_version,))
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
