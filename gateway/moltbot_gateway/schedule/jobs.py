"""Jobs as they come and as they are shown: from the resource, from `cron.add` and `cron.update`, to `cron.list` and `cron.runs`. Pure.

Shapes are those of docs/reference/agent.md; types were checked where they came in (`moltbot_protocol.params`), what they say is checked
here.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace

from moltbot_gateway.agent_config import Missed, ScheduledJob
from moltbot_gateway.errors import BadSchedule, InvalidRequest
from moltbot_gateway.schedule.due import At, ByCron, Every, Timing, check_timing, next_due, timing_from_wire, timing_to_wire
from moltbot_gateway.store.jobs import Job, JobRun, RunState, Source, Target

MAX_PROMPT = 20_000
INTERRUPTED = "The assistant was restarted while it ran; it was not run again."
# What official clients may send with a job and this version does not do; refused in words instead of forgotten.
_UNSERVED = {"deliver": "a job's answer comes into the conversation", "to": "a job's answer comes into the conversation"}


def timing_of(job: Job) -> Timing:
    return timing_from_wire(job.schedule, "UTC", job.created_ms)


def reckon(job: Job, after_ms: int) -> int | None:
    """Its first due time later than that; `None` also when it is switched off, or its zone no longer exists."""
    try:
        return next_due(timing_of(job), after_ms) if job.enabled else None
    except BadSchedule:
        return None


def new_job(params: Mapping[str, object], source: Source, zone: str, now_ms: int) -> Job:
    """`cron.add`. `zone`: the assistant's. Raises InvalidRequest, in words."""
    timing = timing_from_wire(_mapping(params.get("schedule")), zone, now_ms)
    check_timing(timing, now_ms)
    payload = _check_payload(_mapping(params.get("payload")))
    delete = params.get("deleteAfterRun")
    job = Job(
        id=str(uuid.uuid4()),
        name=_name(str(params.get("name") or "")),
        description=str(params.get("description") or ""),
        source=source,
        enabled=params.get("enabled") is not False,
        schedule=timing_to_wire(timing),
        payload=payload,
        target=Target(str(params.get("sessionTarget") or Target.ISOLATED)),
        missed=Missed(str(params.get("missed") or Missed.RUN)),
        # What happens once is done with afterwards.
        delete_after_run=delete if isinstance(delete, bool) else isinstance(timing, At),
        created_ms=now_ms,
        updated_ms=now_ms,
        next_ms=None,
    )
    return replace(job, next_ms=reckon(job, now_ms))


def patch_job(job: Job, patch: Mapping[str, object], zone: str, now_ms: int) -> Job:
    """`cron.update`. A changed schedule, and what is switched on, is due from now on and never at once. Raises InvalidRequest."""
    changed = replace(job, updated_ms=now_ms)
    if "name" in patch:
        changed = replace(changed, name=_name(str(patch["name"])))
    if "description" in patch:
        changed = replace(changed, description=str(patch["description"] or ""))
    if "payload" in patch:
        changed = replace(changed, payload=_check_payload({**job.payload, **_mapping(patch["payload"])}))
    if "sessionTarget" in patch:
        changed = replace(changed, target=Target(str(patch["sessionTarget"])))
    if "missed" in patch:
        changed = replace(changed, missed=Missed(str(patch["missed"])))
    if isinstance(delete := patch.get("deleteAfterRun"), bool):
        changed = replace(changed, delete_after_run=delete)
    if isinstance(enabled := patch.get("enabled"), bool):
        changed = replace(changed, enabled=enabled)
    if "schedule" in patch:
        timing = timing_from_wire(_mapping(patch["schedule"]), zone, now_ms)
        check_timing(timing, now_ms)
        changed = replace(changed, schedule=timing_to_wire(timing))
    if changed.schedule != job.schedule or changed.enabled != job.enabled:
        changed = replace(changed, next_ms=reckon(changed, now_ms))
    return changed


def spec_job(wanted: ScheduledJob, zone: str, now_ms: int) -> Job:
    """A job that the resource names; its id is made of its name. Raises BadSchedule."""
    given = [wanted.cron != "", wanted.every_ms is not None, wanted.at_ms is not None]
    if sum(given) != 1:
        raise BadSchedule("a job has one of a cron expression, an interval and a time")
    timing: Timing
    if wanted.at_ms is not None:
        timing = At(wanted.at_ms)
    elif wanted.every_ms is not None:
        timing = Every(wanted.every_ms, now_ms)
    else:
        timing = ByCron(wanted.cron, wanted.time_zone or zone)
    check_timing(timing, now_ms, past=True)  # what is past now was not when somebody wrote it
    payload: dict[str, object] = {"kind": "agentTurn", "message": wanted.prompt}
    if wanted.model:
        payload["model"] = wanted.model
    job = Job(
        id="spec-" + (re.sub(r"[^a-z0-9]+", "-", wanted.name.lower()).strip("-") or "job"),
        name=wanted.name,
        description="",
        source=Source.SPEC,
        enabled=wanted.enabled,
        schedule=timing_to_wire(timing),
        payload=payload,
        target=Target.ISOLATED if wanted.isolated else Target.MAIN,
        missed=wanted.missed,
        delete_after_run=False,  # it would come back at the next opening
        created_ms=now_ms,
        updated_ms=now_ms,
        next_ms=None,
    )
    return replace(job, next_ms=reckon(job, now_ms))


def follow_spec(present: Job | None, wanted: Job) -> Job:
    """What to keep for a job of the resource: `present` itself where nothing changed, so that an unchanged state stays unchanged."""
    if present is None:
        return wanted
    same = {"created_ms": present.created_ms, "updated_ms": present.updated_ms, "next_ms": present.next_ms}
    if _without_anchor(present.schedule) == _without_anchor(wanted.schedule) and present.enabled == wanted.enabled:
        unmoved = replace(wanted, schedule=present.schedule, **same)  # type: ignore[arg-type]
        return present if unmoved == present else replace(unmoved, updated_ms=wanted.updated_ms)
    return replace(wanted, created_ms=present.created_ms)


def _without_anchor(schedule: Mapping[str, object]) -> dict[str, object]:
    """Every so often, counted from when it was first seen: that is no change."""
    return {name: value for name, value in schedule.items() if name != "anchorMs"}


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise InvalidRequest("a job needs a name")
    return name


def _check_payload(payload: Mapping[str, object]) -> Mapping[str, object]:
    kind, text = payload.get("kind"), payload.get("text" if payload.get("kind") == "systemEvent" else "message")
    if kind not in ("agentTurn", "systemEvent"):
        raise InvalidRequest("payload's kind is agentTurn (with message) or systemEvent (with text)")
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest("a job needs to be told what to do (payload.message)")
    if len(text) > MAX_PROMPT:
        raise InvalidRequest(f"what a job is told has at most {MAX_PROMPT} characters")
    for name, instead in _UNSERVED.items():
        if payload.get(name):
            raise InvalidRequest(f"payload.{name} is not served: {instead}")
    if kind == "systemEvent":
        return {"kind": kind, "text": text}
    more = {name: payload[name] for name in ("model", "thinking", "timeoutSeconds") if payload.get(name)}
    return {"kind": kind, "message": text, **more}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


# as they are shown


def job_to_wire(job: Job, last: JobRun | None, running_ms: int | None) -> dict[str, object]:
    """A row of `cron.list`. `running_ms`: since when it runs."""
    state: dict[str, object] = {}
    if job.next_ms is not None:
        state["nextRunAtMs"] = job.next_ms
    if running_ms is not None:
        state["runningAtMs"] = running_ms
    if last is not None:
        state |= {"lastRunAtMs": last.started_ms, "lastStatus": _status(last), "lastDurationMs": (last.ended_ms or 0) - last.started_ms}
        if last.error:
            state["lastError"] = last.error
    return {
        "id": job.id,
        "name": job.name,
        "description": job.description,
        "enabled": job.enabled,
        "source": job.source,
        "deleteAfterRun": job.delete_after_run,
        "createdAtMs": job.created_ms,
        "updatedAtMs": job.updated_ms,
        "schedule": dict(job.schedule),
        "sessionTarget": job.target,
        "wakeMode": "now",
        "missed": job.missed,
        "payload": dict(job.payload),
        "state": state,
    }


def run_to_wire(run: JobRun) -> dict[str, object]:
    """An entry of `cron.runs`, of a run that ended."""
    entry: dict[str, object] = {
        "ts": run.ended_ms,
        "jobId": run.job_id,
        "action": "finished",
        "status": _status(run),
        "runAtMs": run.started_ms,
        "durationMs": (run.ended_ms or run.started_ms) - run.started_ms,
    }
    more = {"error": run.error, "summary": run.summary, "sessionKey": run.session_key}
    return entry | {name: value for name, value in more.items() if value}


def _status(run: JobRun) -> str:
    return RunState.ERROR if run.status is RunState.INTERRUPTED else run.status
