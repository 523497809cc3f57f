"""Jobs and their runs: functions of a connection, run by `Database.read` and `Database.write`.

A due time is *taken* in one transaction: its row in `job_runs`, whose key is (job, due time), and the job's next due time. So it is run at
most once, whatever is killed when: before the transaction the job still is due, after it the row says that it began.
"""

# ruff: noqa: S608 - the only text put into a statement is a constant list of columns

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from moltbot_gateway.store.records import Connection

# Runs kept of each job.
RUNS_KEPT = 100


class Source(StrEnum):
    SPEC = "spec"  # the resource names it
    PERSON = "person"
    ASSISTANT = "assistant"


class Target(StrEnum):
    MAIN = "main"
    ISOLATED = "isolated"  # a conversation of its own


class RunState(StrEnum):
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"  # begun, and never ended: the process was


@dataclass(frozen=True)
class Job:
    """`schedule` and `payload` as `cron.list` shows them (docs/reference/agent.md). Times in milliseconds since 1970; `next_ms` `None`: it
    is not due any more, or is switched off."""

    id: str
    name: str
    description: str
    source: Source
    enabled: bool
    schedule: Mapping[str, object]
    payload: Mapping[str, object]
    target: Target
    missed: str
    delete_after_run: bool
    created_ms: int
    updated_ms: int
    next_ms: int | None

    @property
    def prompt(self) -> str:
        """What the assistant is told."""
        return str(self.payload.get("message") or self.payload.get("text") or "")

    @property
    def model(self) -> str:
        """Empty: the default."""
        return str(self.payload.get("model") or "")

    @property
    def thinking(self) -> str:
        """Empty: the default."""
        return str(self.payload.get("thinking") or "")


@dataclass(frozen=True)
class JobRun:
    job_id: str
    due_ms: int
    status: RunState
    started_ms: int
    ended_ms: int | None
    summary: str
    error: str
    session_key: str


_JOB = "id, name, description, source, enabled, schedule, payload, target, missed, delete_after_run, created_ms, updated_ms, next_ms"
_RUN = "job_id, due_ms, status, started_ms, ended_ms, summary, error, session_key"


def list_jobs(db: Connection) -> list[Job]:
    """The next due first, then what is not due any more."""
    return [_job(row) for row in db.execute(f"SELECT {_JOB} FROM jobs ORDER BY next_ms IS NULL, next_ms, name, id")]


def get_job(db: Connection, job_id: str) -> Job | None:
    row = db.execute(f"SELECT {_JOB} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else _job(row)


def put_job(db: Connection, job: Job) -> None:
    """Keep it, in place of one with the same id."""
    values = (
        job.id,
        job.name,
        job.description,
        job.source,
        job.enabled,
        json.dumps(job.schedule),
        json.dumps(job.payload, ensure_ascii=False),
        job.target,
        job.missed,
        job.delete_after_run,
        job.created_ms,
        job.updated_ms,
        job.next_ms,
    )
    db.execute(f"INSERT OR REPLACE INTO jobs ({_JOB}) VALUES ({', '.join('?' * len(values))})", values)


def delete_job(db: Connection, job_id: str) -> bool:
    """With the record of its runs. False when there was none."""
    db.execute("DELETE FROM job_runs WHERE job_id = ?", (job_id,))
    return db.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount > 0


def set_due(db: Connection, due: Mapping[str, int]) -> None:
    """Job id → its next due time."""
    db.executemany("UPDATE jobs SET next_ms = ? WHERE id = ?", [(next_ms, job_id) for job_id, next_ms in due.items()])


def take(db: Connection, job_id: str, due_ms: int, reckon: Callable[[Job], int | None], now_ms: int) -> bool:
    """The due time is ours to run, and the job moves on to what `reckon` says. False: it was taken before, or the job was changed."""
    return _move_on(db, job_id, due_ms, reckon) and _begin(db, job_id, due_ms, RunState.RUNNING, now_ms)


def begin_unasked(db: Connection, job_id: str, due_ms: int, now_ms: int) -> bool:
    """A run that somebody wants now: the job stays due when it is."""
    return _begin(db, job_id, due_ms, RunState.RUNNING, now_ms)


def skip(db: Connection, job_id: str, due_ms: int, reckon: Callable[[Job], int | None], *, reason: str, now_ms: int) -> bool:
    """The due time is not run, which is kept with its reason; the job moves on."""
    return _move_on(db, job_id, due_ms, reckon) and record_skipped(db, job_id, due_ms, reason, now_ms)


def record_skipped(db: Connection, job_id: str, due_ms: int, reason: str, now_ms: int) -> bool:
    """Keep that a due time was not run. False: it was taken before."""
    begun = _begin(db, job_id, due_ms, RunState.SKIPPED, now_ms)
    return begun and end_run(db, JobRun(job_id, due_ms, RunState.SKIPPED, now_ms, now_ms, "", reason, ""))


def _move_on(db: Connection, job_id: str, due_ms: int, reckon: Callable[[Job], int | None]) -> bool:
    job = get_job(db, job_id)
    if job is None or job.next_ms != due_ms:
        return False
    db.execute("UPDATE jobs SET next_ms = ? WHERE id = ?", (reckon(job), job_id))
    return True


def _begin(db: Connection, job_id: str, due_ms: int, status: RunState, now_ms: int) -> bool:
    cursor = db.execute(
        "INSERT INTO job_runs (job_id, due_ms, status, started_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (job_id, due_ms, status, now_ms),
    )
    return cursor.rowcount > 0


def end_run(db: Connection, run: JobRun) -> bool:
    """How it ended. False: the job was removed meanwhile, with its runs."""
    ended = db.execute(
        "UPDATE job_runs SET status = ?, ended_ms = ?, summary = ?, error = ?, session_key = ? WHERE job_id = ? AND due_ms = ?",
        (run.status, run.ended_ms, run.summary, run.error, run.session_key, run.job_id, run.due_ms),
    ).rowcount
    db.execute(
        "DELETE FROM job_runs WHERE job_id = ? AND due_ms NOT IN "
        "(SELECT due_ms FROM job_runs WHERE job_id = ? ORDER BY started_ms DESC, due_ms DESC LIMIT ?)",
        (run.job_id, run.job_id, RUNS_KEPT),
    )
    return ended > 0


def list_begun(db: Connection) -> list[JobRun]:
    """Runs that began and did not end."""
    return [_run(row) for row in db.execute(f"SELECT {_RUN} FROM job_runs WHERE status = 'running' ORDER BY started_ms")]


def list_runs(db: Connection, job_id: str, limit: int) -> list[JobRun]:
    """The newest first."""
    rows = db.execute(f"SELECT {_RUN} FROM job_runs WHERE job_id = ? ORDER BY started_ms DESC, due_ms DESC LIMIT ?", (job_id, limit))
    return [_run(row) for row in rows]


def last_ended(db: Connection) -> dict[str, JobRun]:
    """The newest run that ended, of each job that ever ran."""
    # The other columns are those of the row with the greatest time (SQLite: bare columns beside max()).
    rows = db.execute(f"SELECT {_RUN}, max(started_ms) FROM job_runs WHERE ended_ms IS NOT NULL GROUP BY job_id")
    return {run.job_id: run for run in (_run(row[:-1]) for row in rows)}


def _job(row: tuple[object, ...]) -> Job:
    id_, name, description, source, enabled, schedule, payload, target, missed, delete, created, updated, next_ms = row
    return Job(
        str(id_),
        str(name),
        str(description),
        Source(str(source)),
        bool(enabled),
        json.loads(str(schedule)),
        json.loads(str(payload)),
        Target(str(target)),
        str(missed),
        bool(delete),
        _number(created),
        _number(updated),
        None if next_ms is None else _number(next_ms),
    )


def _run(row: tuple[object, ...]) -> JobRun:
    job_id, due, status, started, ended, summary, error, session_key = row
    return JobRun(
        str(job_id),
        _number(due),
        RunState(str(status)),
        _number(started),
        None if ended is None else _number(ended),
        str(summary),
        str(error),
        str(session_key),
    )


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
