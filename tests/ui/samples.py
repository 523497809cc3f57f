"""A Moltbot as the administration's API tells it, in the states that the page must show."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any


def ago(seconds: float) -> str:
    """RFC 3339 UTC, that many seconds before now."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def device_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def pending(name: str, platform: str = "Linux", client: str = "webchat-ui") -> dict[str, Any]:
    return {
        "deviceId": device_id(name),
        "name": name,
        "platform": platform,
        "client": client,
        "state": "pending",
        "request": {"id": f"req-{device_id(name)[:6]}", "at": ago(25), "role": "operator", "scopes": ["operator.read", "operator.write"]},
        "approved": None,
        "firstSeen": ago(25),
        "lastSeen": ago(5),
        "connected": False,
    }


def paired(name: str, platform: str = "macOS", client: str = "webchat-ui", connected: bool = False) -> dict[str, Any]:
    return pending(name, platform, client) | {
        "state": "approved",
        "request": None,
        "approved": {"by": "administration key", "at": ago(86_400 * 3), "roles": ["operator"], "scopes": ["operator.admin"]},
        "lastSeen": ago(0 if connected else 7200),
        "connected": connected,
    }


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 3, "lastTransitionTime": ago(3600)}


def snapshot(name: str, age: float, size: int, sequence: int) -> dict[str, Any]:
    made = {"name": name, "phase": "Complete", "createdAt": ago(age), "bytes": size}
    return made | {"files": 41, "sequence": sequence, "message": ""}


def ada(**status: Any) -> dict[str, Any]:
    """An awake one with everything to show; `status` replaces parts of its status."""
    return {
        "namespace": "default",
        "name": "ada",
        "uid": "0d6ff0a4-6b0f-4a53-9d67-6d0c2f1f0001",
        "createdAt": ago(86_400 * 12),
        "spec": {"sleepAfter": "30m", "operatingMode": "Auto"},
        "status": {
            "phase": "Awake",
            "url": "http://ada--default.localhost:8080",
            "model": "claude-sonnet-4-5",
            "conditions": [
                condition("Ready", "True", "Serving", "A request sent now would be answered."),
                condition("SecretsReady", "True", "Resolved", "All keys that are used are there."),
                condition("StorageReady", "True", "Bound", "Its volume is bound."),
                condition("ModelReady", "True", "Configured", "Answers with claude-sonnet-4-5."),
                condition("BackupReady", "True", "BackedUp", "The bucket has everything."),
            ],
            "lastActivityTime": ago(95),
            "lastBackup": {"time": ago(120), "snapshot": "ada-8c1d", "bytes": 1_843_200},
            "lastWake": {
                "time": ago(1400),
                "reason": "message",
                "seconds": 1.62,
                "breakdown": {"pod": 90, "address": 400, "listening": 310, "restored": 790, "open": 840},
            },
            "history": [
                {"phase": "Awake", "time": ago(1398), "reason": "Open"},
                {"phase": "Waking", "time": ago(1400), "reason": "Request"},
                {"phase": "Asleep", "time": ago(9400), "reason": "Idle"},
                {"phase": "Draining", "time": ago(9412), "reason": "Idle for 30m"},
                {"phase": "Awake", "time": ago(14_000), "reason": "Open"},
            ],
            "actions": [{"action": "restart", "requested": ago(90_000), "result": "done", "time": ago(89_990), "message": ""}],
            "usage": {"awakeSeconds": 20_800, "tokens": 184_220},
            **status,
        },
        "devices": [paired("Safari on macOS", connected=True), paired("Moltbot CLI", "Linux", "cli")],
        "snapshots": [snapshot("ada-8c1d", 120, 1_843_200, 17), snapshot("ada-77f0", 4000, 1_811_000, 16)],
    }
