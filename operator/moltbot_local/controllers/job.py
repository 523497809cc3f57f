"""Job with one completion: its pods, retries, deadlines, conditions, and its own end by age.

Source: kubernetes/pkg/controller/{job,ttlafterfinished}. Not here: parallelism and completions above 1, indexed jobs, pod failure
policies, tracking by pod finalizers (here nothing deletes a pod between its end and its being counted, unless a person does).
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..clock import Clock, from_rfc3339, to_rfc3339
from ..errors import ApiError
from ..events import Recorder
from ..history import Change
from ..store import Store
from .loop import Key
from .owners import is_controlled_by, is_ready, key_of, keys_of_owner, owner_reference
from .statefulset import SAFE_LETTERS

# job_controller.go: DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 10.0, 600.0


@dataclass(frozen=True)
class Plan:
    create: bool = False
    delete_pods: tuple[str, ...] = ()
    delete_job: bool = False
    status: dict[str, Any] | None = None
    # (type, reason, message) of an event that goes with a new condition
    event: tuple[str, str, str] | None = None
    again: float | None = None


def finished(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The condition that ended it."""
    return next(
        (c for c in (job.get("status") or {}).get("conditions") or () if c["type"] in ("Complete", "Failed") and c["status"] == "True"),
        None,
    )


def _condition(kind: str, reason: str, message: str, now: float) -> dict[str, Any]:
    time = to_rfc3339(now)
    return {"type": kind, "status": "True", "lastProbeTime": time, "lastTransitionTime": time, "reason": reason, "message": message}


@dataclass
class _Seen:
    active: list[Mapping[str, Any]] = field(default_factory=list)
    ending: list[Mapping[str, Any]] = field(default_factory=list)
    succeeded: list[Mapping[str, Any]] = field(default_factory=list)
    failed: list[Mapping[str, Any]] = field(default_factory=list)


def _sort(pods: Iterable[Mapping[str, Any]]) -> _Seen:
    seen = _Seen()
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase")
        if phase == "Succeeded":
            seen.succeeded.append(pod)
        elif phase == "Failed":
            seen.failed.append(pod)
        elif "deletionTimestamp" in pod["metadata"]:
            seen.ending.append(pod)
        else:
            seen.active.append(pod)
    return seen


def _restarts(pods: Sequence[Mapping[str, Any]]) -> int:
    return sum(c.get("restartCount") or 0 for p in pods for c in (p.get("status") or {}).get("containerStatuses") or ())


def _ended_at(pod: Mapping[str, Any]) -> float:
    times = [
        from_rfc3339(c["state"]["terminated"]["finishedAt"])
        for c in (pod.get("status") or {}).get("containerStatuses") or ()
        if (c.get("state") or {}).get("terminated", {}).get("finishedAt")
    ]
    return max(times, default=from_rfc3339(pod["metadata"]["creationTimestamp"]))


def decide_job(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: float) -> Plan:
    """`pods`: those that it controls."""
    meta, spec, old = job["metadata"], job["spec"], job.get("status") or {}
    if "deletionTimestamp" in meta:
        return Plan()
    end = finished(job)
    if end is not None:
        ttl = spec.get("ttlSecondsAfterFinished")
        if ttl is None:
            return Plan()
        due = from_rfc3339(end["lastTransitionTime"]) + ttl
        return Plan(delete_job=True) if due <= now else Plan(again=due)
    seen = _sort(pods)
    # A pod that was counted may be deleted later; what was counted stays.
    succeeded = max(len(seen.succeeded), int(old.get("succeeded") or 0))
    failed = max(len(seen.failed), int(old.get("failed") or 0))
    suspended = bool(spec.get("suspend"))
    start = old.get("startTime") or (None if suspended else to_rfc3339(now))
    status: dict[str, Any] = {
        "startTime": start,
        "active": len(seen.active) or None,
        "ready": sum(map(is_ready, seen.active)),
        "terminating": len(seen.ending),
        "succeeded": succeeded or None,
        "failed": failed or None,
        "uncountedTerminatedPods": {},
    }

    def finish(kind: str, reason: str, message: str, criterion: str) -> Plan:
        conditions = [_condition(criterion, reason, message, now), _condition(kind, reason, message, now)]
        status["conditions"] = [*(c for c in old.get("conditions") or () if c["type"] not in (kind, criterion)), *conditions]
        status["active"], status["ready"] = None, 0
        if kind == "Complete":
            status["completionTime"] = to_rfc3339(now)
        kill = tuple(p["metadata"]["name"] for p in seen.active)
        words = ("Normal", "Completed", "Job completed") if kind == "Complete" else ("Warning", reason, message)
        return Plan(delete_pods=kill, status=status, event=words)

    if succeeded >= 1:
        return finish("Complete", "CompletionsReached", "Reached expected number of succeeded pods", "SuccessCriteriaMet")
    limit = int(spec.get("backoffLimit", 6))
    on_failure = spec["template"]["spec"].get("restartPolicy") == "OnFailure"
    if failed > limit or (on_failure and _restarts(seen.active) > limit > 0):
        return finish("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", "FailureTarget")
    deadline = spec.get("activeDeadlineSeconds")
    again: float | None = None
    if deadline is not None and start is not None and not suspended:
        again = from_rfc3339(start) + deadline
        if again <= now:
            return finish("Failed", "DeadlineExceeded", "Job was active longer than specified deadline", "FailureTarget")
    if suspended:
        return Plan(delete_pods=tuple(p["metadata"]["name"] for p in seen.active), status=status | {"startTime": None})
    create = not seen.active and not seen.ending and int(spec.get("parallelism", 1)) > 0 and int(spec.get("completions") or 1) > 0
    if create and failed:
        wait = min(FIRST_BACKOFF_SECONDS * 2 ** (failed - 1), LONGEST_BACKOFF_SECONDS)
        due = max(map(_ended_at, seen.failed), default=now - wait) + wait
        if due > now:
            create, again = False, due if again is None else min(again, due)
    return Plan(create=create, status=status, again=again)


def build_job_pod(job: Mapping[str, Any]) -> dict[str, Any]:
    meta, template = job["metadata"], job["spec"]["template"]
    labels = {
        **((template.get("metadata") or {}).get("labels") or {}),
        "batch.kubernetes.io/controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    name = f"{meta['name'][:57]}-" + "".join(secrets.choice(SAFE_LETTERS) for _ in range(5))
    metadata: dict[str, Any] = {
        "name": name,
        "generateName": f"{meta['name']}-",
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(job)],
    }
    if (template.get("metadata") or {}).get("annotations"):
        metadata["annotations"] = template["metadata"]["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


class JobController:
    name = "job-controller"
    kinds = frozenset({"jobs.batch", "pods"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._events = Recorder(store, clock, self.name)

    def keys(self, change: Change) -> Iterable[Key]:
        if change.key == "jobs.batch":
            yield key_of(change)
        else:
            yield from keys_of_owner(change, "Job")

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("jobs.batch", key[1], key[0])
        if entry is None:
            return None
        job = entry.item
        pods = [e.item for e in self._store.entries("pods", key[0]) if is_controlled_by(e.item, job)]
        plan = decide_job(job, pods, self._clock.epoch())
        if plan.delete_job:
            self._store.delete("jobs.batch", key[1], key[0], uid=job["metadata"]["uid"], propagation="Background")
            return None
        for name in plan.delete_pods:
            self._store.delete("pods", name, key[0])
        if plan.create:
            pod = build_job_pod(job)
            try:
                self._store.create("pods", pod, manager="kube-controller-manager")
            except ApiError as error:
                self._events.warning(job, "FailedCreate", f"Error creating: {error}")
                raise
            self._events.normal(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        if plan.status is not None:
            self._store.patch_status("jobs.batch", key[1], key[0], plan.status, uid=job["metadata"]["uid"])
        if plan.event is not None:
            kind, reason, message = plan.event
            (self._events.normal if kind == "Normal" else self._events.warning)(job, reason, message)
        return plan.again
