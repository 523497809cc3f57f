"""cron.*, and last-heartbeat."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.errors import InvalidRequest, Unavailable
from moltbot_gateway.methods.context import Context, Handler
from moltbot_gateway.schedule.jobs import job_to_wire, run_to_wire
from moltbot_gateway.schedule.service import Schedule
from moltbot_gateway.store.jobs import RUNS_KEPT, Source

RUNS_DEFAULT = 20


def _schedule(context: Context) -> Schedule:
    context.agent()
    if context.gateway.schedule is None:
        raise Unavailable("the assistant is still being brought back; try again in a moment", retry_after_ms=250)
    return context.gateway.schedule


def _job_id(context: Context) -> str:
    """Official clients say `id` or `jobId`."""
    job_id = context.text("id") or context.text("jobId")
    if not job_id:
        raise InvalidRequest("name the job by its id")
    return job_id


async def list_jobs(context: Context) -> object:
    schedule, all_of_them = _schedule(context), context.params.get("includeDisabled") is not False
    rows = [job_to_wire(job, last, schedule.running_since_ms(job.id)) for job, last in await schedule.jobs() if job.enabled or all_of_them]
    return {"jobs": rows}


async def status(context: Context) -> object:
    schedule = _schedule(context)
    return {"enabled": True, "storePath": "moltbot.sqlite", "jobs": len(await schedule.jobs()), "nextWakeAtMs": schedule.next_due_ms}


async def add(context: Context) -> object:
    return job_to_wire(await _schedule(context).add(context.params, Source.PERSON), None, None)


async def update(context: Context) -> object:
    schedule, job_id, patch = _schedule(context), _job_id(context), context.params.get("patch")
    job = await schedule.update(job_id, patch if isinstance(patch, dict) else {})
    last = next((last for other, last in await schedule.jobs() if other.id == job_id), None)
    return job_to_wire(job, last, schedule.running_since_ms(job_id))


async def remove(context: Context) -> object:
    return {"ok": True, "removed": await _schedule(context).remove(_job_id(context))}


async def run(context: Context) -> object:
    ran = await _schedule(context).run(_job_id(context), only_due=context.text("mode") == "due")
    return {"ok": True, "ran": ran} if ran else {"ok": True, "ran": False, "reason": "it runs already, or is not due"}


async def list_runs(context: Context) -> object:
    runs = await _schedule(context).runs(_job_id(context), min(context.number("limit", RUNS_DEFAULT), RUNS_KEPT))
    return {"entries": [run_to_wire(run) for run in runs]}


async def last_heartbeat(context: Context) -> object:
    heartbeats = context.gateway.heartbeats
    return None if heartbeats is None or heartbeats.last is None else heartbeats.last.to_wire()


HANDLERS: Mapping[str, Handler] = {
    "cron.list": list_jobs,
    "cron.status": status,
    "cron.add": add,
    "cron.update": update,
    "cron.remove": remove,
    "cron.run": run,
    "cron.runs": list_runs,
    "last-heartbeat": last_heartbeat,
}
