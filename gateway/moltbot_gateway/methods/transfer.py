"""sessions.export and sessions.import."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping

from moltbot_gateway.chat.documents import read_document
from moltbot_gateway.methods.context import Context, Handler, canonical_key
from moltbot_gateway.store import transfer


async def export_session(context: Context) -> object:
    context.agent()
    key, now = context.session_key("key"), context.gateway.now_ms()
    return {"document": await context.gateway.database.read(lambda db: transfer.export_session(db, key, now))}


async def import_session(context: Context) -> object:
    """Into a conversation of its own; nothing that is here is touched."""
    context.agent()
    key = canonical_key(context.text("key") or f"imported-{uuid.uuid4().hex[:8]}")
    now = context.gateway.now_ms()
    # Decoding and checking tens of megabytes is not for the loop that everybody's answers go through.
    document = await asyncio.to_thread(read_document, context.params.get("document"))
    count = await context.gateway.database.write(lambda db: transfer.import_session(db, key, document, now))
    context.gateway.hub.tell_session_changed({"sessionKey": key, "reason": "import", "ts": now})
    return {"ok": True, "key": key, "messages": count}


HANDLERS: Mapping[str, Handler] = {"sessions.export": export_session, "sessions.import": import_session}
