"""sessions.search: words in the conversations that there are."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.store.search import Said, parse_query, search_messages

LIMIT_DEFAULT, LIMIT_MAX = 30, 100


async def search(context: Context) -> object:
    """A `snippet` has its hits between U+0002 and U+0003."""
    context.agent()
    query = parse_query(context.text("query"))
    limit = min(context.number("limit", LIMIT_DEFAULT), LIMIT_MAX)
    found = await context.gateway.database.read(lambda db: search_messages(db, query, limit=limit))
    return {"results": [_row(said) for said in found]}


def _row(said: Said) -> dict[str, object]:
    return {
        "key": said.key,
        "messageId": str(said.message_id),
        "role": said.role,
        "snippet": said.snippet,
        "timestamp": said.at_ms,
        "title": said.title,
    }


HANDLERS: Mapping[str, Handler] = {"sessions.search": search}
