"""What is asked of the database: sessions, messages and runs. Functions of a connection, run by `Database.read` and `Database.write`.

A *run* is one message that was sent to the assistant and the answer to it, named by the idempotency key that came with the message:

    queued ──begin──► running ──► done | error | aborted | interrupted

`queued` is on disk before anybody is told `started`. What is `running` when the database is opened was cut off by the end of the process
before, and becomes `interrupted` with as much of the answer as had arrived; what is `queued` then is answered now. So nothing is lost and
nothing is answered twice.
"""

# ruff: noqa: S608 - the only text put into a statement is a constant list of columns

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# What jobs are functions of; callers name it from here and need not know sqlite3.
Connection = sqlite3.Connection

# A run's key is kept this long after its end, so that a client that comes back after a weekend still gets `ok` and not a second answer.
RUN_KEPT_MS = 30 * 24 * 3600 * 1000


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Session:
    """One conversation. Times in milliseconds since 1970; `model` and `thinking` are `None` while the default holds."""

    key: str
    session_id: str
    label: str | None
    model: str | None
    thinking: str | None
    created_ms: int
    updated_ms: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Message:
    """One entry of a conversation. `detail` is what `chat.history` adds to an answer (usage, stopReason …)."""

    id: int
    role: str
    text: str
    at_ms: int
    run_id: str | None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NewRun:
    """A message as it came, with the key under which it is answered once. `options`: thinking, timeoutMs."""

    id: str
    session_key: str
    text: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    id: str
    session_key: str
    session_id: str
    status: RunStatus
    text: str
    options: Mapping[str, object]
    accepted_ms: int


@dataclass(frozen=True)
class Answer:
    """How a run ended: what is written into the conversation and added to the counts."""

    status: RunStatus
    text: str
    detail: Mapping[str, object]
    input_tokens: int = 0
    output_tokens: int = 0


_SESSION = "key, session_id, label, model, thinking, created_ms, updated_ms, input_tokens, output_tokens"
_MESSAGE = "id, role, text, at_ms, run_id, detail"
_RUN = "id, session_key, session_id, status, text, options, accepted_ms"


def get_session(db: sqlite3.Connection, key: str) -> Session | None:
    row = db.execute(f"SELECT {_SESSION} FROM sessions WHERE key = ?", (key,)).fetchone()
    return None if row is None else Session(*row)


def list_sessions(db: sqlite3.Connection, *, limit: int, offset: int = 0) -> tuple[list[Session], int]:
    """Newest first, and how many there are in all."""
    rows = db.execute(f"SELECT {_SESSION} FROM sessions ORDER BY updated_ms DESC, key LIMIT ? OFFSET ?", (limit, offset))
    return [Session(*row) for row in rows], db.execute("SELECT count(*) FROM sessions").fetchone()[0]


def ensure_session(db: sqlite3.Connection, key: str, now_ms: int) -> Session:
    """The session of that key, made when there is none."""
    db.execute(
        "INSERT INTO sessions (key, session_id, created_ms, updated_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (key, str(uuid.uuid4()), now_ms, now_ms),
    )
    session = get_session(db, key)
    assert session is not None
    return session


def patch_session(db: sqlite3.Connection, key: str, changes: Mapping[str, str | None], now_ms: int) -> Session:
    """Set `label`, `model` or `thinking`; `None` goes back to the default."""
    ensure_session(db, key, now_ms)
    for column in ("label", "model", "thinking"):
        if column in changes:
            db.execute(f"UPDATE sessions SET {column} = ?, updated_ms = ? WHERE key = ?", (changes[column], now_ms, key))
    session = get_session(db, key)
    assert session is not None
    return session


def reset_session(db: sqlite3.Connection, key: str, now_ms: int) -> Session:
    """Begin the conversation anew. What was said stays in the database under the old session id; settings stay."""
    ensure_session(db, key, now_ms)
    db.execute(
        "UPDATE sessions SET session_id = ?, updated_ms = ?, input_tokens = 0, output_tokens = 0 WHERE key = ?",
        (str(uuid.uuid4()), now_ms, key),
    )
    session = get_session(db, key)
    assert session is not None
    return session


def delete_session(db: sqlite3.Connection, key: str) -> bool:
    """Remove a conversation with all its messages. False when there was none."""
    db.execute("DELETE FROM messages WHERE session_key = ?", (key,))
    db.execute("DELETE FROM runs WHERE session_key = ? AND status NOT IN ('queued', 'running')", (key,))
    return db.execute("DELETE FROM sessions WHERE key = ?", (key,)).rowcount > 0


def list_messages(db: sqlite3.Connection, session: Session, *, limit: int) -> list[Message]:
    """The newest `limit` messages of the present conversation, oldest first."""
    rows = db.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE session_key = ? AND session_id = ? ORDER BY id DESC LIMIT ?",
        (session.key, session.session_id, limit),
    ).fetchall()
    return [_message(row) for row in reversed(rows)]


def first_message(db: sqlite3.Connection, session: Session) -> Message | None:
    """What the person began the present conversation with."""
    row = db.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE session_key = ? AND session_id = ? AND role = 'user' ORDER BY id LIMIT 1",
        (session.key, session.session_id),
    ).fetchone()
    return None if row is None else _message(row)


def get_run_status(db: sqlite3.Connection, run_id: str) -> RunStatus | None:
    row = db.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else RunStatus(row[0])


def list_open_runs(db: sqlite3.Connection, session_key: str | None = None) -> list[Run]:
    """Runs not ended, in the order in which they were accepted; of one session or of all."""
    rows = db.execute(f"SELECT {_RUN} FROM runs WHERE status IN ('queued', 'running') ORDER BY ordinal")
    runs = [_run(row) for row in rows]
    return runs if session_key is None else [run for run in runs if run.session_key == session_key]


def accept_run(db: sqlite3.Connection, new: NewRun, now_ms: int) -> Run | None:
    """Keep a message that is to be answered. `None`: now it is kept; else the run that came with the same key before."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ?", (new.id,)).fetchone()
    if row is not None:
        return _run(row)
    session = ensure_session(db, new.session_key, now_ms)
    (ordinal,) = db.execute(
        "UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE key = 'ordinal' RETURNING CAST(value AS INTEGER)"
    ).fetchone()
    db.execute(
        "INSERT INTO runs (id, ordinal, session_key, session_id, status, text, options, accepted_ms) "
        "VALUES (?, ?, ?, ?, 'queued', ?, ?, ?)",
        (new.id, ordinal, new.session_key, session.session_id, new.text, json.dumps(new.options), now_ms),
    )
    return None


def begin_run(db: sqlite3.Connection, run_id: str, now_ms: int, *, limit: int) -> tuple[Session, list[Message]] | None:
    """Move the message into the conversation; returns it with what was said before (the newest `limit`). `None`: no longer queued."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ? AND status = 'queued'", (run_id,)).fetchone()
    if row is None:
        return None
    run = _run(row)
    session = ensure_session(db, run.session_key, now_ms)
    db.execute("UPDATE runs SET status = 'running', session_id = ? WHERE id = ?", (session.session_id, run_id))
    _append(db, session, "user", run.text, at_ms=run.accepted_ms, run_id=run_id)
    db.execute("UPDATE sessions SET updated_ms = max(updated_ms, ?) WHERE key = ?", (now_ms, session.key))
    return session, list_messages(db, session, limit=limit)


def keep_partial(db: sqlite3.Connection, run_id: str, text: str) -> None:
    """As much of the answer as has arrived, in case the process is killed now."""
    db.execute("UPDATE runs SET partial = ? WHERE id = ? AND status = 'running'", (text, run_id))


def end_run(db: sqlite3.Connection, run_id: str, answer: Answer, now_ms: int) -> Message | None:
    """Write the answer into the conversation. `None` when the run had ended already, or had never begun and is only struck off."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ? AND status IN ('queued', 'running')", (run_id,)).fetchone()
    if row is None:
        return None
    run = _run(row)
    db.execute("UPDATE runs SET status = ?, partial = '', ended_ms = ? WHERE id = ?", (answer.status, now_ms, run_id))
    present = get_session(db, run.session_key)
    if present is None:
        return None
    # A turn that outlived a reset is written where it was asked.
    session = Session(run.session_key, run.session_id, None, None, None, 0, 0, 0, 0)
    if run.status is RunStatus.QUEUED:
        _append(db, session, "user", run.text, at_ms=run.accepted_ms, run_id=run_id)
    message = _append(db, session, "assistant", answer.text, at_ms=now_ms, run_id=run_id, detail=answer.detail)
    if present.session_id == run.session_id:
        db.execute(
            "UPDATE sessions SET updated_ms = ?, input_tokens = input_tokens + ?, output_tokens = output_tokens + ? WHERE key = ?",
            (now_ms, answer.input_tokens, answer.output_tokens, run.session_key),
        )
    _count_tokens(db, answer.input_tokens + answer.output_tokens)
    return message


def interrupt_running(db: sqlite3.Connection, detail: Mapping[str, object], now_ms: int) -> list[Run]:
    """At the opening: what was running when the last process ended is interrupted, with what had arrived of its answer."""
    interrupted = []
    for *row, partial in db.execute(f"SELECT {_RUN}, partial FROM runs WHERE status = 'running' ORDER BY ordinal").fetchall():
        run = _run(row)
        end_run(db, run.id, Answer(RunStatus.INTERRUPTED, partial, detail), now_ms)
        interrupted.append(run)
    return interrupted


def has_leftovers(db: sqlite3.Connection, now_ms: int) -> bool:
    """Whether the opening has anything to write; when not it writes nothing, so that an unchanged state stays unchanged."""
    return db.execute("SELECT 1 FROM runs WHERE status = 'running' OR ended_ms < ? LIMIT 1", (now_ms - RUN_KEPT_MS,)).fetchone() is not None


def forget_old_runs(db: sqlite3.Connection, now_ms: int) -> int:
    """Drop the keys of runs that ended long ago; the conversation keeps their messages. Returns how many."""
    return db.execute("DELETE FROM runs WHERE ended_ms < ?", (now_ms - RUN_KEPT_MS,)).rowcount


def answer_command(db: sqlite3.Connection, new: NewRun, answer: str, now_ms: int) -> Message:
    """A message that the gateway answered itself (a slash command): both sides are kept, and its key with them."""
    known = accept_run(db, new, now_ms)
    assert known is None, "whoever calls this looked"
    session = ensure_session(db, new.session_key, now_ms)
    _append(db, session, "user", new.text, at_ms=now_ms, run_id=new.id, detail={"command": True})
    message = _append(db, session, "assistant", answer, at_ms=now_ms, run_id=new.id, detail={"command": True, "stopReason": "stop"})
    db.execute("UPDATE runs SET status = 'done', session_id = ?, ended_ms = ? WHERE id = ?", (session.session_id, now_ms, new.id))
    db.execute("UPDATE sessions SET updated_ms = ? WHERE key = ?", (now_ms, new.session_key))
    return message


def total_tokens(db: sqlite3.Connection) -> int:
    """All tokens that this assistant ever used, as its providers counted them."""
    row = db.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'tokens'").fetchone()
    return 0 if row is None else int(row[0])


def _count_tokens(db: sqlite3.Connection, tokens: int) -> None:
    if tokens:
        db.execute(
            "INSERT INTO meta VALUES ('tokens', CAST(? AS TEXT)) "
            "ON CONFLICT DO UPDATE SET value = CAST(CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER) AS TEXT)",
            (tokens,),
        )


def _append(
    db: sqlite3.Connection,
    session: Session,
    role: str,
    text: str,
    *,
    at_ms: int,
    run_id: str,
    detail: Mapping[str, object] | None = None,
) -> Message:
    cursor = db.execute(
        "INSERT INTO messages (session_key, session_id, role, text, at_ms, run_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (session.key, session.session_id, role, text, at_ms, run_id, json.dumps(detail or {})),
    )
    assert cursor.lastrowid is not None
    return Message(cursor.lastrowid, role, text, at_ms, run_id, detail or {})


def _message(row: tuple[int, str, str, int, str | None, str]) -> Message:
    id_, role, text, at_ms, run_id, detail = row
    return Message(id_, role, text, at_ms, run_id, json.loads(detail))


def _run(row: list[object] | tuple[object, ...]) -> Run:
    id_, session_key, session_id, status, text, options, accepted_ms = row
    assert isinstance(id_, str)
    assert isinstance(session_key, str)
    assert isinstance(session_id, str)
    assert isinstance(text, str)
    assert isinstance(options, str)
    assert isinstance(accepted_ms, int)
    return Run(id_, session_key, session_id, RunStatus(str(status)), text, json.loads(options), accepted_ms)
