"""What happens to a Moltbot in plain words, from two versions of its object: pure. `moltbot up` prints it."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

PHASES = {
    "Pending": "is being prepared",
    "Waking": "is waking",
    "Awake": "is awake",
    "Draining": "is going to sleep: it finishes what it does and keeps what it knows",
    "Asleep": "is asleep: no process runs; the next visit, message or due job wakes it",
    "Suspended": "is suspended: it wakes when spec.operatingMode is Auto again",
    "Failed": "failed",
}
WOKEN_BY = {
    "page": "a visit",
    "request": "a request",
    "message": "a message",
    "job": "a due job",
    "schedule": "a job with a new time, which it has read",
    "person": "you",
    "start": "its first start",
}
# Of a device's 64-digit id: enough for it to be the only one.
SHOWN_DIGITS = 8
# Conditions that are no news while a phase tells the same.
QUIET = frozenset({"Sleeping", "Progressing", "Ready"})

# The reason of a condition that is a choice, not a fault: no bucket.
CHOSEN = "NotConfigured"


def _conditions(item: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    return {c["type"]: c for c in ((item or {}).get("status") or {}).get("conditions") or ()}


def describe_moltbot(before: Mapping[str, Any] | None, after: Mapping[str, Any], quiet: Set[str] = QUIET) -> list[str]:
    """Sentences without a subject (`is asleep …`), oldest first. `quiet`: conditions that are not told."""
    old, new = (before or {}).get("status") or {}, after.get("status") or {}
    said = []
    if "deletionTimestamp" in after["metadata"] and "deletionTimestamp" not in (before or after)["metadata"]:
        said.append("is being deleted")
    if new.get("phase") and new.get("phase") != old.get("phase"):
        said.append(_describe_phase(new, _conditions(after)))
    old_conditions = _conditions(before)
    for kind, condition in _conditions(after).items():
        previous = old_conditions.get(kind, {})
        if kind in quiet or (previous.get("status"), previous.get("reason"), previous.get("message")) == (
            condition.get("status"),
            condition.get("reason"),
            condition.get("message"),
        ):
            continue
        if condition.get("status") == "False" and condition.get("message") and condition.get("reason") != CHOSEN:
            said.append(f"{kind}: {condition['message']}")
        elif condition.get("status") == "True" and previous.get("status") == "False":
            said.append(f"{kind}: mended")
    backup = new.get("lastBackup") or {}
    if backup.get("snapshot") and backup.get("snapshot") != (old.get("lastBackup") or {}).get("snapshot"):
        said.append(f"is backed up ({_size(int(backup.get('bytes') or 0))})")
    for action in new.get("actions") or ():
        known = any(a.get("action") == action["action"] and a.get("requested") == action["requested"] for a in old.get("actions") or ())
        if not known and action.get("result") in ("ignored", "refused"):
            said.append(f"did not {action['action']}: {action.get('message') or action['result']}")
    return said


def _describe_phase(status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> str:
    phase = str(status["phase"])
    words = PHASES.get(phase, f"is {phase}")
    if phase == "Awake":
        wake = status.get("lastWake") or {}
        if wake.get("seconds") is not None:
            by = WOKEN_BY.get(str(wake.get("reason")))
            words += f" after {wake['seconds']:.1f} s" + (f", woken by {by}" if by else "")
        if status.get("sleepAfter") not in (None, "never"):
            words += f"; without work it sleeps after {status['sleepAfter']}"
    elif phase == "Failed":
        message = (conditions.get("Ready") or {}).get("message")
        words += f": {message}" if message else ""
    return words


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def describe_device(before: Mapping[str, Any] | None, after: Mapping[str, Any], admin: str, command: str = "moltbot") -> list[str]:
    """`after` is a MoltbotDevice, `admin` the link of the administration without its key, `command` what starts `moltbot` here."""
    spec, old = after.get("spec") or {}, (before or {}).get("spec") or {}
    name = printable(" on ".join(part for part in (spec.get("name"), spec.get("platform")) if part) or str(spec.get("deviceId", ""))[:12])
    said = []
    request = spec.get("request")
    if request and request != old.get("request") and "deletionTimestamp" not in after["metadata"]:
        short = f"{spec.get('moltbot')}-{str(spec.get('deviceId', ''))[:SHOWN_DIGITS]}"
        said.append(f"a device wants in: {name}. Approve it at {admin} or with `{command} devices approve {short}`")
    approved = spec.get("approved")
    if approved and approved != old.get("approved"):
        said.append(f"a device was approved: {name}")
    return said


def printable(text: str, limit: int = 60) -> str:
    """What a device says of itself is hostile text: nothing that moves a cursor or hides words."""
    return "".join(c if c.isprintable() else "?" for c in text)[:limit]


def describe_secrets(names: Sequence[str], origins: Mapping[str, str]) -> str:
    """Where the settings of a Secret that was made come from; never a value."""
    if not origins:
        return (
            f"no key was found in .env, .dev.vars or the environment, so Secret {', '.join(names)} is empty: that is fine for a first try"
        )
    by_origin: dict[str, list[str]] = {}
    for key, origin in sorted(origins.items()):
        by_origin.setdefault(origin, []).append(key)
    parts = [f"{', '.join(keys)} from {origin}" for origin, keys in sorted(by_origin.items())]
    return f"Secret {', '.join(names)}: {'; '.join(parts)}"
