"""sessions.*: what conversations there are, and what is chosen for each. Their rows are `rows`'."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.errors import InvalidRequest, Unavailable
from moltbot_gateway.methods.commands import check_model, check_thinking
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.methods.rows import SETTINGS, defaults, session_row, shorten
from moltbot_gateway.models.failure import ModelFailure
from moltbot_gateway.store import conversations, usage
from moltbot_gateway.store.records import Connection, Message, Session
from moltbot_protocol.hello import DEFAULT_AGENT, MAIN_SESSION

LIST_DEFAULT, LIST_MAX = 100, 1000
MAX_LABEL = 512


async def list_sessions(context: Context) -> object:
    limit = min(context.number("limit", LIST_DEFAULT), LIST_MAX)
    offset = context.number("offset", 0)
    search, active = context.text("search").strip().lower(), context.number("activeMinutes", 0)
    want_titles, want_last = context.params.get("includeDerivedTitles"), context.params.get("includeLastMessage")
    label = context.text("label")
    if context.params.get("agentId") not in (None, "", DEFAULT_AGENT) or context.params.get("archived") not in (None, False, "false"):
        return _listed(context, [], 0, offset)
    since = context.gateway.now_ms() - active * 60_000 if active else None

    def read(db: Connection) -> tuple[list[dict[str, object]], int]:
        sessions, _ = conversations.list_sessions(db, limit=LIST_MAX)
        if since is not None:
            sessions = [session for session in sessions if session.updated_ms >= since]
        if search:
            sessions = [session for session in sessions if search in session.key or search in (session.label or "").lower()]
        if label:
            sessions = [session for session in sessions if session.label == label]
        rows = []
        for session in sessions[offset : offset + limit]:
            row = session_row(context, session, session.key, usage.spent_in(db, session.key).cost)
            if want_titles and (first := conversations.first_message(db, session)) is not None:
                row["derivedTitle"] = shorten(first.text)
            if want_last and (last := conversations.list_messages(db, session, limit=1)):
                row["lastMessagePreview"] = shorten(last[0].text)
            rows.append(row)
        return rows, len(sessions)

    rows, total = await context.gateway.database.read(read)
    return _listed(context, rows, total, offset)


def _listed(context: Context, rows: list[dict[str, object]], total: int, offset: int) -> dict[str, object]:
    more = offset + len(rows) < total
    return {
        "ts": context.gateway.now_ms(),
        "path": "moltbot.sqlite",
        "count": len(rows),
        "totalCount": total,
        "hasMore": more,
        "nextOffset": offset + len(rows) if more else None,
        "defaults": defaults(context),
        "sessions": rows,
    }


async def describe(context: Context) -> object:
    context.agent()
    key = context.session_key("key")

    def read(db: Connection) -> tuple[Session | None, Message | None, list[Message], int]:
        session, cost = conversations.get_session(db, key), usage.spent_in(db, key).cost
        if session is None:
            return None, None, [], cost
        return session, conversations.first_message(db, session), conversations.list_messages(db, session, limit=1), cost

    session, first, last, cost = await context.gateway.database.read(read)
    row = session_row(context, session, key, cost)
    if context.params.get("includeDerivedTitles") and first is not None:
        row["derivedTitle"] = shorten(first.text)
    if context.params.get("includeLastMessage") and last:
        row["lastMessagePreview"] = shorten(last[0].text)
    return {"session": row}


async def patch(context: Context) -> object:
    """What is not served says so instead of pretending."""
    context.agent()
    key = context.session_key("key")
    changes: dict[str, str | None] = {}
    for name, value in context.params.items():
        match name:
            case "key" | "agentId":
                continue
            case "label":
                changes["label"] = _text_or_none(name, value)
                if len(changes["label"] or "") > MAX_LABEL:
                    raise InvalidRequest(f"a label has at most {MAX_LABEL} characters")
            case "model":
                wanted = _text_or_none(name, value)
                changes["model"] = None if wanted in (None, context.gateway.default_model) else check_model(str(wanted))
            case "thinkingLevel":
                level = _text_or_none(name, value)
                changes["thinking"] = None if level is None else check_thinking(level)
            case _ if name in SETTINGS:
                changes[name] = _choice(name, _text_or_none(name, value))
            case _:
                served = ", ".join(("label", "model", "thinkingLevel", *SETTINGS))
                raise InvalidRequest(f"sessions.patch: '{name[:64]}' is not served; {served} are")
    now = context.gateway.now_ms()

    def write(db: Connection) -> Session:
        session = conversations.patch_session(db, key, changes, now)
        model = session.model or context.gateway.default_model
        if changes.get("thinking") not in (None, "off") and not context.gateway.model.thinks(model):
            raise InvalidRequest(f"{model} has no thinking levels")  # nothing of the change is kept
        return session

    session = await context.gateway.database.write(write)
    _changed(context, key, "patch")
    cost = await context.gateway.database.read(lambda db: usage.spent_in(db, key).cost)
    return {"ok": True, "path": "moltbot.sqlite", "key": key, "entry": session_row(context, session, key, cost)}


def _choice(name: str, value: str | None) -> str | None:
    if value is not None and value not in SETTINGS[name]:
        raise InvalidRequest(f"{name} is one of {', '.join(SETTINGS[name])}")
    return value


def _text_or_none(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"invalid sessions.patch params: at /{name}: must be string")
    return value.strip() or None if value is not None else None


async def compact(context: Context) -> object:
    context.agent()
    key = context.session_key("key")
    session = await context.gateway.database.read(lambda db: conversations.get_session(db, key))
    if session is None:
        raise InvalidRequest("there is no such conversation")
    if context.gateway.turns.active_run(key) is not None:
        raise Unavailable("an answer is being written; try again after it", retry_after_ms=5000)
    try:
        compacted = await context.gateway.agent.compact(session)
    except ModelFailure as failure:
        raise Unavailable(failure.message) from failure
    _changed(context, key, "compact")
    return {"ok": True, "key": key, "compacted": compacted}


async def reset(context: Context) -> object:
    context.agent()
    key = context.session_key("key")
    await context.gateway.turns.abort(key)
    now = context.gateway.now_ms()
    session = await context.gateway.database.write(lambda db: conversations.reset_session(db, key, now))
    _changed(context, key, "reset")
    cost = await context.gateway.database.read(lambda db: usage.spent_in(db, key).cost)
    return {"ok": True, "key": key, "entry": session_row(context, session, key, cost)}


async def delete(context: Context) -> object:
    context.agent()
    key = context.session_key("key")
    if key == MAIN_SESSION:
        raise InvalidRequest("the main session cannot be deleted; sessions.reset begins it anew")
    await context.gateway.turns.abort(key)
    await context.gateway.turns.quiet(key)  # what it still writes would outlive the conversation
    deleted = await context.gateway.database.write(lambda db: conversations.delete_session(db, key))
    if deleted:
        _changed(context, key, "delete")
    return {"ok": True, "key": key, "deleted": deleted, "archived": []}


def _changed(context: Context, key: str, reason: str) -> None:
    context.gateway.hub.tell_session_changed({"sessionKey": key, "reason": reason, "ts": context.gateway.now_ms()})


async def subscribe(context: Context) -> object:
    context.listener.hears_sessions = True
    return {"subscribed": True}


async def unsubscribe(context: Context) -> object:
    context.listener.hears_sessions = False
    return {"subscribed": False}


# A page shows a few conversations; more would be a mistake or worse.
MAX_SUBSCRIPTIONS = 64


async def subscribe_messages(context: Context) -> object:
    context.agent()
    key = context.session_key("key")
    hears = context.listener.hears_messages
    if key not in hears and len(hears) >= MAX_SUBSCRIPTIONS:
        raise InvalidRequest(f"a connection follows at most {MAX_SUBSCRIPTIONS} sessions")
    hears.add(key)
    return {"subscribed": True, "key": key}


async def unsubscribe_messages(context: Context) -> object:
    context.agent()
    key = context.session_key("key")
    context.listener.hears_messages.discard(key)
    return {"subscribed": False, "key": key}


async def list_branches(context: Context) -> object:
    """A conversation has one line here."""
    context.session_key()
    return {"branches": []}


HANDLERS: Mapping[str, Handler] = {
    "sessions.list": list_sessions,
    "sessions.describe": describe,
    "sessions.patch": patch,
    "sessions.compact": compact,
    "sessions.reset": reset,
    "sessions.delete": delete,
    "sessions.subscribe": subscribe,
    "sessions.unsubscribe": unsubscribe,
    "sessions.messages.subscribe": subscribe_messages,
    "sessions.messages.unsubscribe": unsubscribe_messages,
    "sessions.branches.list": list_branches,
}
