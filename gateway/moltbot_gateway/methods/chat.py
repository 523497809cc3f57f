"""chat.history, chat.startup, chat.metadata: what a page shows of a conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from moltbot_gateway.chat.wire import message_to_wire, queued_to_wire
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.methods.context import Context, Handler, is_message_id
from moltbot_gateway.methods.rows import agent_row, command_rows, defaults, model_rows, session_row
from moltbot_gateway.store import conversations, runs, usage
from moltbot_gateway.store.records import Connection, RunStatus, Session

HISTORY_DEFAULT, HISTORY_MAX = 200, 1000
# Bytes of JSON; a longer history loses its oldest messages first.
HISTORY_BYTES = 6 * 2**20


async def history(context: Context) -> object:
    context.agent()
    key = context.session_key()
    return _history(context, key, await read_history(context, key))


@dataclass(frozen=True)
class History:
    """`before`: the id of the oldest message shown, when there are older ones."""

    session: Session | None
    messages: list[dict[str, object]]
    before: str | None


def _history(context: Context, key: str, found: History) -> dict[str, object]:
    session = found.session
    answer: dict[str, object] = {
        "sessionKey": key,
        "sessionId": None if session is None else session.session_id,
        "messages": found.messages,
        "thinkingLevel": (session.thinking if session is not None else None) or context.gateway.agent_config.thinking or "off",
        "hasMore": found.before is not None,
        "nextCursor": found.before,
    }
    partial = context.gateway.turns.partial(key)
    if partial is not None:
        answer["inFlightRun"] = {"runId": partial[0], "text": partial[1]}
    return answer


async def read_history(context: Context, key: str) -> History:
    """The newest messages (with `cursor`: those before it), what waits included, within both limits."""
    limit = min(context.number("limit", HISTORY_DEFAULT), HISTORY_MAX)
    bytes_left = min(context.number("maxBytes", HISTORY_BYTES), HISTORY_BYTES)
    cursor = context.text("cursor")
    if cursor and not is_message_id(cursor):
        raise InvalidRequest("cursor is what the answer before gave as nextCursor")

    quiet = context.gateway.turns.quiet_run(key)

    def read(db: Connection) -> tuple[Session | None, list[dict[str, object]], list[dict[str, object]]]:
        session = conversations.get_session(db, key)
        if session is None:
            return None, [], []
        before = int(cursor) if cursor else None
        found = conversations.list_messages(db, session, limit=limit + 1, before_id=before)
        messages = [message_to_wire(message) for message in found if quiet is None or message.run_id != quiet]
        queued = [] if cursor else [run for run in runs.list_open_runs(db, key) if run.status is RunStatus.QUEUED]
        waiting = [run for run in queued if "heartbeat" not in run.options]
        return session, messages, [queued_to_wire(run) for run in waiting]

    session, messages, waiting = await context.gateway.database.read(read)
    kept: list[dict[str, object]] = []
    for message in reversed(messages[-limit:]):
        bytes_left -= len(json.dumps(message, ensure_ascii=False).encode())
        if bytes_left < 0 and kept:
            break
        kept.append(message)
    before = str(kept[-1]["id"]) if len(kept) < len(messages) else None
    return History(session, kept[::-1] + waiting, before)


async def startup(context: Context) -> object:
    """Everything that the version 4 page needs to show a conversation."""
    context.agent()
    if "shortId" in context.params:
        raise InvalidRequest("short links are not served; name the session by its key")
    key = context.session_key()
    found = await read_history(context, key)
    cost = await context.gateway.database.read(lambda db: usage.spent_in(db, key).cost)
    return _history(context, key, found) | {
        "sessionInfo": session_row(context, found.session, key, cost),
        "defaults": defaults(context),
        "agents": agent_row(context),
        "metadata": _metadata(context),
    }


def _metadata(context: Context) -> dict[str, object]:
    return {"models": model_rows(context), "commands": command_rows()}


async def metadata(context: Context) -> object:
    context.agent()
    return _metadata(context)


HANDLERS: Mapping[str, Handler] = {
    "chat.history": history,
    "chat.startup": startup,
    "chat.metadata": metadata,
}
