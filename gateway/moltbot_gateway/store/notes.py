"""What the assistant says in a conversation without having been asked there: what it sent elsewhere, what a job or a heartbeat found."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.store.conversations import append_message, ensure_session
from moltbot_gateway.store.records import Connection, Message, NewMessage


def append_note(db: Connection, session_key: str, text: str, detail: Mapping[str, object], now_ms: int) -> Message:
    """At the end of that conversation, which is begun where there is none. `detail` as of an answer (`Message.detail`)."""
    session = ensure_session(db, session_key, now_ms)
    db.execute("UPDATE sessions SET updated_ms = max(updated_ms, ?) WHERE key = ?", (now_ms, session.key))
    return append_message(db, session, NewMessage("assistant", text, detail), at_ms=now_ms, run_id=None)
