"""hello-ok: the good answer to `connect`. The router builds it for every connection, asleep or awake (rule 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moltbot_protocol.events import SERVED_EVENTS, TICK_INTERVAL_MS
from moltbot_protocol.methods import served_methods

DEFAULT_AGENT = "main"
MAIN_KEY = "main"
MAIN_SESSION = "agent:main:main"

# Before the opening is done nobody may send more than this in one frame (bytes), nor take longer than this (seconds).
PRE_AUTH_BYTES = 64 * 1024
OPENING_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Bytes and milliseconds, as the official servers of each version announce them."""

    max_payload: int
    max_buffered: int
    tick_interval_ms: int = TICK_INTERVAL_MS


POLICIES: Mapping[int, Policy] = {3: Policy(524_288, 1_572_864), 4: Policy(26_214_400, 52_428_800)}
ATTACHMENT_MAX_BYTES = 19_464_192
IMAGE_MAX_BYTES = 6_291_456


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """What the connection may do; `device_token` None when none is issued (no device, or version 3 without one)."""

    role: str
    scopes: Sequence[str]
    device_token: str | None = None
    issued_at_ms: int | None = None

    def to_wire(self) -> dict[str, object]:
        wire: dict[str, object] = {"role": self.role, "scopes": list(self.scopes)}
        if self.device_token is not None:
            wire["deviceToken"] = self.device_token
        if self.issued_at_ms is not None:
            wire["issuedAtMs"] = self.issued_at_ms
        return wire


@dataclass(frozen=True, slots=True)
class Hello:
    """Everything that differs between connections."""

    protocol: int
    version: str
    conn_id: str
    grant: DeviceGrant
    health: Mapping[str, object]
    uptime_ms: int
    presence: Sequence[Mapping[str, object]] = ()
    presence_version: int = 1
    health_version: int = 1
    host: str = ""
    model_configured: bool = True
    boot_id: str = ""
    name: str = ""


def build_hello(hello: Hello) -> dict[str, object]:
    """The payload of the response to `connect`."""
    policy = POLICIES[hello.protocol]
    server: dict[str, object] = {"version": hello.version, "connId": hello.conn_id}
    features: dict[str, object] = {"methods": served_methods(), "events": list(SERVED_EVENTS)}
    defaults: dict[str, object] = {
        "defaultAgentId": DEFAULT_AGENT,
        "mainKey": MAIN_KEY,
        "mainSessionKey": MAIN_SESSION,
        "scope": "per-sender",
    }
    limits: dict[str, object] = {
        "maxPayload": policy.max_payload,
        "maxBufferedBytes": policy.max_buffered,
        "tickIntervalMs": policy.tick_interval_ms,
    }
    if hello.name:
        server["name"] = hello.name
    if hello.protocol >= 4:
        server |= {"buildId": hello.version, "bootId": hello.boot_id or hello.conn_id}
        features["capabilities"] = []
        defaults["modelConfigured"] = hello.model_configured
        limits["attachments"] = {"maxBytes": ATTACHMENT_MAX_BYTES, "maxImageBytes": IMAGE_MAX_BYTES}
    elif hello.host:
        server["host"] = hello.host
    payload: dict[str, object] = {
        "type": "hello-ok",
        "protocol": hello.protocol,
        "server": server,
        "features": features,
        "snapshot": {
            "presence": [dict(entry) for entry in hello.presence],
            "health": dict(hello.health),
            "stateVersion": {"presence": hello.presence_version, "health": hello.health_version},
            "uptimeMs": max(0, hello.uptime_ms),
            "sessionDefaults": defaults,
        },
        "policy": limits,
    }
    if hello.protocol >= 4 or hello.grant.device_token is not None:
        payload["auth"] = hello.grant.to_wire()
    return payload
