"""Runs: messages that were sent to the assistant, and the answers to them. Functions of a connection.

A *run* is named by the idempotency key that came with its message:

    queued ──begin──► running ──► done | error | aborted | interrupted

`queued` is on disk before anybody is told `started`. What is `running` when the database is opened was cut off by the end of the process
before, and becomes `interrupted` with as much of the answer as had arrived; what is `queued` then is answered now. So nothing is lost and
nothing is answered twice. A message that joined a run on its way (`leader` in its options) is answered with it and ends with it.
"""

# ruff: noqa: S608 - the only text put into a statement is a constant list of columns
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from moltbot_gateway.store.conversations import append_message, ensure_session, get_session, put_run_aside
from moltbot_gateway.store.records import Answer, Connection, Message, NewMessage, NewRun, Run, RunStatus, Session
from moltbot_gateway.store.texts import storable, to_json

# A run's key is kept this long after its end, so that a client that comes back after a weekend still gets `ok` and not a second answer.
RUN_KEPT_MS = 30 * 24 * 3600 * 1000

# Options that say what made a run when no person wrote its message: shown in the conversation, so that nobody takes it for theirs.
ORIGINS = ("continue", "job", "heartbeat", "task", "announce")

_RUN = "id, session_key, session_id, status, text, options, accepted_ms"


def get_run_status(db: Connection, run_id: str) -> RunStatus | None:
    row = db.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else RunStatus(row[0])


def list_open_runs(db: Connection, session_key: str | None = None) -> list[Run]:
    """Runs not ended, in the order in which they were accepted; of one session or of all."""
    rows = db.execute(f"SELECT {_RUN} FROM runs WHERE status IN ('queued', 'running') ORDER BY ordinal")
    runs = [_run(row) for row in rows]
    return runs if session_key is None else [run for run in runs if run.session_key == session_key]


def accept_run(db: Connection, new: NewRun, now_ms: int) -> Run | None:
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
        (new.id, ordinal, new.session_key, session.session_id, storable(new.text), to_json(new.options), now_ms),
    )
    return None


def note_key(db: Connection, new: NewRun, now_ms: int) -> RunStatus | None:
    """Keep the key of a message that is carried out and not answered. `None`: it is kept now; else what it was before."""
    known = accept_run(db, new, now_ms)
    if known is not None:
        return known.status
    db.execute("UPDATE runs SET status = 'done', ended_ms = ? WHERE id = ?", (now_ms, new.id))
    return None


def begin_run(db: Connection, run_id: str, now_ms: int, *, leader: str | None = None) -> tuple[Session, Message] | None:
    """Move the message into the conversation. `leader`: it joins that run, which is on its way. `None`: no longer queued."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ? AND status = 'queued'", (run_id,)).fetchone()
    if row is None:
        return None
    run = _run(row)
    session = ensure_session(db, run.session_key, now_ms)
    options = run.options if leader is None else {**run.options, "leader": leader}
    db.execute(
        "UPDATE runs SET status = 'running', session_id = ?, options = ? WHERE id = ?", (session.session_id, to_json(options), run_id)
    )
    message = append_message(db, session, _asked(run), at_ms=run.accepted_ms, run_id=run_id)
    db.execute("UPDATE sessions SET updated_ms = max(updated_ms, ?) WHERE key = ?", (now_ms, session.key))
    return session, message


def keep_partial(db: Connection, run_id: str, text: str) -> None:
    """As much of the present step's text as has arrived, in case the process is killed now."""
    db.execute("UPDATE runs SET partial = ? WHERE id = ? AND status = 'running'", (storable(text), run_id))


def append_step(db: Connection, run_id: str, new: NewMessage, now_ms: int) -> Message | None:
    """Write what the model said before its run ends (a step that calls tools), or the result of a call. `None`: the run has ended."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ? AND status = 'running'", (run_id,)).fetchone()
    if row is None:
        return None
    run = _run(row)
    if new.role == "assistant":
        db.execute("UPDATE runs SET partial = '' WHERE id = ?", (run_id,))
    db.execute("UPDATE sessions SET updated_ms = max(updated_ms, ?) WHERE key = ?", (now_ms, run.session_key))
    return append_message(db, _where_asked(run), new, at_ms=now_ms, run_id=run_id)


def end_run(db: Connection, run_id: str, answer: Answer, now_ms: int) -> Message | None:
    """Write the answer into the conversation. `None` when the run had ended already, or had never begun and is only struck off. Whoever
    joined it ends with it."""
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE id = ? AND status IN ('queued', 'running')", (run_id,)).fetchone()
    if row is None:
        return None
    run = _run(row)
    db.execute(
        "UPDATE runs SET status = ?, partial = '', ended_ms = ? WHERE id = ? OR (status = 'running' AND options ->> '$.leader' = ?)",
        (answer.status, now_ms, run_id, run_id),
    )
    present = get_session(db, run.session_key)
    if present is None:
        return None
    session = _where_asked(run)
    detail = answer.detail
    if run.status is RunStatus.QUEUED:
        # Taken back before the model saw it: people see that, the model never does.
        asked = _asked(run)
        detail = {**detail, "withdrawn": True}
        append_message(db, session, replace(asked, detail={**asked.detail, "withdrawn": True}), at_ms=run.accepted_ms, run_id=run_id)
    new = NewMessage("assistant", answer.text, detail, answer.content)
    message = append_message(db, session, new, at_ms=now_ms, run_id=run_id)
    if present.session_id == run.session_id:
        db.execute(
            "UPDATE sessions SET updated_ms = ?, input_tokens = input_tokens + ?, output_tokens = output_tokens + ? WHERE key = ?",
            (now_ms, answer.input_tokens, answer.output_tokens, run.session_key),
        )
    _count_tokens(db, answer.input_tokens + answer.output_tokens)
    return message


def _asked(run: Run) -> NewMessage:
    """A run's message as it stands in the conversation: what came with it beside its words, and what made it when that was no person."""
    attached = run.options.get("attachments")
    blocks = [{"type": "text", "text": run.text}] if run.text else []
    content = [*blocks, *attached] if isinstance(attached, list) and attached else None
    origin = {name: run.options[name] for name in ORIGINS if name in run.options}
    return NewMessage("user", run.text, origin, content)


def _where_asked(run: Run) -> Session:
    """A turn that outlived a reset is written where it was asked."""
    return Session(run.session_key, run.session_id, None, None, None, 0, 0, 0, 0)


def interrupt_running(db: Connection, detail: Mapping[str, object], now_ms: int) -> list[Run]:
    """At the opening: what was running when the last process ended is interrupted, with what had arrived of its answer."""
    interrupted = []
    for *row, partial in db.execute(f"SELECT {_RUN}, partial FROM runs WHERE status = 'running' ORDER BY ordinal").fetchall():
        run = _run(row)
        if "leader" not in run.options:
            end_run(db, run.id, Answer(RunStatus.INTERRUPTED, partial, detail), now_ms)
            interrupted.append(run)
    return interrupted


# Runs that are not taken up again: heartbeats, for the next one looks again; jobs that had not begun, for the schedule has told that they
# did not finish; tasks that had not begun, for whoever waited for their answer is gone.
_NOT_TAKEN_UP = (
    "(options ->> '$.heartbeat' IS NOT NULL "
    "OR (status = 'queued' AND (options ->> '$.job' IS NOT NULL OR options ->> '$.task' IS NOT NULL)))"
)


def drop_own(db: Connection, now_ms: int) -> None:
    """What the assistant had begun by itself and does not take up again; nothing of it stays in the conversation."""
    for (run_id,) in db.execute(f"SELECT id FROM runs WHERE status IN ('queued', 'running') AND {_NOT_TAKEN_UP}").fetchall():
        db.execute("UPDATE runs SET status = 'interrupted', partial = '', ended_ms = ? WHERE id = ?", (now_ms, run_id))
        put_run_aside(db, run_id)


def has_leftovers(db: Connection, now_ms: int) -> bool:
    """Whether the opening has anything to write; when not it writes nothing, so that an unchanged state stays unchanged."""
    row = db.execute(
        f"SELECT 1 FROM runs WHERE status = 'running' OR ended_ms < ? OR (status = 'queued' AND {_NOT_TAKEN_UP}) LIMIT 1",
        (now_ms - RUN_KEPT_MS,),
    ).fetchone()
    return row is not None


def forget_old_runs(db: Connection, now_ms: int) -> int:
    """Drop the keys of runs that ended long ago; the conversation keeps their messages. Returns how many."""
    return db.execute("DELETE FROM runs WHERE ended_ms < ?", (now_ms - RUN_KEPT_MS,)).rowcount


def answer_command(db: Connection, new: NewRun, answer: str, now_ms: int) -> Message:
    """A message that the gateway answered itself (a slash command): both sides are kept, and its key with them."""
    known = accept_run(db, new, now_ms)
    assert known is None, "whoever calls this looked"
    session = ensure_session(db, new.session_key, now_ms)
    append_message(db, session, NewMessage("user", new.text, {"command": True}), at_ms=now_ms, run_id=new.id)
    reply = NewMessage("assistant", answer, {"command": True, "stopReason": "stop"})
    message = append_message(db, session, reply, at_ms=now_ms, run_id=new.id)
    db.execute("UPDATE runs SET status = 'done', session_id = ?, ended_ms = ? WHERE id = ?", (session.session_id, now_ms, new.id))
    db.execute("UPDATE sessions SET updated_ms = ? WHERE key = ?", (now_ms, new.session_key))
    return message


def total_tokens(db: Connection) -> int:
    """All tokens that this assistant ever used, as its providers counted them."""
    row = db.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'tokens'").fetchone()
    return 0 if row is None else int(row[0])


def _count_tokens(db: Connection, tokens: int) -> None:
    if tokens:
        db.execute(
            "INSERT INTO meta VALUES ('tokens', CAST(? AS TEXT)) "
            "ON CONFLICT DO UPDATE SET value = CAST(CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER) AS TEXT)",
            (tokens,),
        )


def _run(row: list[object] | tuple[object, ...]) -> Run:
    id_, session_key, session_id, status, text, options, accepted_ms = row
    assert isinstance(id_, str)
    assert isinstance(session_key, str)
    assert isinstance(session_id, str)
    assert isinstance(text, str)
    assert isinstance(options, str)
    assert isinstance(accepted_ms, int)
    return Run(id_, session_key, session_id, RunStatus(str(status)), text, json.loads(options), accepted_ms)
