"""What pages and command lines ask for at start. Where there is nothing behind a question yet the answer is truly empty."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.conditions import MODEL_READY
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.methods.rows import agent_row, command_rows, model_rows, provider_of, session_row
from moltbot_gateway.models.facts import facts_of
from moltbot_gateway.schedule.heartbeat import DEFAULT_PROMPT, MAX_BESIDE
from moltbot_gateway.store import conversations
from moltbot_protocol.hello import DEFAULT_AGENT

# Of a recent session; as the official servers show.
RECENT = 5


async def _sessions(context: Context) -> tuple[list[dict[str, object]], int]:
    sessions, total = await context.gateway.database.read(lambda db: conversations.list_sessions(db, limit=RECENT))
    return [session_row(context, session, session.key) for session in sessions], total


async def health(context: Context) -> object:
    rows, total = await _sessions(context)
    now = context.gateway.now_ms()
    recent = [{"key": row["key"], "updatedAt": row["updatedAt"], "age": now - _int(row["updatedAt"])} for row in rows]
    sessions = {"path": "moltbot.sqlite", "count": total, "recent": recent}
    beats = context.gateway.agent_config.heartbeat
    every_ms = 0 if beats is None else beats.every_ms
    heartbeat = {
        "enabled": beats is not None,
        "every": f"{every_ms // 60_000}m",
        "everyMs": every_ms,
        "prompt": "" if beats is None else beats.prompt or DEFAULT_PROMPT,
        "target": "none" if beats is None else "last",
        "ackMaxChars": 0 if beats is None else MAX_BESIDE,
    }
    return {
        "ok": True,
        "ts": now,
        "durationMs": 0,
        "channels": {},
        "channelOrder": [],
        "channelLabels": {},
        "heartbeatSeconds": every_ms // 1000,
        "defaultAgentId": DEFAULT_AGENT,
        "agents": [{"agentId": DEFAULT_AGENT, "isDefault": True, "heartbeat": heartbeat, "sessions": sessions}],
        "sessions": sessions,
    }


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


async def status(context: Context) -> object:
    rows, total = await _sessions(context)
    recent = {"path": "moltbot.sqlite", "count": total, "recent": rows}
    return {
        "heartbeat": {"defaultAgentId": DEFAULT_AGENT, "agents": []},
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": {
            "paths": ["moltbot.sqlite"],
            "count": total,
            "defaults": {"model": context.gateway.default_model, "contextTokens": facts_of(context.gateway.default_model).context_tokens},
            "recent": rows,
            "byAgent": [{"agentId": DEFAULT_AGENT, **recent}],
        },
    }


async def models_list(context: Context) -> object:
    return {"models": model_rows(context)}


async def models_auth_status(context: Context) -> object:
    """Whether the key is good is known from real answers only."""
    gateway = context.gateway
    condition = gateway.conditions.get(MODEL_READY)
    state = "missing" if not gateway.model_works else "error" if condition is not None and condition.status == "False" else "ok"
    provider: dict[str, object] = {"provider": provider_of(context), "displayName": provider_of(context), "status": state, "profiles": []}
    if condition is not None and condition.status == "False":
        provider["message"] = condition.message
    return {"ts": gateway.now_ms(), "providers": [provider]}


async def agents_list(context: Context) -> object:
    return agent_row(context)


async def agent_identity(context: Context) -> object:
    context.agent()
    return {"agentId": DEFAULT_AGENT, "name": context.gateway.settings.name, "avatar": ""}


async def commands_list(context: Context) -> object:
    return {"commands": command_rows()}


async def tasks_list(context: Context) -> object:
    return {"tasks": []}


async def progress_card(context: Context) -> object:
    return {"card": None}


async def no_approvals(context: Context) -> object:
    return []


async def no_questions(context: Context) -> object:
    return {"questions": []}


HANDLERS: Mapping[str, Handler] = {
    "health": health,
    "status": status,
    "models.list": models_list,
    "models.authStatus": models_auth_status,
    "agents.list": agents_list,
    "agent.identity.get": agent_identity,
    "commands.list": commands_list,
    "tasks.list": tasks_list,
    "progressCard.get": progress_card,
    "plugin.approval.list": no_approvals,
    "question.list": no_questions,
}
