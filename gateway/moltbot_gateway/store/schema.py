"""The tables, and how an older database becomes a newer one (`PRAGMA user_version`).

A migration is never edited once released; a change is a new entry. All of them run in one transaction.
"""

from __future__ import annotations

import sqlite3
import uuid

from moltbot_gateway.errors import StateCorrupt, StateTooNew

# "MLTB": `file` and we ourselves tell our database from somebody else's by it.
APPLICATION_ID = 0x4D4C5442

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        # One row a conversation; `session_id` changes at a reset, what was said before stays in `messages` under the old one.
        """CREATE TABLE sessions (
             key TEXT PRIMARY KEY, session_id TEXT NOT NULL, label TEXT, model TEXT, thinking TEXT,
             created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
             input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0
           ) STRICT, WITHOUT ROWID""",
        # `detail` is JSON: provider, model, usage, stopReason, errorMessage, errorKind.
        """CREATE TABLE messages (
             id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT NOT NULL, session_id TEXT NOT NULL,
             role TEXT NOT NULL CHECK (role IN ('user', 'assistant')), text TEXT NOT NULL, at_ms INTEGER NOT NULL,
             run_id TEXT, detail TEXT NOT NULL DEFAULT '{}'
           ) STRICT""",
        "CREATE INDEX messages_by_session ON messages (session_key, session_id, id)",
        # One row a message that was sent to the assistant, under the idempotency key that came with it. The text moves to `messages` when
        # the turn begins, so that a conversation reads in the order in which it was answered.
        """CREATE TABLE runs (
             id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL, session_key TEXT NOT NULL, session_id TEXT NOT NULL,
             status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'error', 'aborted', 'interrupted')),
             text TEXT NOT NULL, options TEXT NOT NULL, partial TEXT NOT NULL DEFAULT '',
             accepted_ms INTEGER NOT NULL, ended_ms INTEGER
           ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX runs_open ON runs (ordinal) WHERE status IN ('queued', 'running')",
    ),
)
VERSION = len(_MIGRATIONS)


def check(connection: sqlite3.Connection) -> int:
    """The version of an opened database, 0 for a new one. Only reads.

    Raises:
        StateTooNew: a newer program wrote it.
        StateCorrupt: it is a database, but not ours.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (version or tables) and application != APPLICATION_ID:
        raise StateCorrupt("the database was not written by this program")
    if version > VERSION:
        raise StateTooNew(
            f"the conversations were written by a newer version of the gateway (database version {version}, this program knows {VERSION}); "
            "run the newer gateway image again, or restore a snapshot from before the upgrade"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a database from `version` to this program's; writes nothing when it is there already."""
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for step in _MIGRATIONS[version:]:
        for statement in step:
            connection.execute(statement)
    if version == 0:
        connection.execute("INSERT INTO meta VALUES ('change', ?)", (f"{uuid.uuid4().hex}.0",))
        connection.execute("INSERT INTO meta VALUES ('ordinal', '0')")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
