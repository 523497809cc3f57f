"""chat.send, chat.continue, chat.abort, chat.rewind, media.get: what begins, ends and takes back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

from moltbot_gateway.chat.attachments import Attached, check_together, read_attachments
from moltbot_gateway.chat.commands import find_command, is_stop
from moltbot_gateway.errors import InvalidRequest, Unavailable
from moltbot_gateway.methods.commands import CONTINUE, can_go_on, check_thinking, run_command
from moltbot_gateway.methods.context import Context, Handler, is_message_id
from moltbot_gateway.store import conversations, media, runs
from moltbot_gateway.store.records import Connection, NewRun, RunStatus


async def send(context: Context) -> object:
    context.agent()
    key, run_id = context.session_key(), context.text("idempotencyKey")
    turns = context.gateway.turns
    given = context.params.get("attachments")
    # Some tens of megabytes are decoded and hashed: not on the loop that everybody's answers go through.
    attached = await asyncio.to_thread(read_attachments, given) if given else Attached()
    text = attached.words(context.text("message"))
    if not text.strip() and not attached.media and not attached.known:
        raise InvalidRequest("the message is empty")
    if is_stop(text):
        # Sent again after a lost connection it must not stop what was begun since.
        known = await context.gateway.database.write(lambda db: runs.note_key(db, NewRun(run_id, key, text), context.gateway.now_ms()))
        aborted = [] if known is not None else await turns.abort(key)
        return {"ok": True, "aborted": bool(aborted), "runIds": aborted}
    command = None if context.params.get("suppressCommandInterpretation") else find_command(text)
    if command is not None:
        new = NewRun(run_id, key, text, _options(context))
        rewritten = await run_command(context, new, *command)
        if not isinstance(rewritten, str):
            return rewritten
        text = rewritten
    if turns.queue_is_full(key):
        raise Unavailable("many messages wait for their answers already; wait for one of them", retry_after_ms=5000)
    options = _options(context) | await _keep(context, attached)
    known = await turns.accept(NewRun(run_id, key, text, options))
    return {"runId": run_id, "status": status_word(known)}


def _options(context: Context) -> dict[str, object]:
    options: dict[str, object] = {}
    if thinking := context.text("thinking"):
        options["thinking"] = check_thinking(thinking)
    if timeout := context.number("timeoutMs", 0):
        options["timeoutMs"] = timeout
    return options


async def _keep(context: Context, attached: Attached) -> dict[str, object]:
    """Pictures and documents are on disk before the message that shows them."""
    if not attached.media and not attached.known:
        return {}
    now_ms = context.gateway.now_ms()

    def write(db: Connection) -> list[dict[str, object]]:
        for one in attached.media:
            media.put_media(db, one, now_ms)
        known = [media.get_media(db, media_id) for media_id in attached.known]
        if None in known:
            raise InvalidRequest("that attachment is no longer here; send it again")
        together = [one for one in (*attached.media, *known) if one is not None]
        check_together(together)
        return [one.to_block() for one in together]

    return {"attachments": await context.gateway.database.write(write)}


def status_word(known: RunStatus | None) -> str:
    if known is None:
        return "started"
    return "in_flight" if known in (RunStatus.QUEUED, RunStatus.RUNNING) else "ok"


async def go_on(context: Context) -> object:
    """An answer that was cut off goes on, with what it had done."""
    context.agent()
    key, run_id = context.session_key(), context.text("idempotencyKey")
    known = await context.gateway.database.read(lambda db: runs.get_run_status(db, run_id))
    if known is not None:
        return {"runId": run_id, "status": status_word(known)}
    if not await can_go_on(context, key):
        raise InvalidRequest("the last answer is whole: there is nothing to continue")
    known = await context.gateway.turns.accept(NewRun(run_id, key, CONTINUE, _options(context) | {"continue": True}))
    return {"runId": run_id, "status": status_word(known)}


async def abort(context: Context) -> object:
    context.agent()
    run_id = context.text("runId") or None
    aborted = await context.gateway.turns.abort(context.session_key(), run_id)
    return {"ok": True, "aborted": bool(aborted), "runIds": aborted}


async def rewind(context: Context) -> object:
    """A message of the person, and all after it, are put aside; returns what it was, to be sent again, perhaps edited."""
    context.agent()
    key = context.session_key()
    if not is_message_id(context.text("messageId")):
        raise InvalidRequest("messageId is the id of a message of this conversation")
    message_id = int(context.text("messageId"))

    def write(db: Connection) -> tuple[str, list[Mapping[str, object]]]:
        # Looked at here: a turn that begins between a look and the write would lose its message.
        if runs.list_open_runs(db, key):
            raise InvalidRequest("an answer is being written; stop it first")
        session = conversations.get_session(db, key)
        message = None if session is None else conversations.get_message(db, session, message_id)
        if session is None or message is None or message.role != "user":
            raise InvalidRequest("there is no message of yours with that id in this conversation")
        conversations.put_aside(db, session, message_id)
        return message.text, [block for block in message.content or () if block.get("mediaId")]

    text, attached = await context.gateway.database.write(write)
    context.gateway.hub.tell_session_changed({"sessionKey": key, "reason": "rewind", "ts": context.gateway.now_ms()})
    return {"ok": True, "text": text, "attachments": attached}


async def get_media(context: Context) -> object:
    media_id = context.text("id")
    found = await context.gateway.database.read(lambda db: media.get_media(db, media_id))
    if found is None:
        raise InvalidRequest("that file is not here")
    data = base64.b64encode(found.data).decode()
    return {"id": found.id, "mimeType": found.mime_type, "fileName": found.name, "data": data}


HANDLERS: Mapping[str, Handler] = {
    "chat.send": send,
    "chat.continue": go_on,
    "chat.abort": abort,
    "chat.rewind": rewind,
    "media.get": get_media,
}
