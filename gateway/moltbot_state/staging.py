"""A copy of the database at rest: for the last flush, when the gateway that owns it is gone. While it runs it makes the copy itself
(`POST /stage`), for a second connection is locked out."""

from __future__ import annotations

import os
import secrets
import sqlite3

from moltbot_state.errors import BackupFailed
from moltbot_state.layout import StateDir
from moltbot_state.restore import read_database_version
from moltbot_state.snapshot import Staged

BUSY_SECONDS = 1.0


class DatabaseBusy(Exception):
    """Somebody has the database open: the gateway, which can copy it itself."""


def stage_at_rest(state: StateDir) -> Staged:
    """Copy the database, its log folded in; the caller removes the copy. Raises DatabaseBusy, BackupFailed."""
    if not os.path.lexists(state.database):
        return Staged(None, None)
    state.stage.mkdir(mode=0o700, exist_ok=True)
    target = state.stage / f"rest-{secrets.token_hex(4)}.sqlite"
    try:
        source = sqlite3.connect(f"file:{_quote(str(state.database))}?mode=rw", uri=True, timeout=BUSY_SECONDS)
        try:
            copy = sqlite3.connect(target)
            try:
                # `backup` itself would wait for ever: here SQLite waits for BUSY_SECONDS, and below whoever comes between ends it.
                source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                source.backup(copy, progress=_refuse_to_wait)
            finally:
                copy.close()
        finally:
            source.close()
    except DatabaseBusy:
        target.unlink(missing_ok=True)
        raise
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise DatabaseBusy from error
        raise BackupFailed(f"The database could not be copied: {error}.") from error
    return Staged(target, None, database=read_database_version(target))


def _refuse_to_wait(status: int, _remaining: int, _total: int) -> None:
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise DatabaseBusy


def _quote(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
