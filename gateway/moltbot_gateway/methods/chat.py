"""chat.send, chat.abort, chat.history, chat.startup, chat.metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from moltbot_gateway.chat.commands import Command, find_command, help_text, is_stop
from moltbot_gateway.chat.wire import message_to_wire, queued_to_wire
from moltbot_gateway.errors import InvalidRequest, Unavailable
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.methods.sessions import agent_row, command_rows, defaults, model_rows, session_row
from moltbot_gateway.models.base import THINKING_LEVELS
from moltbot_gateway.store import conversations, records, runs
from moltbot_gateway.store.records import Message, NewRun, RunStatus, Session
from moltbot_protocol.events import CHAT

HISTORY_DEFAULT, HISTORY_MAX = 200, 1000
# Bytes of JSON; a longer history loses its oldest messages first.
HISTORY_BYTES = 6 * 2**20


async def send(context: Context) -> object:
    context.agent()
    key, text, run_id = context.session_key(), context.text("message"), context.text("idempotencyKey")
    turns = context.gateway.turns
    if context.params.get("attachments"):
        raise InvalidRequest("attachments are not served yet; send text")
    if not text.strip():
        raise InvalidRequest("the message is empty")
    if is_stop(text):
        aborted = await turns.abort(key)
        return {"ok": True, "aborted": bool(aborted), "runIds": aborted}
    if turns.queue_is_full(key):
        raise Unavailable("many messages wait for their answers already; wait for one of them", retry_after_ms=5000)
    options: dict[str, object] = {}
    if thinking := context.text("thinking"):
        options["thinking"] = check_thinking(thinking)
    if timeout := context.number("timeoutMs", 0):
        options["timeoutMs"] = timeout
    new = NewRun(run_id, key, text, options)
    command = None if context.params.get("suppressCommandInterpretation") else find_command(text)
    if command is not None:
        return await _run_command(context, new, *command)
    known = await turns.accept(new)
    return {"runId": run_id, "status": _status(known)}


def _status(known: RunStatus | None) -> str:
    if known is None:
        return "started"
    return "in_flight" if known in (RunStatus.QUEUED, RunStatus.RUNNING) else "ok"


async def _run_command(context: Context, new: NewRun, command: Command, argument: str) -> object:
    """Look, change and answer in one transaction, so that a repeated key never does it twice."""
    gateway, now = context.gateway, context.gateway.now_ms()
    text, change = await _prepare_command(context, new.session_key, command.name, argument)

    def carry_out(db: records.Connection) -> RunStatus | Message:
        known = runs.get_run_status(db, new.id)
        if known is not None:
            return known
        if change is not None:
            change(db)
        return runs.answer_command(db, new, text, now)

    done = await gateway.database.write(carry_out)
    if isinstance(done, RunStatus):
        return {"runId": new.id, "status": _status(done)}
    wire = message_to_wire(done)
    end: dict[str, object] = {"runId": new.id, "sessionKey": new.session_key, "seq": 1, "state": "final", "stopReason": "stop"}
    gateway.hub.tell(CHAT, end | {"message": wire})
    gateway.hub.tell_message(new.session_key, {"sessionKey": new.session_key, "message": wire})
    gateway.hub.tell_session_changed({"sessionKey": new.session_key, "reason": "command", "ts": now})
    return {"runId": new.id, "status": "started"}


Change = Callable[[records.Connection], object]


async def _prepare_command(context: Context, key: str, name: str, argument: str) -> tuple[str, Change | None]:
    """What is answered, and what is changed with it."""
    gateway, now = context.gateway, context.gateway.now_ms()
    session = await gateway.database.read(lambda db: conversations.get_session(db, key))
    model = _model_of(context, session)
    match name:
        case "new":
            await gateway.turns.abort(key)
            return "A new conversation. The one before is put away.", lambda db: conversations.reset_session(db, key, now)
        case "model" if not argument:
            return f"This conversation is answered by `{model}`. `/model <name>` chooses another.", None
        case "model":
            chosen = None if argument in ("default", gateway.default_model) else check_model(argument)
            text = f"From the next message on `{chosen or gateway.default_model}` answers here."
            return text, lambda db: conversations.patch_session(db, key, {"model": chosen}, now)
        case "think" if not gateway.model.thinks(model):
            return f"`{model}` has no thinking levels.", None
        case "think" if argument not in THINKING_LEVELS:
            present = session.thinking if session is not None and session.thinking else "off"
            return f"Levels: {', '.join(THINKING_LEVELS)}. Now: {present}.", None
        case "think":
            return f"Thinking: {argument}.", lambda db: conversations.patch_session(db, key, {"thinking": argument}, now)
        case "status":
            return await _status_text(context, session), None
        case _:
            return help_text(), None


async def _status_text(context: Context, session: Session | None) -> str:
    condition = context.gateway.conditions.get("ModelReady")
    count = 0
    if session is not None:
        count = len(await context.gateway.database.read(lambda db: conversations.list_messages(db, session, limit=100_000)))
    lines = [f"Model: `{_model_of(context, session)}`", f"Messages in this conversation: {count}"]
    if session is not None:
        lines.append(f"Tokens: {session.input_tokens} in, {session.output_tokens} out")
    if condition is not None:
        lines.append(condition.message)
    return "\n".join(f"- {line}" for line in lines)


def _model_of(context: Context, session: Session | None) -> str:
    return (session.model if session is not None else None) or context.gateway.default_model


def check_thinking(level: str) -> str:
    """Raises InvalidRequest."""
    if level not in THINKING_LEVELS:
        raise InvalidRequest(f"thinking is one of {', '.join(THINKING_LEVELS)}")
    return level


def check_model(name: str) -> str:
    """A model's name as providers write them. Raises InvalidRequest."""
    plain = name.strip()
    if not plain or len(plain) > 200 or any(character.isspace() or not character.isprintable() for character in plain):
        raise InvalidRequest("that is no model's name")
    return plain.removeprefix("anthropic/")


async def abort(context: Context) -> object:
    context.agent()
    run_id = context.text("runId") or None
    aborted = await context.gateway.turns.abort(context.session_key(), run_id)
    return {"ok": True, "aborted": bool(aborted), "runIds": aborted}


async def history(context: Context) -> object:
    context.agent()
    key = context.session_key()
    session, messages = await read_history(context, key)
    return _history(context, key, session, messages)


def _history(context: Context, key: str, session: Session | None, messages: list[dict[str, object]]) -> dict[str, object]:
    answer: dict[str, object] = {
        "sessionKey": key,
        "sessionId": None if session is None else session.session_id,
        "messages": messages,
        "thinkingLevel": (session.thinking if session is not None else None) or "off",
        "hasMore": False,
    }
    partial = context.gateway.turns.partial(key)
    if partial is not None:
        answer["inFlightRun"] = {"runId": partial[0], "text": partial[1]}
    return answer


async def read_history(context: Context, key: str) -> tuple[Session | None, list[dict[str, object]]]:
    """The newest messages, what waits included, within both limits."""
    limit = min(context.number("limit", HISTORY_DEFAULT), HISTORY_MAX)
    bytes_left = min(context.number("maxBytes", HISTORY_BYTES), HISTORY_BYTES)

    def read(db: records.Connection) -> tuple[Session | None, list[dict[str, object]]]:
        session = conversations.get_session(db, key)
        if session is None:
            return None, []
        messages = [message_to_wire(message) for message in conversations.list_messages(db, session, limit=limit)]
        waiting = [run for run in runs.list_open_runs(db, key) if run.status is RunStatus.QUEUED]
        return session, messages + [queued_to_wire(run) for run in waiting]

    session, messages = await context.gateway.database.read(read)
    kept: list[dict[str, object]] = []
    for message in reversed(messages):
        bytes_left -= len(json.dumps(message, ensure_ascii=False).encode())
        if bytes_left < 0 and kept:
            break
        kept.append(message)
    return session, kept[::-1]


async def startup(context: Context) -> object:
    """Everything that the version 4 page needs to show a conversation."""
    context.agent()
    if "shortId" in context.params:
        raise InvalidRequest("short links are not served; name the session by its key")
    key = context.session_key()
    session, messages = await read_history(context, key)
    answer = _history(context, key, session, messages)
    return answer | {
        "sessionInfo": session_row(context, session, key),
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
    "chat.send": send,
    "chat.abort": abort,
    "chat.history": history,
    "chat.startup": startup,
    "chat.metadata": metadata,
}
