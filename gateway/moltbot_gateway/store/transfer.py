"""One conversation as a document that stands alone, and back. Functions of a connection."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.store.conversations import append_message, ensure_session, get_session, list_messages
from moltbot_gateway.store.media import get_many_media, media_of, put_media
from moltbot_gateway.store.records import Connection, NewMessage

FORMAT = "moltbot-session"
VERSION = 1
# Messages in one document: more than any conversation has, and a bound for what a stranger's file makes us do.
MAX_MESSAGES = 100_000
_ROLES = frozenset({"user", "assistant", "toolResult"})


def export_session(db: Connection, key: str, now_ms: int) -> dict[str, object]:
    """Raises InvalidRequest when there is no such conversation."""
    session = get_session(db, key)
    if session is None:
        raise InvalidRequest("there is no such conversation")
    messages = list_messages(db, session, limit=MAX_MESSAGES)
    wanted = [str(block["mediaId"]) for message in messages for block in message.content or () if block.get("mediaId")]
    return {
        "format": FORMAT,
        "version": VERSION,
        "exportedAt": now_ms,
        "session": {"key": key, "label": session.label, "model": session.model, "thinking": session.thinking},
        "messages": [
            {
                "role": message.role,
                "text": message.text,
                "at": message.at_ms,
                "detail": dict(message.detail),
                "content": message.content,
            }
            for message in messages
        ],
        "media": [
            {"id": one.id, "mimeType": one.mime_type, "name": one.name, "data": one.base64} for one in get_many_media(db, wanted).values()
        ],
    }


def import_session(db: Connection, key: str, document: object, now_ms: int) -> int:
    """Make that conversation of a document; returns how many messages it has. Raises InvalidRequest: it is no such document, or the key is
    taken."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidRequest("that is no exported conversation of a Moltbot")
    if document.get("version") != VERSION:
        raise InvalidRequest(f"the document has version {document.get('version')}; this program reads version {VERSION}")
    messages = document.get("messages")
    if not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
        raise InvalidRequest("the document has no list of messages")
    if get_session(db, key) is not None:
        raise InvalidRequest("there is a conversation of that name already")
    session = ensure_session(db, key, now_ms)
    about = document.get("session")
    label = about.get("label") if isinstance(about, dict) else None
    if isinstance(label, str):
        db.execute("UPDATE sessions SET label = ? WHERE key = ?", (label[:512], key))
    for item in document.get("media") or []:
        _put(db, item, now_ms)
    for number, item in enumerate(messages):
        new, at_ms = _message(item, number)
        append_message(db, session, new, at_ms=at_ms, run_id=None)
    return len(messages)


def _put(db: Connection, item: object, now_ms: int) -> None:
    if not isinstance(item, dict):
        raise InvalidRequest("a file in the document is no object")
    try:
        data = base64.b64decode(str(item.get("data")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("a file in the document is not base64") from error
    # Named by what it is, so that a document cannot put its own bytes under another's name.
    put_media(db, media_of(str(item.get("mimeType"))[:64], str(item.get("name"))[:128], data), now_ms)


def _message(item: object, number: int) -> tuple[NewMessage, int]:
    if not isinstance(item, Mapping) or item.get("role") not in _ROLES or not isinstance(item.get("text"), str):
        raise InvalidRequest(f"message {number} of the document is none")
    at_ms, detail, content = item.get("at"), item.get("detail"), item.get("content")
    if not isinstance(at_ms, int) or not isinstance(detail, dict) or not (content is None or _is_content(content)):
        raise InvalidRequest(f"message {number} of the document is none")
    return NewMessage(str(item["role"]), str(item["text"]), detail, content), at_ms


def _is_content(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)
