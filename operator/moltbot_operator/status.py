"""The whole status of a Moltbot, composed of the lifecycle's part and of what the operator itself sees (api.md, status). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moltbot_api import status as api
from moltbot_api.conditions import ConditionType, Reason
from moltbot_operator.children import Findings
from moltbot_operator.effective import Agent, Effective, ModelAdapter
from moltbot_operator.exposure import Exposure
from moltbot_operator.lifecycle import status as life
from moltbot_operator.lifecycle.status import Truth
from moltbot_operator.says import OURS, Says
from moltbot_operator.secret_values import listed
from moltbot_trust.clock import format_time
from moltbot_trust.verifiers import Verifier

# Counters and times are written at transitions, else at most this often (seconds; rule 1).
COUNTERS_SECONDS = 300.0
# moltbot_api.status.Sentence
SENTENCE_LENGTH = 1024
# Fields that move without anything having happened.
_COUNTERS = ("lastActivityTime", "usage")


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that the operator itself says about a Moltbot. `model_changed`: what a pod reported of the model speaks of another one."""

    generation: int
    effective: Effective
    exposure: Exposure
    storage: Says
    verifiers: tuple[Verifier, ...] = ()
    findings: Findings = field(default_factory=Findings)
    trouble: str | None = None  # why this pass could not be finished
    model_changed: bool = False


def compose(picture: Picture, lifecycle: life.LifecycleStatus, old: api.MoltbotStatus, now: datetime) -> api.MoltbotStatus:
    """How the status should stand now."""
    return api.MoltbotStatus(
        phase=lifecycle.phase.value,
        observed_generation=picture.generation,
        conditions=_conditions(picture, lifecycle, old, now),
        url=picture.exposure.url,
        host=picture.exposure.host,
        model=picture.effective.model.name,
        sleep_after=picture.effective.sleep_after_text,
        instance=lifecycle.instance,
        verifiers=[api.Verifier(key_id=one.key_id, value=one.value) for one in picture.verifiers] or None,
        last_activity_time=lifecycle.last_activity,
        next_wake_time=lifecycle.next_wake,
        last_backup=_backup(lifecycle.last_backup),
        last_wake=_wake(lifecycle.last_wake),
        history=[api.HistoryEntry(phase=one.phase.value, time=one.time, reason=one.reason[:256] or None) for one in lifecycle.history]
        or None,
        actions=[_action(one) for one in lifecycle.actions] or None,
        usage=_usage(lifecycle.usage),
        recorded=api.Recorded(lineage=lifecycle.recorded.lineage, sequence=lifecycle.recorded.sequence) if lifecycle.recorded else None,
        jobs=list(lifecycle.jobs) if lifecycle.jobs is not None else None,
    )


def _backup(backup: life.LastBackup | None) -> api.LastBackup | None:
    return None if backup is None else api.LastBackup(time=backup.time, snapshot=backup.snapshot, bytes=backup.bytes)


def _wake(wake: life.LastWake | None) -> api.LastWake | None:
    if wake is None:
        return None
    return api.LastWake(time=wake.time, reason=wake.reason or None, seconds=wake.seconds, breakdown=dict(wake.breakdown) or None)


def _action(record: life.ActionRecord) -> api.ActionRecord:
    return api.ActionRecord(
        action=record.action.value,
        requested=record.requested[:64],
        result=record.result.value,
        time=record.time,
        message=record.message[:SENTENCE_LENGTH] or None,
        instance=record.instance,
    )


def _usage(usage: life.Usage) -> api.Usage | None:
    if usage == life.Usage():
        return None
    return api.Usage(awake_seconds=usage.awake_seconds, counted_at=usage.counted_at, tokens=usage.tokens)


def _conditions(picture: Picture, lifecycle: life.LifecycleStatus, old: api.MoltbotStatus, now: datetime) -> list[api.Condition]:
    says: dict[ConditionType, Says] = {}
    for one in lifecycle.conditions:
        reported = one.type in OURS
        if reported and (one.reason in OURS[one.type] or _outdated(one.type, picture)):
            continue
        says[one.type] = Says(one.status, one.reason, one.message)
    says.setdefault(ConditionType.MODEL_READY, decide_model(picture.effective))
    if picture.effective.model.adapter in (ModelAdapter.DEMO, ModelAdapter.NONE):
        says[ConditionType.MODEL_READY] = decide_model(picture.effective)
    says.setdefault(ConditionType.BACKUP_READY, decide_backup(picture.effective, lifecycle.last_backup))
    if picture.effective.bucket is None:
        says[ConditionType.BACKUP_READY] = decide_backup(picture.effective, None)
    if says.get(ConditionType.STORAGE_READY) is None or picture.storage.status is Truth.FALSE:
        says[ConditionType.STORAGE_READY] = picture.storage
    says |= decide_agent(picture.effective.agent, says.get(ConditionType.SCHEDULE_READY), now)
    says[ConditionType.SECRETS_READY] = decide_secrets(picture.effective)
    says[ConditionType.EXPOSED] = picture.exposure.says
    says |= _of_children(picture)
    known = {one.type: one for one in old.conditions or ()}
    return [_condition(type_, says[type_], known.get(type_.value), picture.generation, now) for type_ in ConditionType if type_ in says]


def _outdated(type_: ConditionType, picture: Picture) -> bool:
    return type_ is ConditionType.MODEL_READY and picture.model_changed


def _of_children(picture: Picture) -> dict[ConditionType, Says]:
    findings, made = picture.findings, dict[ConditionType, Says]()
    if findings.taken:
        message = (
            f"{listed(findings.taken)} of this namespace is somebody else's, and in the way: rename or remove it, or rename the Moltbot"
        )
        made[ConditionType.NAME_TAKEN] = Says(Truth.TRUE, Reason.NAME_TAKEN, message)
        made[ConditionType.READY] = Says(Truth.FALSE, Reason.NAME_TAKEN, message)
    if findings.foreign:
        message = f"Others own fields of what the operator looks after, and it does not fight them: {'; '.join(findings.foreign)}"
        made[ConditionType.FOREIGN_FIELDS] = Says(Truth.TRUE, Reason.FOREIGN_FIELDS, message)
    if picture.trouble is not None:
        made[ConditionType.PROGRESSING] = Says(Truth.FALSE, Reason.RECONCILE_FAILED, picture.trouble)
    elif findings.admission:
        message = (
            f"A policy of the cluster changes what the operator writes, so it stays as the policy has it: {'; '.join(findings.admission)}"
        )
        made[ConditionType.PROGRESSING] = Says(Truth.TRUE, Reason.CHANGED_BY_ADMISSION, message)
    return made


def _condition(type_: ConditionType, says: Says, known: api.Condition | None, generation: int, now: datetime) -> api.Condition:
    same = known is not None and known.status == says.status.value and known.last_transition_time is not None
    return api.Condition(
        type=type_.value,
        status=says.status.value,
        reason=says.reason.value,
        message=says.message[:SENTENCE_LENGTH],
        observed_generation=generation,
        last_transition_time=known.last_transition_time if same and known is not None else now,
    )


def decide_secrets(effective: Effective) -> Says:
    """SecretsReady: False for what is wrong, the worst first; what is only told stands in the message of True."""
    order = (
        Reason.SECRET_MISSING,
        Reason.SECRET_KEY_MISSING,
        Reason.GROUP_INCOMPLETE,
        Reason.VALUE_INVALID,
        Reason.CONFIG_MAP_MISSING,
        Reason.CONFIG_MAP_KEY_MISSING,
    )
    wrong = sorted(
        (one for one in effective.findings if one.wrong), key=lambda one: order.index(one.reason) if one.reason in order else len(order)
    )
    notes = [one.message for one in effective.findings if not one.wrong]
    if wrong:
        return Says(Truth.FALSE, wrong[0].reason, ". ".join([*(one.message for one in wrong), *notes]) + ".")
    return Says(Truth.TRUE, Reason.RESOLVED, ". ".join(notes) + "." if notes else "Every Secret that is named is there.")


def decide_agent(agent: Agent, reported: Says | None, now: datetime) -> dict[ConditionType, Says]:
    """What the spec itself has wrong wins over what the gateway reports: it was left out before the gateway saw it. `reported`: what the
    gateway says of the schedule."""
    made: dict[ConditionType, Says] = {}
    if agent.config:
        words = ". ".join(finding.message for finding in agent.config)
        made[ConditionType.TOOLS_READY] = Says(Truth.FALSE, agent.config[0].reason, f"{words}.")
    if agent.schedule_problems:
        words = ". ".join(agent.schedule_problems)
        made[ConditionType.SCHEDULE_READY] = Says(Truth.FALSE, Reason.SCHEDULE_INVALID, f"{words}.")
    elif agent.has_schedule and reported is None:
        past = [f"{name} was due at {format_time(moment)}" for name, moment in agent.moments if moment <= now]
        note = f" {listed(past)}, which is past." if past else ""
        made[ConditionType.SCHEDULE_READY] = Says(Truth.TRUE, Reason.SCHEDULED, f"Everything in it can be done at its time.{note}")
    return made


def decide_model(effective: Effective) -> Says:
    """ModelReady as far as it is known without having asked the model."""
    model = effective.model
    match model.adapter:
        case ModelAdapter.NONE:
            return Says(Truth.FALSE, model.problem_reason, f"{model.problem}.")
        case ModelAdapter.DEMO:
            words = "No model key is set, so the offline demo model stands in." if model.stand_in else "The offline demo model answers."
            return Says(Truth.TRUE, Reason.DEMO_MODEL, words)
        case ModelAdapter.ANTHROPIC | ModelAdapter.OPENAI:
            return Says(Truth.UNKNOWN, Reason.CONFIGURED, f"{model.name} is configured, and was not asked yet.")


def decide_backup(effective: Effective, last: life.LastBackup | None) -> Says:
    """BackupReady as far as it is known without the state container."""
    if effective.bucket is not None:
        if last is not None:
            return Says(Truth.TRUE, Reason.BACKED_UP, "The bucket was found equal to the memory; see status.lastBackup.")
        return Says(Truth.UNKNOWN, Reason.NOT_BACKED_UP_YET, "There is a bucket, and no backup in it yet.")
    if effective.blocking:
        finding = effective.blocking[0]
        return Says(Truth.FALSE, finding.reason, f"{finding.message}.")
    words = (
        "No bucket is set, so nothing is backed up. For backups name one in persistence.bucket, or put R2_ACCESS_KEY_ID, "
        "R2_SECRET_ACCESS_KEY and CF_ACCOUNT_ID into a Secret of secretsFrom."
    )
    return Says(Truth.FALSE, Reason.NOT_CONFIGURED, words)


def transitions(old: api.MoltbotStatus, new: api.MoltbotStatus) -> list[api.Condition]:
    """Conditions that say something else than before: what events are made of."""
    known = {one.type: (one.status, one.reason, one.message) for one in old.conditions or ()}
    return [one for one in new.conditions or () if known.get(one.type) != (one.status, one.reason, one.message)]


def is_worth_writing(old: Mapping[str, Any], new: Mapping[str, Any], seconds_since_write: float) -> bool:
    """Whether the new status (as it goes over the wire) replaces the old one: a transition at once, mere counters at most
    every 5 minutes."""
    if dict(old) == dict(new):
        return False
    return _without_counters(old) != _without_counters(new) or seconds_since_write >= COUNTERS_SECONDS


def _without_counters(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in status.items() if name not in _COUNTERS}
    # whether time is being counted changes only with a pod's coming and going
    kept["usage"] = bool((status.get("usage") or {}).get("countedAt"))
    if isinstance(kept.get("lastBackup"), dict):
        kept["lastBackup"] = {name: value for name, value in kept["lastBackup"].items() if name != "time"}
    return kept
