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
    (
        # `settings` is JSON: what a person chose for this conversation (queueMode, verbose …).
        "ALTER TABLE sessions ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
        # Tool results are entries of their own. `content` is JSON, the blocks as `chat.history` shows them, NULL where the text is all.
        # `superseded`: said before a retry or an edit; kept, shown no more, and not told to the model.
        """CREATE TABLE messages_2 (
             id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT NOT NULL, session_id TEXT NOT NULL,
             role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'toolResult')), text TEXT NOT NULL, at_ms INTEGER NOT NULL,
             run_id TEXT, detail TEXT NOT NULL DEFAULT '{}', content TEXT, superseded INTEGER NOT NULL DEFAULT 0
           ) STRICT""",
        """INSERT INTO messages_2 (id, session_key, session_id, role, text, at_ms, run_id, detail)
           SELECT id, session_key, session_id, role, text, at_ms, run_id, detail FROM messages""",
        "DROP TABLE messages",
        "ALTER TABLE messages_2 RENAME TO messages",
        "CREATE INDEX messages_by_session ON messages (session_key, session_id, id)",
        # Full-text search over conversations; the words stand in `messages` alone.
        """CREATE VIRTUAL TABLE messages_text USING fts5 (
             text, content = 'messages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
           )""",
        "INSERT INTO messages_text (messages_text) VALUES ('rebuild')",
        """CREATE TRIGGER messages_text_insert AFTER INSERT ON messages BEGIN
             INSERT INTO messages_text (rowid, text) VALUES (new.id, new.text);
           END""",
        """CREATE TRIGGER messages_text_delete AFTER DELETE ON messages BEGIN
             INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.id, old.text);
           END""",
        """CREATE TRIGGER messages_text_update AFTER UPDATE OF text ON messages BEGIN
             INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.id, old.text);
             INSERT INTO messages_text (rowid, text) VALUES (new.id, new.text);
           END""",
        # Up to `upto_id` a summary stands for what was said when the model is asked; the messages themselves stay.
        """CREATE TABLE compactions (
             id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT NOT NULL, session_id TEXT NOT NULL, upto_id INTEGER NOT NULL,
             summary TEXT NOT NULL, at_ms INTEGER NOT NULL
           ) STRICT""",
        "CREATE INDEX compactions_by_session ON compactions (session_key, session_id, id)",
        # Pictures and documents that came with messages; `id` is the SHA-256 of `bytes`.
        """CREATE TABLE media (
             id TEXT PRIMARY KEY, mime_type TEXT NOT NULL, name TEXT NOT NULL, bytes BLOB NOT NULL, at_ms INTEGER NOT NULL
           ) STRICT, WITHOUT ROWID""",
        # Tokens by day (in the assistant's time zone, YYYY-MM-DD), conversation and model. `cost` in millionths of a US dollar; `unpriced`
        # counts requests to models whose price nobody knows.
        """CREATE TABLE usage (
             day TEXT NOT NULL, session_key TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL DEFAULT 0,
             input INTEGER NOT NULL DEFAULT 0, output INTEGER NOT NULL DEFAULT 0, cache_read INTEGER NOT NULL DEFAULT 0,
             cache_write INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0,
             PRIMARY KEY (day, session_key, model)
           ) STRICT, WITHOUT ROWID""",
        # What a person allowed for good. `pattern` as `approvals` reads it.
        """CREATE TABLE allowed (
             pattern TEXT PRIMARY KEY, tool TEXT NOT NULL, by TEXT NOT NULL, at_ms INTEGER NOT NULL
           ) STRICT, WITHOUT ROWID""",
        # Jobs. `source`: spec (the resource names it) | person | assistant. `schedule` and `payload` are JSON as `cron.list` has them.
        # `next_ms` NULL: it is not due any more.
        """CREATE TABLE jobs (
             id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, source TEXT NOT NULL, enabled INTEGER NOT NULL,
             schedule TEXT NOT NULL, payload TEXT NOT NULL, target TEXT NOT NULL, missed TEXT NOT NULL, delete_after_run INTEGER NOT NULL,
             created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, next_ms INTEGER
           ) STRICT, WITHOUT ROWID""",
        # One row a due time that was taken: the key that keeps it from being run twice. `status`: running | ok | error | skipped |
        # interrupted.
        """CREATE TABLE job_runs (
             job_id TEXT NOT NULL, due_ms INTEGER NOT NULL, status TEXT NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER,
             summary TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', session_key TEXT NOT NULL DEFAULT '',
             PRIMARY KEY (job_id, due_ms)
           ) STRICT, WITHOUT ROWID""",
        # What goes out to people elsewhere: kept until somebody said that each part has arrived.
        """CREATE TABLE outbox (
             event TEXT NOT NULL, part INTEGER NOT NULL, ordinal INTEGER NOT NULL, target TEXT NOT NULL, body TEXT NOT NULL,
             created_ms INTEGER NOT NULL, taken_ms INTEGER, takes INTEGER NOT NULL DEFAULT 0, acknowledged_ms INTEGER,
             PRIMARY KEY (event, part)
           ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX outbox_open ON outbox (ordinal) WHERE acknowledged_ms IS NULL",
        # Pieces of the workspace's notes, for memory_search; made anew from the files whenever those changed.
        """CREATE TABLE memory_files (
             path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
           ) STRICT, WITHOUT ROWID""",
        """CREATE VIRTUAL TABLE memory_text USING fts5 (
             path UNINDEXED, first_line UNINDEXED, last_line UNINDEXED, text, tokenize = 'unicode61 remove_diacritics 2'
           )""",
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
