"""How messages that come during a turn are handled, as a conversation chose. Pure; `turns` says what each mode means."""

from __future__ import annotations

from enum import StrEnum

from moltbot_gateway.chat.active import Ended
from moltbot_gateway.models.failure import ErrorKind
from moltbot_gateway.store import runs
from moltbot_gateway.store.records import Run, RunStatus


class QueueMode(StrEnum):
    FOLLOWUP = "followup"
    COLLECT = "collect"
    STEER = "steer"
    INTERRUPT = "interrupt"


def queue_mode(settings: object) -> QueueMode:
    """Of a session's settings; what was never chosen, or no longer exists, is the default."""
    value = settings.get("queueMode") if isinstance(settings, dict) else None
    return QueueMode(value) if value in set(QueueMode) else QueueMode.FOLLOWUP


def end_of_joined(leader: Run, ended: Ended | None) -> tuple[str, None, dict[str, object]]:
    """What ends a message that was answered together with another one."""
    told: dict[str, object] = {"mergedInto": leader.id}
    match None if ended is None else ended.status:
        case RunStatus.DONE:
            return "final", None, told
        case RunStatus.ERROR if ended is not None:
            return "error", None, told | {"errorMessage": ended.error, "errorKind": ErrorKind.UNKNOWN.value}
        case _:
            return "aborted", None, told


def may_join(options: object) -> bool:
    """A person's plain message; what has a model, a time limit or a maker of its own is a turn of its own."""
    return isinstance(options, dict) and not {*runs.ORIGINS, "model", "timeoutMs"} & options.keys()
