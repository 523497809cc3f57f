"""What the assistant says in a conversation without having been asked there: what it sent elsewhere, what a job or a heartbeat found."""

from __future__ import annotations

import json
from collections.abc import Mapping

from moltbot_gateway.store.conversations import Connection, Message, ensure_session


def append_note(db: Connection, session_key: str, text: str, detail: Mapping[str, object], now_ms: int) -> Message:
    """At the end of that conversation, which is begun where there is none. `detail` as of an answer (`Message.detail`)."""
    session = ensure_session(db, session_key, now_ms)
    cursor = db.execute(
        "INSERT INTO messages (session_key, session_id, role, text, at_ms, detail) VALUES (?, ?, 'assistant', ?, ?, ?)",
        (session.key, session.session_id, text, now_ms, json.dumps(detail, ensure_ascii=False)),
    )
    db.execute("UPDATE sessions SET updated_ms = max(updated_ms, ?) WHERE key = ?", (now_ms, session.key))
    assert cursor.lastrowid is not None
    return Message(cursor.lastrowid, "assistant", text, now_ms, None, detail)
