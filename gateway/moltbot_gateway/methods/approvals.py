"""exec.approval.*: what waits for a decision. exec.approvals.*: what was allowed for good."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

from moltbot_gateway.agent_config import Approval
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.store.allowed import MAX_ALLOWED, AllowedPattern, list_allowed, replace_allowed
from moltbot_gateway.tools.approvals import Approvals, Decision
from moltbot_gateway.tools.patterns import EXEC
from moltbot_protocol.hello import DEFAULT_AGENT

# The official words for the policy: `security` (who runs at all), `ask` (when a person is asked).
_DEFAULTS = {
    Approval.ALLOW: {"security": "full", "ask": "off"},
    Approval.ASK: {"security": "allowlist", "ask": "on-miss"},
    Approval.DENY: {"security": "deny", "ask": "off"},
}
MAX_PATTERN = 2000


async def approval_list(context: Context) -> object:
    return [pending.to_wire() for pending in context.gateway.agent.approvals.list_open()]


async def approval_get(context: Context) -> object:
    return context.gateway.agent.approvals.get(context.text("id")).to_wire()


async def approval_resolve(context: Context) -> object:
    by = context.seal.name or context.seal.device_id
    await context.gateway.agent.approvals.resolve(context.text("id"), Decision(context.text("decision")), by)
    return {"ok": True}


async def approvals_get(context: Context) -> object:
    kept = await context.gateway.database.read(list_allowed)
    return _shown(context.gateway.agent.approvals, kept)


async def approvals_set(context: Context) -> object:
    """The list of patterns, whole. The policy itself is the resource's."""
    gateway = context.gateway
    given = context.params["file"]
    assert isinstance(given, dict)
    if given.get("defaults", _defaults(gateway.agent.approvals)) != _defaults(gateway.agent.approvals):
        raise InvalidRequest("security and ask come from the Moltbot resource; only the allowlist is kept here")
    patterns = _patterns(given, context.seal.name or context.seal.device_id, gateway.now_ms())
    base = context.params.get("baseHash")

    def write(db: sqlite3.Connection) -> list[AllowedPattern]:
        before = list_allowed(db)
        if base is not None and base != _hash(gateway.agent.approvals, before):
            raise InvalidRequest("the list was changed meanwhile; read it again")
        replace_allowed(db, patterns)
        return list_allowed(db)

    return _shown(gateway.agent.approvals, await gateway.database.write(write))


def _patterns(file: Mapping[str, object], by: str, now_ms: int) -> list[AllowedPattern]:
    agents = file.get("agents", {})
    agent = agents.get(DEFAULT_AGENT, {}) if isinstance(agents, dict) else {}
    rows = agent.get("allowlist", []) if isinstance(agent, dict) else None
    if not isinstance(rows, list) or len(rows) > MAX_ALLOWED:
        raise InvalidRequest(f"agents.{DEFAULT_AGENT}.allowlist must be a list of at most {MAX_ALLOWED}")
    found = []
    for row in rows:
        pattern = row.get("pattern") if isinstance(row, dict) else None
        tool = row.get("tool", EXEC) if isinstance(row, dict) else None
        if not isinstance(pattern, str) or not isinstance(tool, str) or not 0 < len(pattern.strip()) <= MAX_PATTERN or len(tool) > 64:
            raise InvalidRequest(f"an entry has a pattern of 1 to {MAX_PATTERN} characters")
        found.append(AllowedPattern(pattern.strip(), tool, by, now_ms))
    return found


def _defaults(approvals: Approvals) -> dict[str, str]:
    return _DEFAULTS[approvals.config.programs]


def _file(approvals: Approvals, kept: list[AllowedPattern]) -> dict[str, object]:
    rows = [{"pattern": one.pattern, "tool": one.tool, "lastUsedAt": one.at_ms} for one in kept]
    return {"version": 1, "defaults": _defaults(approvals), "agents": {DEFAULT_AGENT: {"allowlist": rows}}}


def _hash(approvals: Approvals, kept: list[AllowedPattern]) -> str:
    """Of what is allowed, not of when it was last used: that changes by itself."""
    file = _file(approvals, [replace(one, at_ms=0) for one in kept])
    return hashlib.sha256(json.dumps(file, sort_keys=True).encode()).hexdigest()


def _shown(approvals: Approvals, kept: list[AllowedPattern]) -> dict[str, object]:
    return {"path": "moltbot.sqlite", "exists": True, "hash": _hash(approvals, kept), "file": _file(approvals, kept)}


HANDLERS: Mapping[str, Handler] = {
    "exec.approval.list": approval_list,
    "exec.approval.get": approval_get,
    "exec.approval.resolve": approval_resolve,
    "exec.approvals.get": approvals_get,
    "exec.approvals.set": approvals_set,
}
