"""Control, port 18790: report, quiesce, commit, resume, touch, stage. Who may call what is in the architecture's table; the assertion is
checked by `moltbot_trust.control`. Each handler parses, calls one thing, translates the answer.
"""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

from moltbot_gateway.activity import Kind
from moltbot_gateway.errors import StateError, Unavailable
from moltbot_gateway.gateway import Gateway
from moltbot_gateway.handshake import Busy, Committed, Granted, Resumed
from moltbot_gateway.report import build_report
from moltbot_trust.assertions import Assertion
from moltbot_trust.clock import format_time
from moltbot_trust.control import Call, JsonObject, Refusal, control_application
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.seals import pod_audience

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_TTL_SECONDS = 600.0
_OPERATOR = frozenset({Purpose.OPERATOR_GATEWAY})
_ROUTER = frozenset({Purpose.ROUTER_GATEWAY})
_STATE = frozenset({Purpose.STATE_GATEWAY})


class Control:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def application(self, ring: KeyRing) -> web.Application:
        calls = [
            Call("GET", "/report", _OPERATOR, self.report),
            Call("POST", "/quiesce", _OPERATOR, self.quiesce),
            Call("POST", "/commit", _OPERATOR, self.commit),
            Call("POST", "/resume", _OPERATOR | _ROUTER, self.resume),
            Call("POST", "/touch", _ROUTER, self.touch),
            Call("POST", "/stage", _STATE, self.stage),
        ]
        audience = pod_audience(self._gateway.settings.pod_uid)
        purposes = (Purpose.OPERATOR_GATEWAY, Purpose.ROUTER_GATEWAY, Purpose.STATE_GATEWAY)
        return control_application(calls, ring, dict.fromkeys(purposes, audience), self._gateway.clock)

    async def report(self, body: JsonObject, _: Assertion) -> JsonObject:
        return build_report(self._gateway)

    async def quiesce(self, body: JsonObject, _: Assertion) -> JsonObject:
        gateway = self._gateway
        quiesce_id, ttl = _id(body), body.get("ttlSeconds")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= MAX_TTL_SECONDS:
            raise Refusal(400, "bad-request", f"ttlSeconds is a number of seconds, at most {MAX_TTL_SECONDS:g}")
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise Refusal(400, "bad-request", "force is true or false")
        # No await between looking whether somebody is busy and refusing everybody new.
        answer = gateway.handshake.quiesce(quiesce_id, float(ttl), gateway.clock.monotonic(), [] if force else gateway.busy)
        if force and isinstance(answer, Granted):
            await gateway.force_turns()
            # Whoever resumed meanwhile has new work, and is heard; else the time to live begins anew.
            answer = gateway.handshake.quiesce(quiesce_id, float(ttl), gateway.clock.monotonic(), gateway.busy)
        match answer:
            case Granted(state):
                gateway.advance()
                due = gateway.next_due
                return {"state": state.value, "nextDue": None if due is None else format_time(due)}
            case Busy(reasons):
                raise Refusal(409, "busy", f"the gateway is busy: {', '.join(reasons)}", busy=list(reasons))
            case Resumed():
                raise Refusal(409, "resumed", "this id was resumed before; begin again with a new one")

    async def commit(self, body: JsonObject, _: Assertion) -> JsonObject:
        gateway = self._gateway
        match gateway.handshake.commit(_id(body), gateway.clock.monotonic()):
            case Granted(state):
                gateway.committed()
                return {"state": state.value}
            case Resumed():
                raise Refusal(409, "resumed", "the gateway took new work since; begin again with a new id")

    async def resume(self, body: JsonObject, _: Assertion) -> JsonObject:
        match self._gateway.handshake.resume(self._gateway.clock.monotonic()):
            case Granted(state):
                self._gateway.advance()
                return {"state": state.value}
            case Committed():
                raise _committed()

    async def touch(self, body: JsonObject, _: Assertion) -> JsonObject:
        try:
            kind = Kind(str(body.get("kind")))
        except ValueError as error:
            raise Refusal(400, "bad-request", f"kind is one of {', '.join(Kind)}") from error
        match self._gateway.touch(kind):
            case Granted(state):
                return {"state": state.value}
            case Committed():
                raise _committed()

    async def stage(self, body: JsonObject, _: Assertion) -> JsonObject:
        gateway = self._gateway
        stage_id, unless = _id(body), body.get("unless")
        if unless is not None and not isinstance(unless, str):
            raise Refusal(400, "bad-request", "unless is a change token or null")
        target = Path(gateway.settings.state_dir) / "stage" / f"{stage_id}.sqlite"
        try:
            staged = await gateway.database.stage(target, unless=unless, progress=gateway.staging_step)
        except Unavailable as error:
            raise Refusal(409, "restoring", str(error)) from error
        except (StateError, OSError) as error:
            raise Refusal(503, "failed", f"the database could not be copied: {error}") from error
        gateway.staged(staged.change)
        path = None if staged.path is None else str(staged.path.relative_to(gateway.settings.state_dir))
        return {"change": staged.change, "path": path}


def _id(body: JsonObject) -> str:
    value = body.get("id")
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Refusal(400, "bad-request", "id is 1 to 128 letters, digits, '.', '_' or '-'")
    return value


def _committed() -> Refusal:
    return Refusal(409, "committed", "this process has committed to sleep and never serves again; wake the next one")
