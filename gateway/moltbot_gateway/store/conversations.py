"""Sessions and messages. Functions of a connection, run by `Database.read` and `Database.write`."""

# ruff: noqa: S608 - the only text put into a statement is a constant list of columns
from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from moltbot_gateway.store.media import drop_unused, list_used
from moltbot_gateway.store.records import Connection, Message, NewMessage, Session
from moltbot_gateway.store.texts import storable, to_json

_SESSION = "key, session_id, label, model, thinking, created_ms, updated_ms, input_tokens, output_tokens, settings"
_MESSAGE = "id, role, text, at_ms, run_id, detail, content"
# Greater than any id that SQLite gives.
_AFTER_ALL = 2**63 - 1


def get_session(db: Connection, key: str) -> Session | None:
    row = db.execute(f"SELECT {_SESSION} FROM sessions WHERE key = ?", (key,)).fetchone()
    return None if row is None else _session(row)


def list_sessions(db: Connection, *, limit: int, offset: int = 0) -> tuple[list[Session], int]:
    """Newest first, and how many there are in all."""
    rows = db.execute(f"SELECT {_SESSION} FROM sessions ORDER BY updated_ms DESC, key LIMIT ? OFFSET ?", (limit, offset))
    return [_session(row) for row in rows], db.execute("SELECT count(*) FROM sessions").fetchone()[0]


def ensure_session(db: Connection, key: str, now_ms: int) -> Session:
    """The session of that key, made when there is none."""
    db.execute(
        "INSERT INTO sessions (key, session_id, created_ms, updated_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (key, str(uuid.uuid4()), now_ms, now_ms),
    )
    session = get_session(db, key)
    assert session is not None
    return session


def patch_session(db: Connection, key: str, changes: Mapping[str, str | None], now_ms: int) -> Session:
    """Set `label`, `model`, `thinking`, or one of the settings; `None` goes back to the default."""
    before = ensure_session(db, key, now_ms)
    for column in ("label", "model", "thinking"):
        if column in changes:
            db.execute(
                f"UPDATE sessions SET {column} = ?, updated_ms = ? WHERE key = ?",
                (None if (value := changes[column]) is None else storable(value), now_ms, key),
            )
    chosen = {name: value for name, value in changes.items() if name not in ("label", "model", "thinking")}
    if chosen:
        settings = {name: value for name, value in {**before.settings, **chosen}.items() if value is not None}
        db.execute("UPDATE sessions SET settings = ?, updated_ms = ? WHERE key = ?", (json.dumps(settings), now_ms, key))
    session = get_session(db, key)
    assert session is not None
    return session


def reset_session(db: Connection, key: str, now_ms: int) -> Session:
    """Begin the conversation anew. What was said stays in the database under the old session id; settings stay."""
    ensure_session(db, key, now_ms)
    db.execute(
        "UPDATE sessions SET session_id = ?, updated_ms = ?, input_tokens = 0, output_tokens = 0 WHERE key = ?",
        (str(uuid.uuid4()), now_ms, key),
    )
    session = get_session(db, key)
    assert session is not None
    return session


def delete_session(db: Connection, key: str) -> bool:
    """Remove a conversation with all its messages, and pictures and documents that no other one shows. False when there was none."""
    shown = list_used(db, key)
    db.execute("DELETE FROM messages WHERE session_key = ?", (key,))
    db.execute("DELETE FROM compactions WHERE session_key = ?", (key,))
    db.execute("DELETE FROM runs WHERE session_key = ? AND status NOT IN ('queued', 'running')", (key,))
    drop_unused(db, shown)
    return db.execute("DELETE FROM sessions WHERE key = ?", (key,)).rowcount > 0


def list_messages(db: Connection, session: Session, *, limit: int, after_id: int = 0, before_id: int | None = None) -> list[Message]:
    """The newest `limit` messages of the present conversation, oldest first; those put aside by a retry or an edit are not among them."""
    rows = db.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE session_key = ? AND session_id = ? AND superseded = 0 AND id > ? AND id < ? "
        "ORDER BY id DESC LIMIT ?",
        (session.key, session.session_id, after_id, before_id if before_id is not None else _AFTER_ALL, limit),
    ).fetchall()
    return [_message(row) for row in reversed(rows)]


def count_messages(db: Connection, session: Session) -> int:
    """Of the present conversation, without what was put aside."""
    sql = "SELECT count(*) FROM messages WHERE session_key = ? AND session_id = ? AND superseded = 0"
    return int(db.execute(sql, (session.key, session.session_id)).fetchone()[0])


def first_message(db: Connection, session: Session) -> Message | None:
    """What the person began the present conversation with."""
    row = db.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE session_key = ? AND session_id = ? AND role = 'user' AND superseded = 0 "
        "ORDER BY id LIMIT 1",
        (session.key, session.session_id),
    ).fetchone()
    return None if row is None else _message(row)


def get_message(db: Connection, session: Session, message_id: int) -> Message | None:
    """A message of the present conversation that is not put aside."""
    row = db.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE id = ? AND session_key = ? AND session_id = ? AND superseded = 0",
        (message_id, session.key, session.session_id),
    ).fetchone()
    return None if row is None else _message(row)


def put_aside(db: Connection, session: Session, from_id: int) -> int:
    """Everything from that message on is kept, and neither shown nor told to the model any more. Returns how many. A summary that told of
    it counts no more."""
    db.execute(
        "DELETE FROM compactions WHERE session_key = ? AND session_id = ? AND upto_id >= ?", (session.key, session.session_id, from_id)
    )
    return db.execute(
        "UPDATE messages SET superseded = 1 WHERE session_key = ? AND session_id = ? AND id >= ? AND superseded = 0",
        (session.key, session.session_id, from_id),
    ).rowcount


def put_run_aside(db: Connection, run_id: str) -> None:
    """Nothing of that run is shown or told to the model any more (a heartbeat that had nothing to say)."""
    db.execute("UPDATE messages SET superseded = 1 WHERE run_id = ?", (run_id,))


def append_message(db: Connection, session: Session, new: NewMessage, *, at_ms: int, run_id: str | None) -> Message:
    """What is returned is what is kept, which may differ by signs that are no text."""
    text, detail = storable(new.text), to_json(new.detail)
    content = None if new.content is None else to_json(new.content)
    cursor = db.execute(
        "INSERT INTO messages (session_key, session_id, role, text, at_ms, run_id, detail, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (session.key, session.session_id, new.role, text, at_ms, run_id, detail, content),
    )
    assert cursor.lastrowid is not None
    return _message((cursor.lastrowid, new.role, text, at_ms, run_id, detail, content))


def get_compaction(db: Connection, session: Session) -> tuple[int, str] | None:
    """Up to which message a summary stands for what was said, and the summary."""
    row = db.execute(
        "SELECT upto_id, summary FROM compactions WHERE session_key = ? AND session_id = ? ORDER BY id DESC LIMIT 1",
        (session.key, session.session_id),
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def add_compaction(db: Connection, session: Session, upto_id: int, summary: str, now_ms: int) -> None:
    db.execute(
        "INSERT INTO compactions (session_key, session_id, upto_id, summary, at_ms) VALUES (?, ?, ?, ?, ?)",
        (session.key, session.session_id, upto_id, storable(summary), now_ms),
    )


def _session(row: Sequence[object]) -> Session:
    *plain, settings = row
    return Session(*plain, json.loads(str(settings)))  # type: ignore[arg-type, call-arg]


def _message(row: tuple[int, str, str, int, str | None, str, str | None]) -> Message:
    id_, role, text, at_ms, run_id, detail, content = row
    return Message(id_, role, text, at_ms, run_id, json.loads(detail), None if content is None else json.loads(content))
