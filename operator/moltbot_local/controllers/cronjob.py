"""CronJob: when the next Job is due, whether it may run, and which old ones go.

Source: kubernetes/pkg/controller/cronjob (cronjob_controllerv2.go, utils.go). The schedule's grammar is croniter's, which has that of
the original (five fields, names, ranges, steps, `@hourly`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from ..clock import Clock, from_rfc3339, to_rfc3339
from ..errors import ApiError
from ..events import Recorder
from ..history import Change
from ..store import Store
from .job import finished
from .loop import Key
from .owners import is_controlled_by, key_of, keys_of_owner, owner_reference

# utils.go: with more than 100 missed times the most recent one is taken, and it is told.
MANY = 100
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@dataclass(frozen=True)
class Plan:
    # The scheduled time of the Job to create, seconds since 1970.
    create: float | None = None
    # Names of Jobs: running ones to replace, ended ones beyond the history limits.
    replace: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    status: dict[str, Any] | None = None
    # (type, reason, message)
    events: tuple[tuple[str, str, str], ...] = ()
    again: float | None = None


def schedule_times(schedule: str, zone: str | None, after: float) -> Iterator[float]:
    """The times of a schedule, later than `after`. Raises ValueError for a schedule or zone that cannot be read."""
    try:
        where: tzinfo = ZoneInfo(zone) if zone else UTC
        times = croniter(schedule, datetime.fromtimestamp(after, where))
    except (ZoneInfoNotFoundError, CroniterError, ValueError, KeyError) as error:
        raise ValueError(f"unparseable schedule: {schedule!r}{f' in time zone {zone!r}' if zone else ''} : {error}") from error
    while True:
        yield times.get_next(float)


def missed_times(cronjob: Mapping[str, Any], now: float) -> tuple[float | None, int, float]:
    """(the latest time that is due and was not run, how many were missed, the next one). Raises ValueError."""
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    earliest = from_rfc3339(status.get("lastScheduleTime") or cronjob["metadata"]["creationTimestamp"])
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - deadline)
    times = schedule_times(spec["schedule"], spec.get("timeZone"), earliest)
    latest, count = None, 0
    for time in times:
        if time > now:
            return latest, count, time
        latest, count = time, count + 1
        if count > MANY:
            # However long it was asleep: the newest due time is found from behind.
            recent = schedule_times(spec["schedule"], spec.get("timeZone"), now)
            following = next(recent)
            zone: tzinfo = ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
            latest = croniter(spec["schedule"], datetime.fromtimestamp(following, zone)).get_prev(float)
            return latest, count, following
    raise ValueError(f"schedule {spec['schedule']!r} has no next time")


def job_name(cronjob: Mapping[str, Any], scheduled: float) -> str:
    return f"{cronjob['metadata']['name'][:52]}-{int(scheduled // 60)}"


def build_job(cronjob: Mapping[str, Any], scheduled: float) -> dict[str, Any]:
    template, meta = cronjob["spec"]["jobTemplate"], cronjob["metadata"]
    template_meta = template.get("metadata") or {}
    annotations = {**(template_meta.get("annotations") or {}), SCHEDULED: to_rfc3339(scheduled)}
    metadata: dict[str, Any] = {
        "name": job_name(cronjob, scheduled),
        "namespace": meta["namespace"],
        "annotations": annotations,
        "ownerReferences": [owner_reference(cronjob)],
    }
    if template_meta.get("labels"):
        metadata["labels"] = template_meta["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _old(jobs: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> tuple[str, ...]:
    names: list[str] = []
    for kind, word, usual in (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)):
        ended = [j for j in jobs if (end := finished(j)) is not None and end["type"] == kind and "deletionTimestamp" not in j["metadata"]]
        ended.sort(key=lambda j: ((j.get("status") or {}).get("startTime") or "", j["metadata"]["name"]))
        limit = int(spec.get(word, usual))
        names += [j["metadata"]["name"] for j in ended[: max(len(ended) - limit, 0)]]
    return tuple(names)


def _reference(job: Mapping[str, Any]) -> dict[str, Any]:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }


def decide_cronjob(cronjob: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]], now: float) -> Plan:
    """`jobs`: those that it controls."""
    spec, old = cronjob["spec"], cronjob.get("status") or {}
    if "deletionTimestamp" in cronjob["metadata"]:
        return Plan()
    active = [j for j in jobs if finished(j) is None]
    known = {a["uid"]: a for a in old.get("active") or ()}
    status: dict[str, Any] = {"active": [known.get(j["metadata"]["uid"]) or _reference(j) for j in active] or None}
    successes = [
        time
        for j in jobs
        if (end := finished(j)) is not None and end["type"] == "Complete" and (time := (j.get("status") or {}).get("completionTime"))
    ]
    newest = max([*successes, old.get("lastSuccessfulTime") or ""])
    status |= {"lastSuccessfulTime": newest} if newest else {}
    forget = _old(jobs, spec)
    if spec.get("suspend"):
        return Plan(forget=forget, status=status)
    try:
        due, count, following = missed_times(cronjob, now)
    except ValueError as error:
        return Plan(forget=forget, status=status, events=(("Warning", "UnparseableSchedule", str(error)),))
    events: list[tuple[str, str, str]] = []
    if count > MANY:
        words = (
            f"too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew: {cronjob['metadata']['name']}"
        )
        events.append(("Warning", "TooManyMissedTimes", words))
    if due is None or any(j["metadata"]["name"] == job_name(cronjob, due) for j in jobs):
        return Plan(forget=forget, status=status, events=tuple(events), again=following)
    policy = spec.get("concurrencyPolicy", "Allow")
    if active and policy == "Forbid":
        events.append(
            ("Normal", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
        )
        return Plan(forget=forget, status=status, events=tuple(events), again=following)
    replace = tuple(j["metadata"]["name"] for j in active) if policy == "Replace" else ()
    return Plan(create=due, replace=replace, forget=forget, status=status, events=tuple(events), again=following)


class CronJobController:
    name = "cronjob-controller"
    kinds = frozenset({"cronjobs.batch", "jobs.batch"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._events = Recorder(store, clock, self.name)

    def keys(self, change: Change) -> Iterable[Key]:
        if change.key == "cronjobs.batch":
            yield key_of(change)
        else:
            yield from keys_of_owner(change, "CronJob")

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("cronjobs.batch", key[1], key[0])
        if entry is None:
            return None
        cronjob = entry.item
        jobs = [e.item for e in self._store.entries("jobs.batch", key[0]) if is_controlled_by(e.item, cronjob)]
        plan = decide_cronjob(cronjob, jobs, self._clock.epoch())
        status = dict(plan.status or {})
        for kind, reason, message in plan.events:
            (self._events.normal if kind == "Normal" else self._events.warning)(cronjob, reason, message)
        for name in (*plan.replace, *plan.forget):
            self._store.delete("jobs.batch", name, key[0], propagation="Background")
            self._events.normal(cronjob, "SuccessfulDelete", f"Deleted job {name}")
        if plan.create is not None:
            try:
                job = self._store.create("jobs.batch", build_job(cronjob, plan.create), manager="kube-controller-manager")
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    self._events.warning(cronjob, "FailedCreate", f"Error creating job: {error}")
                    raise
            else:
                self._events.normal(cronjob, "SuccessfulCreate", f"Created job {job['metadata']['name']}")
                kept = [a for a in status.get("active") or () if a["name"] not in plan.replace]
                status["active"] = [*kept, _reference(job)]
            status["lastScheduleTime"] = to_rfc3339(plan.create)
        if plan.status is not None:
            self._store.patch_status("cronjobs.batch", key[1], key[0], status, uid=cronjob["metadata"]["uid"])
        return plan.again
