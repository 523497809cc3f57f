"""The database's file, its one connection and its one thread.

Everything that touches SQLite runs in this thread, in the order in which it was asked for. The lock is exclusive: a second process that
opens the file gets an error and not half a conversation. A copy for a snapshot is made on this same connection, in steps between which
reads and writes go on (a second connection would be locked out), and SQLite carries what they change into the copy.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import queue
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from moltbot_gateway.errors import StateCorrupt, StateError
from moltbot_gateway.store import schema
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.store")

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

# One step of a copy: 256 pages of 4 KiB, a millisecond or two, which is what a write waits for it at most.
_STEP_PAGES = 256
# Reading all pages at every open would cost more than it finds; these sizes cost at most some 20 ms.
_CHECK_ALWAYS_BYTES = 2 * 2**20
_CHECK_AFTER_CRASH_BYTES = 16 * 2**20
# Damage that is in the file, as opposed to a full disk or a missing directory.
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True)
class _Queued:
    run: Callable[[], None]
    alone: bool


@dataclass(frozen=True)
class Staged:
    """`change` names what is in the copy; `path` is `None` when nothing changed since the change that the caller named."""

    change: str
    path: Path | None


class Database:
    """Open with `Database.open`; `close` exactly once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Where a damaged database was put when this one was opened, `None` in the ordinary case.
        self.set_aside: Path | None = None
        self._jobs: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        # What cannot run inside a copy (another copy, the end) and came while one was being made. The thread's own.
        self._postponed: collections.deque[_Queued | None] = collections.deque()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)
        self._connection: sqlite3.Connection | None = None
        # A token of change is `<epoch>.<n>`. Each process that writes begins an epoch of its own, so that two histories that began at
        # the same snapshot never give different states the same name.
        self._epoch = secrets.token_hex(8)
        self._change = ""
        self._writes = 0

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the database at `path`. A damaged one is moved to `set-aside/` next to it and a new one begun.

        Raises:
            StateTooNew: a newer program wrote it; nothing was changed.
            StateError: it cannot be opened (locked by another process, no permission, disk full).
        """
        database = cls(path)
        database._thread.start()
        try:
            await database._submit(database._open)
        except BaseException:
            database._jobs.put(None)
            raise
        return database

    @property
    def change(self) -> str:
        """The token of the present state. It changes with every write and survives restarts."""
        return self._change

    async def read(self, job: Job[T]) -> T:
        """Run `job` in the database's thread. Cancelling the caller does not stop it."""
        return await self._submit(lambda: job(self._require()))

    async def write(self, job: Job[T]) -> T:
        """Run `job` as one transaction; it is on disk when this returns. Cancelling the caller does not stop it.

        Raises:
            StateError: disk full, input/output error; nothing of it was kept.
        """
        return await self._submit(lambda: self._transact(job))

    async def stage(self, target: Path, *, unless: str | None, progress: Callable[[], None]) -> Staged:
        """Copy the whole database to `target` (replaced when it is there), unless its change still is `unless`.

        `progress` is called in the caller's loop after every step. One copy at a time; others wait their turn. Cancelling the caller does
        not stop it.
        """
        loop = asyncio.get_running_loop()
        return await self._submit(lambda: self._stage(target, unless, lambda: loop.call_soon_threadsafe(progress)), alone=True)

    async def close(self) -> None:
        """Write back the log and close. What was asked for before is done first, except that a copy is given up; safe to call twice."""
        if not self._closing:
            self._closing = True
            await self._submit(self._close, alone=True)
            self._jobs.put(None)

    def _submit(self, call: Callable[[], T], *, alone: bool = False) -> asyncio.Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            # A caller that was cancelled gave up on the answer, never on the work: what it asked for is done all the same.
            if not future.set_running_or_notify_cancel():
                with contextlib.suppress(sqlite3.Error, StateError):
                    call()
                return
            try:
                result = call()
            except sqlite3.Error as error:
                future.set_exception(_translate(error))
            except BaseException as error:  # noqa: BLE001 - handed to whoever awaits it
                future.set_exception(error)
            else:
                future.set_result(result)

        self._jobs.put(_Queued(run, alone))
        return asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._postponed.popleft() if self._postponed else self._jobs.get()) is not None:
            job.run()

    def _require(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError("the database is closed")
        return self._connection

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _keep_ours(self.path)
        try:
            connection = _connect(self.path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                raise
            log.error("database damaged", reason=str(error))  # noqa: TRY400 - the reason says it all
            connection = self._begin_anew()
        except StateCorrupt as error:
            log.error("database damaged", reason=str(error))  # noqa: TRY400 - the reason says it all
            connection = self._begin_anew()
        self._connection = connection
        (self._change,) = connection.execute("SELECT value FROM meta WHERE key = 'change'").fetchone()

    def _begin_anew(self) -> sqlite3.Connection:
        directory = self.path.parent / "set-aside"
        directory.mkdir(exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.set_aside = directory / f"{stamp}-{self.path.name}"
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{self.set_aside}{suffix}")
        return _connect(self.path)

    def _transact(self, job: Job[T]) -> T:
        connection = self._require()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(connection)
            change = f"{self._epoch}.{self._writes + 1}"
            connection.execute("UPDATE meta SET value = ? WHERE key = 'change'", (change,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._writes += 1
        self._change = change
        return result

    def _stage(self, target: Path, unless: str | None, progress: Callable[[], object]) -> Staged:
        connection = self._require()
        if unless is not None and unless == self._change:
            return Staged(self._change, None)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            # Nobody relies on a half-made copy, so it needs neither a journal nor its own fsync.
            copy.execute("PRAGMA synchronous = OFF")

            def step(status: int, _remaining: int, _total: int) -> None:
                progress()
                if status != sqlite3.SQLITE_DONE:  # after the last step the copy is whole: what is written now is not in it
                    self._work_between_steps()
                if self._closing:
                    raise StateError("the gateway is ending; the copy was given up")

            connection.backup(copy, pages=_STEP_PAGES, progress=step, sleep=0.01)
        except BaseException:
            copy.close()
            target.unlink(missing_ok=True)
            raise
        copy.close()
        return Staged(self._change, target)

    def _work_between_steps(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None or job.alone:
                self._postponed.append(job)
            else:
                job.run()

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def _keep_ours(path: Path) -> None:
    """Programs that tools run are of our user, and the kernel's confinement does not hold chmod: what one of them took from us we give
    ourselves back."""
    for place, mode in ((path.parent, 0o700), *((Path(f"{path}{suffix}"), 0o600) for suffix in ("", "-wal", "-shm"))):
        with contextlib.suppress(OSError):
            present = stat.S_IMODE(place.lstat().st_mode)
            if present & mode != mode:
                place.chmod(present | mode)


def _connect(path: Path) -> sqlite3.Connection:
    crashed = Path(f"{path}-wal").exists()
    size = path.stat().st_size if path.exists() else 0
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=True)
    try:
        # Exclusive before WAL: then SQLite needs no shared memory, and the lock is held from the first read on.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = schema.check(connection)  # before anything is written: what is refused stays as it is
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if size and size <= (_CHECK_AFTER_CRASH_BYTES if crashed else _CHECK_ALWAYS_BYTES):
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise StateCorrupt(f"the database is damaged: {verdict}")
        schema.migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _translate(error: sqlite3.Error) -> StateError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return StateError("the volume is full: the conversation cannot be written; give the assistant a larger volume")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StateError("another process has the database open")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StateError("the state directory cannot be written: check the volume's permissions (fsGroup)")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StateCorrupt("the database is damaged")
        case _:
            return StateError(f"the database failed: {error}")
