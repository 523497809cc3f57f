"""What a condition says before it is written: status, reason, message. And which reasons are whose."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_api.conditions import ConditionType, Reason
from moltbot_operator.lifecycle.status import Truth


@dataclass(frozen=True, slots=True)
class Says:
    """One condition, without its times."""

    status: Truth
    reason: Reason
    message: str = ""


# Reasons that the operator itself gives from what it sees; any other one of these types was reported by a pod, and stands until a pod says
# something else or what it speaks of has changed.
OURS: dict[ConditionType, frozenset[Reason]] = {
    ConditionType.MODEL_READY: frozenset(
        {
            Reason.CONFIGURED,
            Reason.DEMO_MODEL,
            Reason.NO_MODEL,
            Reason.SECRET_MISSING,
            Reason.SECRET_KEY_MISSING,
            Reason.GROUP_INCOMPLETE,
            Reason.VALUE_INVALID,
        }
    ),
    ConditionType.TOOLS_READY: frozenset({Reason.AGENT_CONFIG_TOO_LARGE}),
    ConditionType.SCHEDULE_READY: frozenset({Reason.SCHEDULED}),
    ConditionType.BACKUP_READY: frozenset(
        {
            Reason.NOT_CONFIGURED,
            Reason.NOT_BACKED_UP_YET,
            Reason.SECRET_MISSING,
            Reason.SECRET_KEY_MISSING,
            Reason.GROUP_INCOMPLETE,
            Reason.VALUE_INVALID,
        }
    ),
    ConditionType.STORAGE_READY: frozenset(
        {
            Reason.BOUND,
            Reason.EPHEMERAL,
            Reason.LOSE_ON_RESTART,
            Reason.CLAIM_PENDING,
            Reason.CLAIM_LOST,
            Reason.CLAIM_MISSING,
            Reason.CLAIM_IN_USE,
            Reason.NO_STORAGE_CLASS,
            Reason.NO_BUCKET_FOR_EPHEMERAL,
        }
    ),
}
