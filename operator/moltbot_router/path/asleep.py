"""Answers for a sleeping Moltbot, from what its status says: the boot reads without which official clients send nothing (rule 4, tried).
Pure.

Each has `"asleep": true`, so that our own page keeps what it shows instead of an empty history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moltbot_protocol.hello import DEFAULT_AGENT, MAIN_KEY, MAIN_SESSION
from moltbot_router.path.facts import MoltbotFacts

Params = Mapping[str, object]
CONTEXT_TOKENS = 200_000


def health(moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    """`health` of a Moltbot that is not asked: it is well asleep."""
    return {
        "ok": True,
        "ts": now_ms,
        "durationMs": 0,
        "asleep": True,
        "channels": {},
        "channelOrder": [],
        "channelLabels": {},
        "heartbeatSeconds": 0,
        "defaultAgentId": DEFAULT_AGENT,
        "agents": [
            {
                "agentId": DEFAULT_AGENT,
                "isDefault": True,
                "heartbeat": {"enabled": False, "every": "0m", "everyMs": 0, "prompt": "", "target": "none", "ackMaxChars": 0},
                "sessions": {"path": "", "count": 0, "recent": []},
            }
        ],
        "sessions": {"path": "", "count": 0, "recent": []},
    }


def answer_asleep(method: str, params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    """The payload for a method whose `asleep` column says status. Raises KeyError for another one."""
    return {**_ANSWERS[method](params, moltbot, now_ms), "asleep": True}


def _status(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {
        "heartbeat": {"defaultAgentId": DEFAULT_AGENT, "agents": []},
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": {"paths": [], "count": 0, "defaults": _defaults(moltbot), "recent": [], "byAgent": []},
    }


def _defaults(moltbot: MoltbotFacts) -> dict[str, object]:
    return {"modelProvider": _provider(moltbot), "model": moltbot.model or None, "contextTokens": CONTEXT_TOKENS}


def _provider(moltbot: MoltbotFacts) -> str:
    return "demo" if moltbot.model == "demo" else "anthropic"


def _history(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    key = params.get("sessionKey")
    return {"sessionKey": key if isinstance(key, str) else MAIN_SESSION, "sessionId": None, "messages": [], "thinkingLevel": None}


def _startup(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    history = _history(params, moltbot, now_ms)
    row = _session_row(str(history["sessionKey"]), moltbot, now_ms)
    return {
        **history,
        "sessionInfo": row,
        "defaults": _defaults(moltbot),
        "agentsList": _agents({}, moltbot, now_ms),
        "metadata": {"models": _models({}, moltbot, now_ms)["models"], "commands": []},
    }


def _session_row(key: str, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {
        "key": key,
        "kind": "direct",
        "updatedAt": None,
        "sessionId": None,
        "modelProvider": _provider(moltbot),
        "model": moltbot.model or None,
        "contextTokens": CONTEXT_TOKENS,
    }


def _sessions(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    rows = [_session_row(MAIN_SESSION, moltbot, now_ms)]
    return {"ts": now_ms, "path": "", "count": len(rows), "totalCount": len(rows), "defaults": _defaults(moltbot), "sessions": rows}


def _agents(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    agent: dict[str, object] = {"id": DEFAULT_AGENT, "name": moltbot.key.name, "identity": {"name": moltbot.key.name}}
    if moltbot.model:
        agent["model"] = {"primary": f"{_provider(moltbot)}/{moltbot.model}"}
    return {"defaultId": DEFAULT_AGENT, "mainKey": MAIN_KEY, "scope": "per-sender", "agents": [agent]}


def _identity(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {"agentId": DEFAULT_AGENT, "name": moltbot.key.name, "avatar": ""}


def _models(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    if not moltbot.model:
        return {"models": []}
    model = {
        "id": moltbot.model,
        "name": moltbot.model,
        "provider": _provider(moltbot),
        "contextWindow": CONTEXT_TOKENS,
        "reasoning": False,
        "available": True,
    }
    return {"models": [model]}


def _subscribed(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {"ok": True, "subscribed": True}


def _unsubscribed(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {"ok": True, "subscribed": False}


def _nothing_to_abort(params: Params, moltbot: MoltbotFacts, now_ms: int) -> dict[str, object]:
    return {"ok": True, "aborted": False, "runIds": []}


_ANSWERS: dict[str, Callable[[Params, MoltbotFacts, int], dict[str, object]]] = {
    "health": lambda params, moltbot, now_ms: health(moltbot, now_ms),
    "status": _status,
    "chat.history": _history,
    "chat.startup": _startup,
    "chat.abort": _nothing_to_abort,
    "sessions.list": _sessions,
    "sessions.subscribe": _subscribed,
    "sessions.unsubscribe": _unsubscribed,
    "sessions.messages.subscribe": _subscribed,
    "sessions.messages.unsubscribe": _unsubscribed,
    "agents.list": _agents,
    "agent.identity.get": _identity,
    "models.list": _models,
}
