"""Objects of the API → the facts that the lifecycle decides on. Pure; what a status of ours says is read back here too."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from moltbot_api.model import parse_time
from moltbot_api.names import ANNOTATION_CERTIFICATE, ANNOTATION_INPUTS, ANNOTATION_JOBS, ANNOTATION_MODEL, LABEL_MANAGED_BY, MANAGED_BY
from moltbot_api.status import MoltbotStatus
from moltbot_kube import Object
from moltbot_operator.lifecycle import status as life
from moltbot_operator.lifecycle.observed import ContainerFacts, PodFacts, SnapshotFacts, StatefulSetFacts
from moltbot_operator.manifests.agent import read_jobs_annotation
from moltbot_operator.manifests.hashing import hash_annotation

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TEXT = 512


def statefulset_facts(obj: Object) -> StatefulSetFacts:
    """Of a StatefulSet of ours."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    looked_at = int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)
    annotations = ((spec.get("template") or {}).get("metadata") or {}).get("annotations") or {}
    return StatefulSetFacts(
        uid=str(metadata["uid"]),
        resource_version=str(metadata["resourceVersion"]),
        replicas=int(spec.get("replicas") or 0),
        hashed=hash_annotation(obj) is not None,
        revision=str(status["updateRevision"]) if looked_at and status.get("updateRevision") else None,
        inputs=annotations.get(ANNOTATION_INPUTS),
        model=annotations.get(ANNOTATION_MODEL),
        jobs=read_jobs_annotation(annotations.get(ANNOTATION_JOBS)),
    )


def pod_facts(obj: Object) -> PodFacts:
    """Of the gateway's pod."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    conditions = {str(one.get("type")): one for one in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready") or {}, conditions.get("PodScheduled") or {}
    unschedulable = None
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        unschedulable = str(scheduled.get("message") or "no node fits")[:_TEXT]
    return PodFacts(
        uid=str(metadata["uid"]),
        created_at=parse_time(metadata.get("creationTimestamp")) or _EPOCH,
        ip=str(status["podIP"]) if status.get("podIP") else None,
        phase=str(status.get("phase") or "Pending"),
        ready=ready.get("status") == "True",
        deletion_at=parse_time(metadata.get("deletionTimestamp")),
        revision=labels.get("controller-revision-hash"),
        inputs=annotations.get(ANNOTATION_INPUTS),
        model=annotations.get(ANNOTATION_MODEL),
        jobs=read_jobs_annotation(annotations.get(ANNOTATION_JOBS)),
        node=spec.get("nodeName"),
        certificate=annotations.get(ANNOTATION_CERTIFICATE),
        unschedulable=unschedulable,
        containers=tuple(_containers([*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())])),
    )


def _containers(statuses: Iterable[dict[str, Any]]) -> Iterable[ContainerFacts]:
    for one in statuses:
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("state") or {}).get("terminated") or {}
        terminated = (one.get("lastState") or {}).get("terminated") or ended
        last = ""
        if terminated:
            said = str(terminated.get("message") or "").strip().splitlines()
            last = f"{terminated.get('reason') or 'exit'} {terminated.get('exitCode', '')}".strip() + (
                f": {said[-1][:200]}" if said else ""
            )
        yield ContainerFacts(
            name=str(one.get("name") or ""),
            waiting_reason=waiting.get("reason"),
            waiting_message=str(waiting.get("message") or "")[:_TEXT],
            restarts=int(one.get("restartCount") or 0),
            last_exit=last,
            failed=bool(ended.get("exitCode")),
        )


def snapshot_facts(obj: Object) -> SnapshotFacts:
    """Of a MoltbotSnapshot. Those that the operator mirrors bear its label from their creation on."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    return SnapshotFacts(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        created_at=parse_time(metadata.get("creationTimestamp")) or _EPOCH,
        requested=(metadata.get("labels") or {}).get(LABEL_MANAGED_BY) != MANAGED_BY,
        done=status.get("phase") in ("Complete", "Failed"),
        bucket_id=status.get("bucketId"),
    )


def read_status(obj: Object) -> MoltbotStatus:
    """The status as it stands; an empty one when it cannot be read (somebody wrote nonsense into it): it is then made anew."""
    try:
        return MoltbotStatus.from_wire(obj.get("status"))
    except ValidationError:
        return MoltbotStatus()


def lifecycle_status(status: MoltbotStatus) -> life.LifecycleStatus:
    """The lifecycle's part of a status."""
    conditions = []
    for one in status.conditions or ():
        try:
            type_, reason = life.ConditionType(one.type), life.Reason(one.reason)
        except ValueError:
            continue
        conditions.append(
            life.Condition(
                type_, life.Truth(one.status), reason, one.message, one.last_transition_time or _EPOCH, one.observed_generation or 0
            )
        )
    usage = status.usage
    return life.LifecycleStatus(
        phase=_phase(status.phase),
        conditions=tuple(conditions),
        instance=status.instance,
        last_activity=status.last_activity_time,
        next_wake=status.next_wake_time,
        last_backup=life.LastBackup(status.last_backup.time, status.last_backup.snapshot, status.last_backup.bytes)
        if status.last_backup
        else None,
        last_wake=life.LastWake(
            status.last_wake.time, status.last_wake.reason or "", status.last_wake.seconds or 0.0, dict(status.last_wake.breakdown or {})
        )
        if status.last_wake
        else None,
        history=tuple(life.HistoryEntry(_phase(one.phase), one.time, one.reason or "") for one in status.history or ()),
        actions=tuple(
            life.ActionRecord(
                life.ActionKind(one.action), one.requested, life.ActionResult(one.result), one.time, one.message or "", one.instance
            )
            for one in status.actions or ()
        ),
        usage=life.Usage(usage.awake_seconds or 0, usage.tokens or 0, usage.counted_at) if usage else life.Usage(),
        recorded=life.Recorded(status.recorded.lineage, status.recorded.sequence)
        if status.recorded and status.recorded.lineage and status.recorded.sequence is not None
        else None,
        jobs=tuple(status.jobs) if status.jobs is not None else None,
    )


def _phase(text: str | None) -> life.Phase:
    try:
        return life.Phase(text or "Pending")
    except ValueError:
        return life.Phase.PENDING
