"""Pictures and documents, kept once however often they are sent. Functions of a connection."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from moltbot_gateway.store.records import Connection


@dataclass(frozen=True)
class StoredMedia:
    id: str
    mime_type: str
    name: str
    data: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.data).decode()

    def to_block(self) -> dict[str, object]:
        """As a conversation refers to it."""
        kind = "image" if self.mime_type.startswith("image/") else "document"
        return {"type": kind, "mimeType": self.mime_type, "mediaId": self.id, "fileName": self.name, "bytes": len(self.data)}


def media_of(mime_type: str, name: str, data: bytes) -> StoredMedia:
    return StoredMedia(hashlib.sha256(data).hexdigest(), mime_type, name, data)


def put_media(db: Connection, media: StoredMedia, now_ms: int) -> None:
    db.execute(
        "INSERT INTO media VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (media.id, media.mime_type, media.name, media.data, now_ms)
    )


def get_media(db: Connection, media_id: str) -> StoredMedia | None:
    row = db.execute("SELECT id, mime_type, name, bytes FROM media WHERE id = ?", (media_id,)).fetchone()
    return None if row is None else StoredMedia(*row)


def list_used(db: Connection, session_key: str | None = None) -> set[str]:
    """Ids that conversations refer to (those put aside and those of before a reset too), and messages that wait; of one or of all."""
    which = ('%"mediaId"%', session_key or "")
    rows = [
        *db.execute("SELECT content FROM messages WHERE content LIKE ? AND ? IN (session_key, '')", which),
        *db.execute("SELECT options ->> '$.attachments' FROM runs WHERE options LIKE ? AND ? IN (session_key, '')", which),
    ]
    blocks = (block for (content,) in rows if content is not None for block in json.loads(content))
    return {str(block["mediaId"]) for block in blocks if block.get("mediaId")}


def drop_unused(db: Connection, candidates: Iterable[str]) -> int:
    """Remove those of them that nothing refers to any more. Returns how many."""
    left = set(candidates)
    if left:
        left -= list_used(db)
    db.executemany("DELETE FROM media WHERE id = ?", [(media_id,) for media_id in left])
    return len(left)


def get_many_media(db: Connection, ids: Iterable[str]) -> dict[str, StoredMedia]:
    found = (get_media(db, media_id) for media_id in set(ids))
    return {media.id: media for media in found if media is not None}
