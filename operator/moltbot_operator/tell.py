"""Transitions of conditions → events that name what is missing and how to mend it. Pure; nothing standing is told twice, for events come
only with a written status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moltbot_api import status as api
from moltbot_api.conditions import ConditionType, Reason
from moltbot_operator.events import Told
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.status import Picture

# Conditions that are told when they are False, and those that are told when they are True.
_WHEN_FALSE = {
    ConditionType.SECRETS_READY,
    ConditionType.STORAGE_READY,
    ConditionType.MODEL_READY,
    ConditionType.TOOLS_READY,
    ConditionType.SKILLS_READY,
    ConditionType.MCP_READY,
    ConditionType.SCHEDULE_READY,
    ConditionType.BACKUP_READY,
    ConditionType.EXPOSED,
}
_WHEN_TRUE = {ConditionType.NAME_TAKEN, ConditionType.FOREIGN_FIELDS}
# A choice, not a fault.
_NOT_TOLD = {Reason.NOT_CONFIGURED.value, Reason.SECRETS_NOT_READY.value, Reason.STORAGE_NOT_READY.value}
# Ready passes through many reasons in an ordinary life; these are faults.
_READY_FAULTS = {
    Reason.PREVIOUS_POD_STUCK.value,
    Reason.IMAGE_PULL_FAILED.value,
    Reason.CRASH_LOOP.value,
    Reason.CONTAINER_CONFIG.value,
    Reason.UNSCHEDULABLE.value,
    Reason.GATEWAY_UNREACHABLE.value,
    Reason.BAD_REPORT.value,
    Reason.STATE_WAITING.value,
    Reason.KUBERNETES_TOO_OLD.value,
}
_PROGRESS_FAULTS = {Reason.RECONCILE_FAILED.value, Reason.CHANGED_BY_ADMISSION.value}


def events_of(key: Key, uid: str, changed: Iterable[api.Condition], picture: Picture) -> Iterator[Told]:
    """Events for the conditions that say something new."""
    for one in changed:
        type_ = ConditionType(one.type)
        if type_ is ConditionType.SECRETS_READY:
            for finding in picture.effective.findings:
                yield Told(
                    key, uid, finding.wrong or finding.reason is not Reason.VALUE_CLEANED, finding.reason.value, f"{finding.message}."
                )
        elif _is_fault(type_, one):
            yield Told(key, uid, True, one.reason, one.message)
    for name in picture.findings.adopted:
        message = f"PersistentVolumeClaim {name} of an earlier Moltbot of this name is taken over, with its memory."
        yield Told(key, uid, False, Reason.CLAIM_ADOPTED.value, message)


def _is_fault(type_: ConditionType, condition: api.Condition) -> bool:
    if condition.reason in _NOT_TOLD:
        return False
    match type_:
        case ConditionType.READY:
            return condition.status == "False" and condition.reason in _READY_FAULTS
        case ConditionType.PROGRESSING:
            return condition.reason in _PROGRESS_FAULTS
        case _:
            return (type_ in _WHEN_FALSE and condition.status == "False") or (type_ in _WHEN_TRUE and condition.status == "True")
