"""At the opening of the state: what the last process left of its jobs, and what the resource wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moltbot_gateway.agent_config import ScheduledJob
from moltbot_gateway.errors import BadSchedule
from moltbot_gateway.schedule.jobs import INTERRUPTED, follow_spec, spec_job
from moltbot_gateway.store import jobs as store
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.jobs import Job, JobRun, RunState, Source
from moltbot_gateway.store.notes import append_note
from moltbot_gateway.store.records import Connection
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.schedule")

# Of a job for one time that the resource names and nobody was awake for: told, for nothing is skipped in silence.
PAST = "Its time was past when it was first seen."


async def put_in_order(database: Database, spec: Sequence[ScheduledJob], zone: str, now_ms: int) -> tuple[str, ...]:
    """Interrupt what began and never ended, and follow the resource: added, changed, removed. Returns what of the resource cannot be, in
    sentences. Writes nothing when nothing changed."""
    wanted, problems = _read_spec(spec, zone, now_ms)
    present = {job.id: job for job in await database.read(store.list_jobs)}
    kept = {job.id: follow_spec(present.get(job.id), job) for job in wanted}
    changed = [job for job in kept.values() if job != present.get(job.id)]
    removed = [job.id for job in present.values() if job.source is Source.SPEC and job.id not in kept]
    begun = await database.read(store.list_begun)

    def follow(db: Connection) -> None:
        for run in begun:
            _interrupt(db, run, present, now_ms)
        for job in changed:
            store.put_job(db, job)
            at_ms = job.schedule.get("atMs")
            if job.id not in present and job.enabled and isinstance(at_ms, int) and at_ms <= now_ms:
                store.record_skipped(db, job.id, at_ms, PAST, now_ms)
        for job_id in removed:
            store.delete_job(db, job_id)

    if begun or changed or removed:
        await database.write(follow)
    if begun:
        log.warning("jobs were interrupted by the last end", jobs=len(begun))
    return tuple(problems)


def _read_spec(spec: Sequence[ScheduledJob], zone: str, now_ms: int) -> tuple[list[Job], list[str]]:
    wanted: dict[str, Job] = {}
    problems = []
    for scheduled in spec:
        try:
            job = spec_job(scheduled, zone, now_ms)
        except BadSchedule as error:
            problems.append(f"The job {scheduled.name!r} is left out: {error}.")
            continue
        if job.id in wanted:
            problems.append(f"The job {scheduled.name!r} is left out: another has the same name.")
            continue
        wanted[job.id] = job
    return list(wanted.values()), problems


def _interrupt(db: Connection, run: JobRun, jobs: Mapping[str, Job], now_ms: int) -> None:
    store.end_run(db, replace(run, status=RunState.INTERRUPTED, ended_ms=now_ms, error=INTERRUPTED))
    job = jobs.get(run.job_id)
    if job is not None:
        detail = {"job": {"id": job.id, "name": job.name}, "interrupted": True}
        append_note(db, MAIN_SESSION, f"The job “{job.name}” did not finish. {INTERRUPTED}", detail, now_ms)
