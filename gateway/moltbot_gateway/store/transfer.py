"""One conversation as a document that stands alone, and back. Functions of a connection; what a stranger's document may hold is
`chat.documents`' to say.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.store.conversations import (
    add_compaction,
    append_message,
    ensure_session,
    get_compaction,
    get_session,
    list_messages,
    patch_session,
)
from moltbot_gateway.store.media import StoredMedia, get_media, put_media
from moltbot_gateway.store.records import Connection, Message, NewMessage

FORMAT = "moltbot-session"
VERSION = 1
# Messages in one document: more than any conversation has, and a bound for what a stranger's file makes us do.
MAX_MESSAGES = 100_000
# Bytes of pictures and documents in one document, the newest: it goes through one frame of the protocol (25 MiB, in base64).
MAX_MEDIA = 12 * 2**20


@dataclass(frozen=True)
class DocumentMessage:
    """`run`: messages of one turn have the same; `None`: nobody asked for it."""

    new: NewMessage
    at_ms: int
    run: str | None


@dataclass(frozen=True)
class Document:
    """What of a document is kept. `summary`: for how many of the first messages it stands, and its words."""

    messages: Sequence[DocumentMessage]
    media: Sequence[StoredMedia] = ()
    label: str | None = None
    thinking: str | None = None
    summary: tuple[int, str] | None = None


def export_session(db: Connection, key: str, now_ms: int) -> dict[str, object]:
    """Raises InvalidRequest when there is no such conversation."""
    session = get_session(db, key)
    if session is None:
        raise InvalidRequest("there is no such conversation")
    messages = list_messages(db, session, limit=MAX_MESSAGES)
    media = _newest_media(db, messages)
    upto, summary = get_compaction(db, session) or (0, "")
    summarised = sum(message.id <= upto for message in messages)
    return {
        "format": FORMAT,
        "version": VERSION,
        "exportedAt": now_ms,
        "session": {"key": key, "label": session.label, "thinking": session.thinking},
        "summary": {"messages": summarised, "text": summary} if summarised else None,
        "messages": [
            {
                "role": message.role,
                "text": message.text,
                "at": message.at_ms,
                "run": message.run_id,
                "detail": dict(message.detail),
                "content": message.content,
            }
            for message in messages
        ],
        "media": [{"id": one.id, "mimeType": one.mime_type, "name": one.name, "data": one.base64} for one in media],
    }


def _newest_media(db: Connection, messages: Sequence[Message]) -> list[StoredMedia]:
    """As many as fit; whoever imports the document reads of the others that they were there."""
    ids = (str(block["mediaId"]) for message in reversed(messages) for block in message.content or () if block.get("mediaId"))
    kept: list[StoredMedia] = []
    size = 0
    for media_id in dict.fromkeys(ids):
        found = get_media(db, media_id)
        size += 0 if found is None else len(found.data)
        if size > MAX_MEDIA:
            break
        if found is not None:
            kept.append(found)
    return kept


def import_session(db: Connection, key: str, document: Document, now_ms: int) -> int:
    """Make that conversation of a document; returns how many messages it has. Raises InvalidRequest: the key is taken."""
    if get_session(db, key) is not None:
        raise InvalidRequest("there is a conversation of that name already")
    ensure_session(db, key, now_ms)
    session = patch_session(db, key, {"label": document.label, "thinking": document.thinking}, now_ms)
    for picture in document.media:
        put_media(db, picture, now_ms)
    # Runs are named anew: those of the document may be known here already, of the very conversation that it was made of.
    runs: dict[str, str] = {}
    for number, one in enumerate(document.messages, 1):
        run_id = None if one.run is None else runs.setdefault(one.run, f"imported:{uuid.uuid4()}")
        written = append_message(db, session, one.new, at_ms=one.at_ms, run_id=run_id)
        if document.summary is not None and document.summary[0] == number:
            add_compaction(db, session, written.id, document.summary[1], now_ms)
    return len(document.messages)
