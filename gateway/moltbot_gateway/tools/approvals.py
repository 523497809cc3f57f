"""Whether a call may be carried out: by what the resource says, by what a person allowed before, or by asking one now.

    confined, or the pod is the boundary    programs as the policy says (allow | ask | deny), files without asking
    not confined, on one machine            a person is asked each time, for files too
    not confined, on a cluster              refused; such tools are not offered either (`offers`)

Asked is whoever may approve (scope operator.approvals), through the protocol alone: nothing that a tool runs holds such a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from moltbot_gateway.agent_config import AgentConfig, Approval, Confinement
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.hub import Hub
from moltbot_gateway.store.allowed import AllowedPattern, add_allowed, is_full, list_allowed, touch_allowed
from moltbot_gateway.store.database import Database
from moltbot_gateway.tools.base import Risk, Tool, ToolCall, ToolOutcome, failed
from moltbot_gateway.tools.host import HostFailure
from moltbot_gateway.tools.patterns import EXEC, find_for, pattern_for
from moltbot_protocol.events import APPROVAL_REQUESTED, APPROVAL_RESOLVED
from moltbot_protocol.hello import DEFAULT_AGENT
from moltbot_protocol.methods import Scope
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.approvals")

# Seconds that a person has to decide; the turn is busy for as long.
PATIENCE = 300.0
MAX_OPEN = 64
# Characters of a command that an approval shows; a longer one is shown cut, and can only be allowed once.
MAX_SHOWN = 10_000


class Decision(StrEnum):
    ONCE = "allow-once"
    ALWAYS = "allow-always"
    DENY = "deny"


@dataclass(frozen=True)
class Allowed:
    """`pattern`: by which; empty: not by one."""

    pattern: str = ""


@dataclass(frozen=True)
class Denied:
    """Words for the model, and for the person."""

    for_model: str
    for_person: str


@dataclass(frozen=True)
class Pending:
    """Somebody is asked. `pattern`: what `allow-always` would keep, empty: nothing."""

    id: str
    tool: Tool
    call: ToolCall
    command: str
    pattern: str
    created_ms: int
    expires_ms: int
    decided: asyncio.Future[Decision] = field(repr=False)

    def to_wire(self) -> dict[str, object]:
        request: dict[str, object] = {
            "command": self.command[:MAX_SHOWN],
            "tool": self.tool.name,
            "label": self.tool.label,
            "cwd": self.call.text("cwd") or ".",
            "sessionKey": self.call.session_key,
            "runId": self.call.run_id,
            "toolCallId": self.call.id,
            "agentId": DEFAULT_AGENT,
            "host": "gateway",
            "security": "allowlist",
            "ask": "on-miss" if self.pattern else "always",
            "pattern": self.pattern,
        }
        return {"id": self.id, "request": request, "createdAtMs": self.created_ms, "expiresAtMs": self.expires_ms}


class Approvals:
    """`confined` tells whether tools are confined on this machine; it may start the child to find out, and raise HostFailure."""

    def __init__(
        self,
        config: AgentConfig,
        database: Database,
        hub: Hub,
        clock: Clock,
        *,
        confined: Callable[[], Awaitable[bool]],
        patience: float = PATIENCE,
    ) -> None:
        self.config = config
        self._database, self._hub, self._clock, self._confined, self._patience = database, hub, clock, confined, patience
        self._open: dict[str, Pending] = {}

    def offers(self, tool: Tool, *, confined: bool) -> bool:
        """Whether a model is shown this tool at all: not where each call would be refused."""
        if tool.risk not in (Risk.FILES, Risk.PROGRAMS):
            return True
        if tool.risk is Risk.PROGRAMS and self.config.programs is Approval.DENY:
            return False
        return confined or self.config.confinement is Confinement.POD or not self.config.on_cluster

    async def refuse(self, tool: Tool, call: ToolCall) -> ToolOutcome | None:
        """`None`: go on. Safe to cancel: the question is taken back."""
        try:
            answer = await self.decide(tool, call)
        except HostFailure as failure:
            return failed(str(failure), code=failure.code)
        return failed(answer.for_model, answer.for_person, denied=True) if isinstance(answer, Denied) else None

    async def decide(self, tool: Tool, call: ToolCall) -> Allowed | Denied:
        """Raises HostFailure where the tool process cannot be started."""
        risk = tool.risk_of(call.input) if tool.risk_of is not None else tool.risk
        if risk not in (Risk.FILES, Risk.PROGRAMS):
            return Allowed()
        if risk is Risk.PROGRAMS and self.config.programs is Approval.DENY:
            return Denied(
                "Running programs is switched off for this assistant. Do it another way, or tell the person what you would run.",
                "Running programs is switched off in the Moltbot resource.",
            )
        if self.config.confinement is not Confinement.POD and not await self._confined():
            return await self._unconfined(tool, call)
        if risk is Risk.FILES or self.config.programs is Approval.ALLOW:
            return Allowed()
        command = command_of(tool, call)
        kept = await self._database.read(list_allowed)
        pattern = find_for(tool.name, command, [*self.config.allowed, *(one.pattern for one in kept if one.tool == tool.name)])
        if pattern is not None:
            if any(one.pattern == pattern for one in kept):
                await self._database.write(lambda db: touch_allowed(db, pattern, self._now_ms()))
            return Allowed(pattern)
        return await self._ask(tool, call, pattern_for(tool.name, command) if len(command) <= MAX_SHOWN else "")

    async def _unconfined(self, tool: Tool, call: ToolCall) -> Allowed | Denied:
        if self.config.on_cluster:
            return Denied(
                "Files and programs cannot be used: this node's kernel cannot confine them. Tell the person.",
                "This node cannot confine tools (no Landlock), so they are off. Condition ToolsReady says what can be done.",
            )
        return await self._ask(tool, call, "")

    # asking

    async def _ask(self, tool: Tool, call: ToolCall, pattern: str) -> Allowed | Denied:
        if len(self._open) >= MAX_OPEN:
            return Denied("Too many approvals are open already; wait.", "Too many approvals are open already.")
        now_ms = self._now_ms()
        decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        expires_ms = now_ms + round(self._patience * 1000)
        pending = Pending(str(uuid.uuid4()), tool, call, command_of(tool, call), pattern, now_ms, expires_ms, decided)
        self._open[pending.id] = pending
        self._hub.tell_scope(Scope.APPROVALS, APPROVAL_REQUESTED, pending.to_wire())
        log.info("approval asked for", tool=tool.name, run=call.run_id)
        call.update("Waiting for your approval.")
        try:
            decision = await self._decision(pending)
        finally:
            # Expired, or the turn was stopped: nobody can decide it any more. What was decided has been told already.
            if self._open.pop(pending.id, None) is not None:
                self._tell_resolved(pending, Decision.DENY, "")
        match decision:
            case Decision.ONCE | Decision.ALWAYS:
                return Allowed(pattern if decision is Decision.ALWAYS else "")
            case Decision.DENY:
                return Denied(
                    "The person did not allow this call. Do not try it again in another form; ask what they would like instead.",
                    "You did not allow it.",
                )
            case None:
                minutes = f"{self._patience / 60:g} minutes"
                return Denied(
                    f"Nobody answered within {minutes}, so it was not done. Say what you wanted to do, and why; the person can ask again.",
                    f"Not done: nobody approved it within {minutes}.",
                )

    async def _decision(self, pending: Pending) -> Decision | None:
        """`None`: nobody decided in time."""
        expiry = asyncio.ensure_future(self._clock.sleep(self._patience))
        try:
            either: set[asyncio.Future[Any]] = {pending.decided, expiry}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # No longer open although time is over: it was decided in time and is being written down.
            return await pending.decided if pending.decided.done() or pending.id not in self._open else None
        finally:
            expiry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({expiry})

    def list_open(self) -> list[Pending]:
        """Oldest first."""
        return list(self._open.values())

    def get(self, approval_id: str) -> Pending:
        """Raises InvalidRequest: unknown, decided, expired, or its turn was stopped."""
        pending = self._open.get(approval_id)
        if pending is None:
            raise InvalidRequest("unknown or expired approval id")
        return pending

    async def resolve(self, approval_id: str, decision: Decision, by: str) -> None:
        """Decide; the first decision counts. `allow-always` is on disk when this returns.

        Raises:
            InvalidRequest: as `get`, or nothing could be kept of this call, or nothing more is kept at all; then it is still open.
        """
        if decision is Decision.ALWAYS and await self._database.read(is_full):
            raise InvalidRequest("the list of what is allowed always is full: allow this once, or remove some of the list")
        pending = self.get(approval_id)
        if decision is Decision.ALWAYS and not pending.pattern:
            raise InvalidRequest("this call can only be allowed once")
        # No await between looking and taking: of two who decide one gets the error.
        del self._open[approval_id]
        try:
            if decision is Decision.ALWAYS:
                new = AllowedPattern(pending.pattern, pending.tool.name, by, self._now_ms())
                await self._database.write(lambda db: add_allowed(db, new))
        except BaseException:
            decision = Decision.DENY  # it could not be kept, so it does not count
            raise
        finally:
            if not pending.decided.done():
                pending.decided.set_result(decision)
            self._tell_resolved(pending, decision, by)
            log.info("approval decided", tool=pending.tool.name, run=pending.call.run_id, decision=decision.value)

    def _tell_resolved(self, pending: Pending, decision: Decision, by: str) -> None:
        payload: dict[str, object] = {"id": pending.id, "decision": decision.value, "resolvedBy": by or None, "ts": self._now_ms()}
        self._hub.tell_scope(Scope.APPROVALS, APPROVAL_RESOLVED, payload)

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


def command_of(tool: Tool, call: ToolCall) -> str:
    """What an approval shows, and a pattern is matched with: the whole of it, never shortened."""
    if tool.name == EXEC:
        return call.text("command")
    if tool.describe is not None:
        return f"{tool.name} {tool.describe(call.input)}"
    return f"{tool.name} {dict(call.input)}"
