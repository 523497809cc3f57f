"""Rows that several methods show: session, model, agent, command."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.chat.commands import COMMANDS
from moltbot_gateway.methods.commands import CHOICES
from moltbot_gateway.methods.context import Context
from moltbot_gateway.models.base import THINKING_LEVELS
from moltbot_gateway.models.facts import facts_of
from moltbot_gateway.store.records import Session
from moltbot_gateway.workspace.scopes import kind_of
from moltbot_protocol.hello import DEFAULT_AGENT, MAIN_KEY

TITLE = 80
# What a conversation's settings may be; the first is the default.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "queueMode": CHOICES["queue"],
    "verboseLevel": CHOICES["verbose"],
    "responseUsage": CHOICES["usage"],
}


def provider_of(context: Context) -> str:
    return context.gateway.model.provider


def defaults(context: Context) -> dict[str, object]:
    return {
        "modelProvider": provider_of(context),
        "model": context.gateway.default_model,
        "contextTokens": facts_of(context.gateway.default_model).context_tokens,
    }


def session_row(context: Context, session: Session | None, key: str, cost_micros: int = 0) -> dict[str, object]:
    """One row of `sessions.list`; also of a session that nobody used yet."""
    gateway = context.gateway
    model = (session.model if session is not None else None) or gateway.default_model
    chosen = session.settings if session is not None else {}
    row: dict[str, object] = {
        "key": key,
        "kind": kind_of(key).value,
        "agentId": DEFAULT_AGENT,
        "updatedAt": None if session is None else session.updated_ms,
        "sessionId": None if session is None else session.session_id,
        "thinkingLevel": (session.thinking if session is not None else None) or gateway.agent_config.thinking or "off",
        "thinkingLevels": [{"id": level, "label": level} for level in THINKING_LEVELS] if gateway.model.thinks(model) else [],
        **{name: chosen.get(name) or choices[0] for name, choices in SETTINGS.items()},
        "inputTokens": 0 if session is None else session.input_tokens,
        "outputTokens": 0 if session is None else session.output_tokens,
        "totalTokens": 0 if session is None else session.input_tokens + session.output_tokens,
        "cost": cost_micros / 1_000_000,
        "modelProvider": provider_of(context),
        "model": model,
        "contextTokens": facts_of(model).context_tokens,
        "hasActiveRun": gateway.turns.active_run(key) is not None,
    }
    if session is not None and session.label:
        row["label"] = row["displayName"] = session.label
    return row


def model_rows(context: Context) -> list[dict[str, object]]:
    gateway = context.gateway
    if not gateway.model_works:
        return []
    names = dict.fromkeys((gateway.default_model, *gateway.agent_config.fallbacks))
    return [
        {
            "id": name,
            "name": name,
            "provider": provider_of(context),
            "contextWindow": facts_of(name).context_tokens,
            "reasoning": gateway.model.thinks(name),
            "available": True,
        }
        for name in names
    ]


def agent_row(context: Context) -> dict[str, object]:
    """The answer of `agents.list`."""
    name = context.gateway.settings.name
    agent: dict[str, object] = {"id": DEFAULT_AGENT, "name": name, "identity": {"name": name}}
    if context.gateway.model_works:
        agent["model"] = {"primary": f"{provider_of(context)}/{context.gateway.default_model}"}
    return {"defaultId": DEFAULT_AGENT, "mainKey": MAIN_KEY, "scope": "per-sender", "agents": [agent]}


def command_rows() -> list[dict[str, object]]:
    return [
        {
            "name": command.name,
            "textAliases": [f"/{word}" for word in (command.name, *command.aliases)],
            "description": command.description,
            "source": "native",
            "scope": "text",
            "acceptsArgs": bool(command.argument),
            "argument": command.argument,
            "choices": list(command.choices),
        }
        for command in COMMANDS
    ]


def shorten(text: str, limit: int = TITLE) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
