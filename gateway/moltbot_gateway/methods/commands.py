"""Slash commands: looked up, carried out and answered in one transaction, so that a repeated key never does it twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moltbot_gateway.chat.commands import COMMANDS, Command, help_text
from moltbot_gateway.chat.wire import message_to_wire
from moltbot_gateway.errors import GatewayError, InvalidRequest
from moltbot_gateway.methods.context import Context
from moltbot_gateway.models.base import THINKING_LEVELS
from moltbot_gateway.models.failure import ErrorKind, ModelFailure
from moltbot_gateway.store import conversations, runs, usage
from moltbot_gateway.store.records import Connection, Message, NewRun, RunStatus, Session
from moltbot_protocol.events import CHAT
from moltbot_protocol.methods import Scope, has_scope

Change = Callable[[Connection], object]

CHOICES = {command.name: command.choices for command in COMMANDS}
CONTINUE = "The answer before was cut off. Go on from where it stopped; look at the present state before you repeat anything."
# Messages among which the last answer is looked for.
LOOK_BACK = 50
# Settings of a conversation that a command sets, by the command's name.
_SETTINGS = {"queue": "queueMode", "verbose": "verboseLevel", "usage": "responseUsage"}


@dataclass(frozen=True)
class Reply:
    """`change` goes into the same transaction; `say` is a message for the assistant instead of an answer of ours."""

    text: str
    change: Change | None = None
    say: str | None = None


async def run_command(context: Context, new: NewRun, command: Command, argument: str) -> object:
    """The method's answer; a text when the command is a message for the assistant after all."""
    gateway, now = context.gateway, context.gateway.now_ms()
    known = await gateway.database.read(lambda db: runs.get_run_status(db, new.id))
    if known is not None:
        return {"runId": new.id, "status": "in_flight" if known in (RunStatus.QUEUED, RunStatus.RUNNING) else "ok"}
    reply = await _reply(context, new.session_key, command.name, argument)
    if reply.say is not None:
        if reply.change is not None:
            await gateway.database.write(reply.change)
        return reply.say

    def carry_out(db: Connection) -> RunStatus | Message:
        known = runs.get_run_status(db, new.id)
        if known is not None:
            return known
        if reply.change is not None:
            reply.change(db)
        return runs.answer_command(db, new, reply.text, now)

    done = await gateway.database.write(carry_out)
    if isinstance(done, RunStatus):
        return {"runId": new.id, "status": "ok"}
    wire = message_to_wire(done)
    end: dict[str, object] = {"runId": new.id, "sessionKey": new.session_key, "seq": 1, "state": "final", "stopReason": "stop"}
    gateway.hub.tell(CHAT, end | {"message": wire})
    gateway.hub.tell_message(new.session_key, {"sessionKey": new.session_key, "message": wire})
    gateway.hub.tell_session_changed({"sessionKey": new.session_key, "reason": "command", "ts": now})
    return {"runId": new.id, "status": "started"}


async def _reply(context: Context, key: str, name: str, argument: str) -> Reply:
    gateway, now = context.gateway, context.gateway.now_ms()
    session = await gateway.database.read(lambda db: conversations.get_session(db, key))
    match name:
        case "new":
            await gateway.turns.abort(key)
            text = "A new conversation. The one before is put away."
            return Reply(text, lambda db: conversations.reset_session(db, key, now), say=argument or None)
        case "continue":
            whole = Reply("The last answer is whole: there is nothing to continue.")
            return Reply("", say=CONTINUE) if await can_go_on(context, key) else whole
        case "model":
            return _model(context, key, session, argument)
        case "think":
            return _think(context, key, session, argument)
        case "usage" if not argument:
            return Reply(await _usage_text(context, key))
        case "verbose" | "queue" | "usage":
            return _setting(context, key, session, name, argument)
        case "send" | "activation":
            return Reply("No channel is connected: this conversation is only in the page, and everything in it is answered.")
        case "compact":
            return Reply(await _compact(context, session))
        case "context":
            return Reply(await _context_text(context, key))
        case "approve":
            return Reply(await _approve(context, argument))
        case "skill":
            return _skill(context, argument)
        case "whoami":
            seal = context.seal
            return Reply(f"- Device: {seal.name or seal.device_id} (`{seal.device_id[:12]}…`)\n- Scopes: {', '.join(seal.scopes)}")
        case "restart":
            return _restart(context)
        case "status":
            return Reply(await _status_text(context, session))
        case _:
            return Reply(help_text())


def _model(context: Context, key: str, session: Session | None, argument: str) -> Reply:
    gateway, now = context.gateway, context.gateway.now_ms()
    if not argument:
        return Reply(f"This conversation is answered by `{model_of(context, session)}`. `/model <name>` chooses another.")
    chosen = None if argument in ("default", gateway.default_model) else check_model(argument)
    text = f"From the next message on `{chosen or gateway.default_model}` answers here."
    return Reply(text, lambda db: conversations.patch_session(db, key, {"model": chosen}, now))


def _think(context: Context, key: str, session: Session | None, argument: str) -> Reply:
    gateway, now, model = context.gateway, context.gateway.now_ms(), model_of(context, session)
    if not gateway.model.thinks(model):
        return Reply(f"`{model}` has no thinking levels.")
    argument = argument.lower()
    if argument not in THINKING_LEVELS:
        present = session.thinking if session is not None and session.thinking else gateway.agent_config.thinking or "off"
        return Reply(f"Levels: {', '.join(THINKING_LEVELS)}. Now: {present}.")
    return Reply(f"Thinking: {argument}.", lambda db: conversations.patch_session(db, key, {"thinking": argument}, now))


def _setting(context: Context, key: str, session: Session | None, name: str, argument: str) -> Reply:
    setting, choices, now = _SETTINGS[name], CHOICES[name], context.gateway.now_ms()
    argument = argument.lower()
    if argument not in choices:
        present = (session.settings.get(setting) if session is not None else None) or f"{choices[0]} (the default)"
        return Reply(f"`/{name}` takes one of {', '.join(choices)}. Now: {present}.")
    return Reply(f"{name.capitalize()}: {argument}.", lambda db: conversations.patch_session(db, key, {setting: argument}, now))


async def can_go_on(context: Context, key: str) -> bool:
    """Whether the last answer was cut off. What the gateway said itself since, or the assistant by itself, is no answer; to what the model
    refused there is nothing to add."""

    def read(db: Connection) -> bool:
        session = conversations.get_session(db, key)
        messages = [] if session is None else conversations.list_messages(db, session, limit=LOOK_BACK)
        apart = ("command", "withdrawn")
        last = next((m for m in reversed(messages) if m.run_id is not None and not any(m.detail.get(word) for word in apart)), None)
        if last is None or last.detail.get("errorKind") == ErrorKind.REFUSAL:
            return False
        return last.detail.get("stopReason") in ("interrupted", "aborted", "error")

    return await context.gateway.database.read(read)


async def _compact(context: Context, session: Session | None) -> str:
    if session is None or context.gateway.turns.active_run(session.key) is not None:
        return "There is nothing to summarise yet." if session is None else "An answer is being written; try again after it."
    try:
        done = await context.gateway.agent.compact(session)
    except ModelFailure as failure:
        return f"That did not work: {failure.message}"
    return "The older part is summarised; all of it stays readable." if done else "This conversation is short: nothing was summarised."


async def _approve(context: Context, argument: str) -> str:
    request, _, decision = argument.partition(" ")
    words = {"once": "allow-once", "always": "allow-always"}
    if not request or not decision.strip():
        return "`/approve <id> once|always|deny`"
    if not has_scope(context.seal.scopes, Scope.APPROVALS):
        return "This device may not approve (scope operator.approvals)."
    chosen = decision.strip().lower()
    try:
        await context.gateway.agent.resolve_approval(request, words.get(chosen, chosen), context.seal.name or context.seal.device_id)
    except GatewayError as error:
        return str(error)
    return f"{chosen.capitalize()}: done."


def _skill(context: Context, argument: str) -> Reply:
    name, _, rest = argument.partition(" ")
    path = context.gateway.agent.skill_path(name)
    if path is None:
        return Reply(f"There is no skill `{name[:64]}` that can be used." if name else "`/skill <name> [text]`")
    return Reply("", say=f"Use the skill {name}: read {path} and do what it says. {rest}".strip())


def _restart(context: Context) -> Reply:
    if not has_scope(context.seal.scopes, Scope.ADMIN):
        return Reply("Only a device with operator.admin may restart the assistant.")
    context.gateway.restart_soon()
    return Reply("The assistant starts anew; this takes a few seconds.")


async def _usage_text(context: Context, key: str) -> str:
    ledger = context.gateway.agent.ledger
    day = ledger.today()
    today, here = await context.gateway.database.read(lambda db: (usage.spent_on(db, day), usage.spent_in(db, key)))
    lines = [f"Today: {_spent(today)}", f"This conversation: {_spent(here)}"]
    if ledger.limits.tokens is not None:
        lines.append(f"Limit a day: {ledger.limits.tokens:,} tokens")
    if ledger.limits.money_micros is not None:
        lines.append(f"Limit a day: {ledger.limits.money_micros / 1e6:.2f} US dollars")
    return "\n".join(f"- {line}" for line in lines)


def _spent(spent: usage.Spent) -> str:
    unknown = f", {spent.unpriced} of {spent.requests} requests without a known price" if spent.unpriced else ""
    return f"{spent.tokens:,} tokens ({spent.cache_read:,} from the cache), ${spent.cost / 1e6:.4f}{unknown}"


async def _context_text(context: Context, key: str) -> str:
    agent = context.gateway.agent
    system = await agent.for_session(private=agent.is_private(key), heartbeat=False)
    tools = agent.tools_of(key)
    schemas = sum(len(str(tool.for_model())) for tool in tools)
    lines = [f"System prompt: {sum(map(len, system)):,} characters in {len(system)} parts", f"Tools: {len(tools)}, {schemas:,} characters"]
    lines += [f"{tool.name}: {tool.label}" for tool in tools]
    return "\n".join(f"- {line}" for line in lines)


async def _status_text(context: Context, session: Session | None) -> str:
    condition = context.gateway.conditions.get("ModelReady")
    count = 0
    if session is not None:
        count = await context.gateway.database.read(lambda db: conversations.count_messages(db, session))
    lines = [f"Model: `{model_of(context, session)}`", f"Messages in this conversation: {count}"]
    if session is not None:
        lines.append(f"Tokens: {session.input_tokens} in, {session.output_tokens} out")
        lines.append(await _usage_text(context, session.key))
    if condition is not None:
        lines.append(condition.message)
    return "\n".join(line if line.startswith("- ") else f"- {line}" for line in lines)


def model_of(context: Context, session: Session | None) -> str:
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
