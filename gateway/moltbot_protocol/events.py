"""Names and payloads of the events that this version sends."""

from __future__ import annotations

from moltbot_protocol.frames import Event

CONNECT_CHALLENGE = "connect.challenge"
TICK = "tick"
SHUTDOWN = "shutdown"
CHAT = "chat"
AGENT = "agent"
CRON = "cron"
HEARTBEAT = "heartbeat"
HEALTH = "health"
PRESENCE = "presence"
SESSION_MESSAGE = "session.message"
SESSIONS_CHANGED = "sessions.changed"
DEVICE_PAIR_REQUESTED = "device.pair.requested"
DEVICE_PAIR_RESOLVED = "device.pair.resolved"
APPROVAL_REQUESTED = "exec.approval.requested"
APPROVAL_RESOLVED = "exec.approval.resolved"

# `features.events` of hello-ok.
SERVED_EVENTS = (
    AGENT,
    APPROVAL_REQUESTED,
    APPROVAL_RESOLVED,
    CHAT,
    CONNECT_CHALLENGE,
    CRON,
    DEVICE_PAIR_REQUESTED,
    DEVICE_PAIR_RESOLVED,
    HEALTH,
    HEARTBEAT,
    PRESENCE,
    SESSION_MESSAGE,
    SESSIONS_CHANGED,
    SHUTDOWN,
    TICK,
)
TICK_INTERVAL_MS = 30_000


def challenge(nonce: str, now_ms: int) -> Event:
    """The server's first frame."""
    return Event(CONNECT_CHALLENGE, {"nonce": nonce, "ts": now_ms})


def tick(now_ms: int) -> Event:
    """Clients close (4000) after two silent intervals."""
    return Event(TICK, {"ts": now_ms})


def shutdown(reason: str, restart_expected_ms: int | None = None) -> Event:
    """Sent before a socket is closed with 1012."""
    payload: dict[str, object] = {"reason": reason}
    if restart_expected_ms is not None:
        payload["restartExpectedMs"] = restart_expected_ms
    return Event(SHUTDOWN, payload)


def device_resolved(request_id: str, device_id: str, decision: str, now_ms: int) -> Event:
    """`decision`: approved | rejected | removed."""
    return Event(DEVICE_PAIR_RESOLVED, {"requestId": request_id, "deviceId": device_id, "decision": decision, "ts": now_ms})
