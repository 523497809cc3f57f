"""What a person asks for now: annotations `moltbot.dev/{wake,sleep,restart,refresh}` on the Moltbot, each a time (rule 1). Pure.

Of several not done the newest runs and the older ones are superseded. `refresh` (read the Secrets again) stands apart: the operator reads
them before it decides anything, so it is done by the time it is looked at and supersedes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from moltbot_api.names import GROUP
from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.observed import Observed
from moltbot_operator.lifecycle.report_parsing import parse_time, printable
from moltbot_operator.lifecycle.status import ActionKind, ActionRecord, ActionResult, LifecycleStatus

# A person's clock may be ahead of ours by this much (seconds; rule 1).
FUTURE_SECONDS = 60.0
# What is kept of an annotation's text.
REQUESTED_LENGTH = 64
FINAL = frozenset({ActionResult.DONE, ActionResult.REFUSED, ActionResult.SUPERSEDED, ActionResult.IGNORED})


@dataclass(frozen=True, slots=True)
class ActionDecision:
    """`records`: how status.actions should stand. `current`: what is to be carried out now, `None`: nothing. `news`: reached just now."""

    records: tuple[ActionRecord, ...]
    current: ActionRecord | None
    news: tuple[ActionRecord, ...]

    @property
    def slept(self) -> bool:
        """Whether a sleep that a person asked for has just come about, or had already."""
        return any(record.action is ActionKind.SLEEP and record.result is ActionResult.DONE for record in self.news)


def annotation_of(kind: ActionKind) -> str:
    """The annotation by which it is asked."""
    return f"{GROUP}/{kind.value}"


def has_new_request(observed: Observed, known: LifecycleStatus) -> bool:
    """Whether an annotation stands there that `known` says nothing about yet: whoever is in the middle of something looks again."""
    for kind in ActionKind:
        text = observed.moltbot.annotations.get(annotation_of(kind))
        record = known.action(kind)
        if text is not None and (record is None or record.requested != _kept(text)):
            return True
    return False


def decide_actions(observed: Observed, now: datetime) -> ActionDecision:
    """Look at all four annotations and at what the status says of them."""
    records: dict[ActionKind, ActionRecord] = {record.action: record for record in observed.status.actions}
    news: list[ActionRecord] = []
    open_: list[tuple[datetime, ActionKind]] = []

    def settle(kind: ActionKind, result: ActionResult, message: str) -> None:
        record = replace(records[kind], result=result, message=message, time=now)
        if record != replace(records[kind], time=now):
            records[kind] = record
            news.append(record)

    for kind in ActionKind:
        text = observed.moltbot.annotations.get(annotation_of(kind))
        if text is None:
            continue
        known = records.get(kind)
        if known is not None and known.requested == _kept(text) and known.result in FINAL:
            continue
        if known is None or known.requested != _kept(text):
            instance = observed.pod.uid if observed.pod is not None else None
            # `time` of a fresh record is replaced when it is settled; it is new in any case
            records[kind] = ActionRecord(kind, _kept(text), ActionResult.RUNNING, now, "", instance)
            ignored = _why_ignored(text, observed.moltbot.created_at, now)
            if ignored is not None:
                settle(kind, ActionResult.IGNORED, ignored)
                continue
        if kind is ActionKind.REFRESH:
            settle(kind, ActionResult.DONE, "the Secrets were read again")
            continue
        moment = parse_time(text)
        if moment is not None:
            open_.append((moment, kind))
    open_.sort()
    for _, kind in open_[:-1]:
        settle(kind, ActionResult.SUPERSEDED, f"a later request came: {open_[-1][1].value}")
    current: ActionRecord | None = None
    if open_:
        kind = open_[-1][1]
        verdict = _verdict(records[kind], observed)
        if verdict is not None:
            settle(kind, *verdict)
        else:
            current = records[kind] = _with_instance(records[kind], observed)
    return ActionDecision(tuple(records[kind] for kind in ActionKind if kind in records), current, tuple(news))


def _kept(text: str) -> str:
    return printable(text, REQUESTED_LENGTH)


def _why_ignored(text: str, created_at: datetime, now: datetime) -> str | None:
    moment = parse_time(text)
    if moment is None:
        return "not a time: write it in UTC as in 2026-11-24T08:00:00Z"
    if moment <= created_at:
        return "not later than the Moltbot's own creation, so it was copied with it"
    if moment > now + timedelta(seconds=FUTURE_SECONDS):
        return "more than 60 s in the future: check the clock of the machine that asked"
    return None


def _verdict(record: ActionRecord, observed: Observed) -> tuple[ActionResult, str] | None:
    """The end of it, `None`: it is still to be done."""
    replicas = observed.statefulset.replicas if observed.statefulset is not None else 0
    suspended = observed.moltbot.mode is OperatingMode.SUSPENDED
    match record.action:
        case ActionKind.WAKE:
            if observed.moltbot.deleting:
                return ActionResult.REFUSED, "it is being deleted"
            if suspended:
                return ActionResult.REFUSED, "it is Suspended: set spec.operatingMode to Auto to wake it"
            if replicas == 1:
                return ActionResult.DONE, "it is awake or waking"
        case ActionKind.SLEEP:
            if replicas == 0:
                return ActionResult.DONE, "asleep"
            if _instance_gone(record, observed):
                return ActionResult.DONE, "it slept and was woken again"
        case ActionKind.RESTART:
            if replicas == 0:
                return ActionResult.DONE, "it is asleep: the next wake is a fresh start"
            if _instance_gone(record, observed) or (observed.pod is None and record.instance is not None):
                return ActionResult.DONE, "its pod is replaced"
            if observed.pod is None:
                return ActionResult.DONE, "it is just starting"
        case ActionKind.REFRESH:
            return ActionResult.DONE, "the Secrets were read again"
    return None


def _instance_gone(record: ActionRecord, observed: Observed) -> bool:
    return record.instance is not None and observed.pod is not None and observed.pod.uid != record.instance


def _with_instance(record: ActionRecord, observed: Observed) -> ActionRecord:
    """Asked before a pod was there: it is asked of the first one that comes."""
    if record.instance is None and observed.pod is not None:
        return replace(record, instance=observed.pod.uid)
    return record
