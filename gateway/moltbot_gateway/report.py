"""The answer to `GET /report` (docs/reference/internals.md): the only source of what status says about a pod's inside (rule 12)."""

from __future__ import annotations

from datetime import datetime

from moltbot_gateway.gateway import Gateway
from moltbot_trust.clock import format_time


def build_report(gateway: Gateway) -> dict[str, object]:
    activity, opened = gateway.activity, gateway.opened
    return {
        "podUid": gateway.settings.pod_uid,
        "state": gateway.state.value,
        "progress": gateway.progress,
        "busy": gateway.busy,
        "busySince": _time(gateway.busy_since),
        "openedAt": _time(activity.opened),
        "lastActivity": _time(gateway.last_activity),
        "firstActivity": None if activity.first_kind is None else activity.first_kind.value,
        "nextDue": _time(gateway.next_due),
        "lineage": None if opened is None else opened.lineage,
        "sequence": None if opened is None else opened.sequence,
        "changed": gateway.changed,
        "quiesceId": gateway.handshake.quiesce_id,
        "conditions": gateway.conditions.to_json(),
        "timings": gateway.timings.to_json(),
        "tokens": gateway.tokens,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
