"""The schedule: one timer, the jobs that are due, and their runs.

A due time goes this way:
    1  the job is marked as running in memory, with no await since new work was admitted (rule 5b: from here on the gateway is busy)
    2  in one transaction the due time is taken and the job moves on to its next
    3  the runner does it
    4  how it ended is on disk, and only then told

Killed before 2 it still is due; killed after 2 it is `interrupted`, told in the main conversation at the next opening, and not run again:
at most once, for nobody knows how far a model's work had come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from moltbot_gateway.agent_config import Missed, ScheduledJob
from moltbot_gateway.errors import InvalidRequest, StateError, Unavailable
from moltbot_gateway.schedule.jobs import new_job, patch_job, reckon
from moltbot_gateway.schedule.opening import put_in_order
from moltbot_gateway.store import jobs as store
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.jobs import Job, JobRun, RunState, Source, Target
from moltbot_gateway.store.notes import append_note
from moltbot_gateway.store.records import Connection, Message
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.schedule")

# Different jobs at once.
MAX_RUNNING = 2
MAX_JOBS = 200
# A due time this near keeps the assistant awake: it would only have to be woken again. Milliseconds.
NEAR_MS = 60_000
# A job that is later than this was missed: the assistant slept, or its last run took too long. What a wake takes is no miss. Milliseconds.
LATE_MS = 300_000
# The clock is looked at this often although nothing is due: it may have been set, or the machine suspended. Seconds.
LOOK_SECONDS = 30.0
# When it went back by more than this, what is due next is reckoned again. Milliseconds.
JUMP_MS = 60_000
# What is due while new work is refused, or the database fails, waits for this. Seconds.
RETRY_SECONDS = 1.0
FAILED_SECONDS = 30.0
# An answer of a job that says that there is nothing to say.
NO_REPLY = "NO_REPLY"


@dataclass(frozen=True)
class RunOutcome:
    """`status`: ok, error or skipped. `summary`: what the assistant answered. `session_key`: in which conversation. `error`: a sentence."""

    status: RunState
    summary: str = ""
    session_key: str = ""
    error: str = ""


class Runner(Protocol):
    async def run(self, job: Job, due_ms: int) -> RunOutcome:
        """One turn with `job.prompt`: in the main conversation, or in one of its own (`session_key_of`). Returns when it has ended, also
        when somebody stopped it."""


@dataclass(frozen=True)
class Ports:
    """`admit`: whether new work may begin, asked right before it does. `moved`: a job begins or ended (activity, progress). `tell`: payload
    of a `cron` event. `noted`: what was put into the main conversation."""

    runner: Runner
    admit: Callable[[], bool]
    moved: Callable[[], None]
    tell: Callable[[Mapping[str, object]], None]
    noted: Callable[[Message], None]


def session_key_of(job: Job) -> str:
    return MAIN_SESSION if job.target is Target.MAIN else f"agent:main:cron:{job.id}"


@dataclass
class _Running:
    since_ms: int
    task: asyncio.Task[None] | None = None


class Schedule:
    """Owner of the tables `jobs` and `job_runs`. `open`, then `start`; `close` exactly once. `zone`: the assistant's."""

    def __init__(self, database: Database, clock: Clock, ports: Ports, *, zone: str = "UTC") -> None:
        self._database, self._clock, self._ports, self.zone = database, clock, ports, zone
        self._jobs: dict[str, Job] = {}
        self._running: dict[str, _Running] = {}
        self._timer: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._seen_ms = 0
        self._pause_until = 0.0

    # what is going on

    @property
    def next_due_ms(self) -> int | None:
        """The earliest due time; past while a job waits to begin. `None`: nothing is ever due."""
        return min((job.next_ms for job in self._jobs.values() if job.next_ms is not None), default=None)

    @property
    def next_due(self) -> datetime | None:
        """The same, in UTC."""
        due = self.next_due_ms
        return None if due is None else datetime.fromtimestamp(due / 1000, UTC)

    @property
    def running(self) -> bool:
        return bool(self._running)

    @property
    def busy_since(self) -> datetime | None:
        """`None`: nothing runs, and nothing is due within a minute."""
        since = [running.since_ms for running in self._running.values()]
        due = self.next_due_ms
        if due is not None and due - NEAR_MS <= self.now_ms():
            since.append(due - NEAR_MS)
        return datetime.fromtimestamp(min(since) / 1000, UTC) if since else None

    @property
    def busy(self) -> bool:
        return self.busy_since is not None

    def running_since_ms(self, job_id: str) -> int | None:
        running = self._running.get(job_id)
        return None if running is None else running.since_ms

    # beginning and ending

    async def open(self, spec: Sequence[ScheduledJob]) -> tuple[str, ...]:
        """Take up what the last process left and follow the resource. Returns what of the resource cannot be, in sentences. Writes nothing
        when nothing changed."""
        now_ms = self._seen_ms = self.now_ms()
        problems = await put_in_order(self._database, spec, self.zone, now_ms)
        await self._reload()
        await self._reckon_again(now_ms)
        return problems

    def start(self) -> None:
        """From here on what is due is run."""
        self._timer = asyncio.create_task(self._watch())

    async def close(self, grace: float) -> None:
        """Nothing new begins; what runs gets `grace` seconds to end, then it is cut off and the next opening says so."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait({self._timer})
        left = await self.settle(grace)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def settle(self, patience: float) -> set[asyncio.Task[None]]:
        """Wait for what runs to be written down: its turn was ended by somebody. Returns what still runs after `patience` seconds."""
        tasks = {running.task for running in self._running.values() if running.task is not None}
        return (await asyncio.wait(tasks, timeout=patience))[1] if tasks else set()

    # the timer

    async def _watch(self) -> None:
        while True:
            self._kick.clear()
            wait = LOOK_SECONDS
            try:
                wait = await self._look()
            except StateError as error:
                log.error("schedule not kept", reason=str(error))  # noqa: TRY400 - the reason says it all
                wait = FAILED_SECONDS
            except Exception:  # a task's boundary: whatever one look came upon, jobs must not stop being due
                log.exception("schedule failed")
                wait = FAILED_SECONDS
            await self._sleep(wait)

    async def _look(self) -> float:
        """Begin what is due. Returns the seconds until there may be something to do."""
        now_ms = self.now_ms()
        if now_ms < self._seen_ms - JUMP_MS:
            await self._reckon_again(now_ms)
        self._seen_ms = now_ms
        if (pause := self._pause_until - self._clock.monotonic()) > 0:
            return min(pause, LOOK_SECONDS)
        for job in sorted(self._jobs.values(), key=lambda job: job.next_ms or 0):
            if job.next_ms is None or job.next_ms > now_ms or job.id in self._running:
                continue
            if len(self._running) >= MAX_RUNNING:
                break  # whichever ends kicks
            if not self._ports.admit():
                return RETRY_SECONDS
            if job.missed == Missed.SKIP and now_ms - job.next_ms > LATE_MS:
                await self._skip(job, job.next_ms, now_ms)
            else:
                self._begin(job, job.next_ms, unasked=False)
        return self._seconds_to_next(now_ms)

    def _seconds_to_next(self, now_ms: int) -> float:
        ahead = [job.next_ms - now_ms for job in self._jobs.values() if job.next_ms is not None and job.next_ms > now_ms]
        return min([LOOK_SECONDS, *(milliseconds / 1000 for milliseconds in ahead)])

    async def _sleep(self, seconds: float) -> None:
        waits = {asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._kick.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _reckon_again(self, now_ms: int) -> None:
        """The clock was ahead when the next due times were reckoned: none may be later than it is by this clock. What ran already is
        not run again (the key of `job_runs`)."""
        moved: dict[str, int] = {}
        for job in self._jobs.values():
            if job.next_ms is None or job.schedule.get("kind") == "at":
                continue
            due = reckon(job, now_ms)
            if due is not None and due < job.next_ms:
                moved[job.id] = due
        if moved:
            await self._database.write(lambda db: store.set_due(db, moved))
            await self._reload()

    # one run

    def _begin(self, job: Job, due_ms: int, *, unasked: bool) -> asyncio.Future[bool]:
        """No await in here: whoever asked to be admitted is busy from now on. The future: whether it was ours to run."""
        running = self._running[job.id] = _Running(self.now_ms())
        ours: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        running.task = asyncio.create_task(self._run(job, due_ms, unasked=unasked, ours=ours))
        return ours

    async def _run(self, job: Job, due_ms: int, *, unasked: bool, ours: asyncio.Future[bool]) -> None:
        started_ms = self.now_ms()
        try:
            if unasked:
                taken = await self._database.write(lambda db: store.begin_unasked(db, job.id, due_ms, started_ms))
            else:
                taken = await self._database.write(lambda db: store.take(db, job.id, due_ms, self._after(due_ms), started_ms))
            await self._refresh(job.id)
            ours.set_result(taken)
            if taken:
                self._ports.moved()
                self._ports.tell({"jobId": job.id, "action": "started", "runAtMs": started_ms})
                log.info("job started", job=job.id, late_seconds=max(0, started_ms - due_ms) // 1000)
                await self._finish(job, due_ms, started_ms, await self._ask(job, due_ms))
        except StateError as error:
            log.error("job not kept", job=job.id, reason=str(error))  # noqa: TRY400 - the reason says it all
            self._pause_until = self._clock.monotonic() + FAILED_SECONDS
            if not ours.done():
                ours.set_exception(error)
                ours.exception()  # looked at here: the timer does not wait for it
        finally:
            ours.cancel()
            del self._running[job.id]
            self._kick.set()

    async def _ask(self, job: Job, due_ms: int) -> RunOutcome:
        try:
            return await self._ports.runner.run(job, due_ms)
        except Exception:  # the boundary of a task: logged here, and told as the job's failure
            log.exception("job failed", job=job.id)
            return RunOutcome(RunState.ERROR, "", session_key_of(job), "Something went wrong inside the assistant; its log says what.")

    async def _finish(self, job: Job, due_ms: int, started_ms: int, outcome: RunOutcome) -> None:
        now_ms = self.now_ms()
        ended = JobRun(
            job.id, due_ms, outcome.status, started_ms, now_ms, outcome.summary, outcome.error, outcome.session_key or session_key_of(job)
        )

        def end(db: Connection) -> Message | None:
            store.end_run(db, ended)
            left = store.get_job(db, job.id)
            if left is not None and left.delete_after_run and left.next_ms is None and outcome.status is RunState.OK:
                store.delete_job(db, job.id)
            return _tell_owner(db, job, outcome, now_ms)

        note = await self._database.write(end)
        await self._refresh(job.id)
        self._ports.moved()
        if note is not None:
            self._ports.noted(note)
        more = {"error": ended.error, "summary": ended.summary, "sessionKey": ended.session_key}
        payload = {"jobId": job.id, "action": "finished", "status": ended.status, "runAtMs": started_ms, "durationMs": now_ms - started_ms}
        present = self._jobs.get(job.id)
        if present is not None and present.next_ms is not None:
            payload["nextRunAtMs"] = present.next_ms
        self._ports.tell(payload | {name: value for name, value in more.items() if value})
        log.info("job ended", job=job.id, status=ended.status, seconds=round((now_ms - started_ms) / 1000, 3))

    async def _skip(self, job: Job, due_ms: int, now_ms: int) -> None:
        reason = "It was due while the assistant was not running, and is skipped then."
        if await self._database.write(lambda db: store.skip(db, job.id, due_ms, self._after(due_ms), reason=reason, now_ms=now_ms)):
            log.info("job skipped", job=job.id, late_seconds=(now_ms - due_ms) // 1000)
            self._ports.tell(
                {"jobId": job.id, "action": "finished", "status": "skipped", "runAtMs": now_ms, "durationMs": 0, "error": reason}
            )
        await self._refresh(job.id)

    def _after(self, due_ms: int) -> Callable[[Job], int | None]:
        """However many were missed, the next is in the future."""
        later = max(due_ms, self.now_ms())
        return lambda job: reckon(job, later)

    # what persons and the assistant do

    async def jobs(self) -> list[tuple[Job, JobRun | None]]:
        """The next due first; each with its last run that ended."""

        def read(db: Connection) -> list[tuple[Job, JobRun | None]]:
            last = store.last_ended(db)
            return [(job, last.get(job.id)) for job in store.list_jobs(db)]

        return await self._database.read(read)

    async def add(self, params: Mapping[str, object], source: Source) -> Job:
        """Raises InvalidRequest."""
        if len(self._jobs) >= MAX_JOBS:
            raise InvalidRequest(f"there are {MAX_JOBS} jobs already; remove one first")
        job = new_job(params, source, self.zone, self.now_ms())
        await self._database.write(lambda db: store.put_job(db, job))
        await self._refresh(job.id)
        self._tell_change(job.id, "added", job.next_ms)
        return job

    async def update(self, job_id: str, patch: Mapping[str, object]) -> Job:
        """Raises InvalidRequest: unknown, of the resource, or a patch that cannot be."""

        def change(db: Connection) -> Job:
            job = patch_job(_changeable(store.get_job(db, job_id), job_id), patch, self.zone, self.now_ms())
            store.put_job(db, job)
            return job

        job = await self._database.write(change)
        await self._refresh(job_id)
        self._tell_change(job_id, "updated", job.next_ms)
        return job

    async def remove(self, job_id: str) -> bool:
        """False when there is none. What runs of it now goes on. Raises InvalidRequest for a job of the resource."""

        def delete(db: Connection) -> bool:
            job = store.get_job(db, job_id)
            return job is not None and store.delete_job(db, _changeable(job, job_id).id)

        removed = await self._database.write(delete)
        await self._refresh(job_id)
        if removed:
            self._tell_change(job_id, "removed", None)
        return removed

    async def run(self, job_id: str, *, only_due: bool = False) -> bool:
        """Run it now, beside its schedule; whoever calls this was admitted. False: it runs already, or is not due (`only_due`).

        Raises:
            InvalidRequest: unknown.
            Unavailable: too many jobs run.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise InvalidRequest(f"there is no job {job_id[:64]!r}")
        now_ms = self.now_ms()
        due = job.next_ms is not None and job.next_ms <= now_ms
        if job_id in self._running or (only_due and not due):
            return False
        if len(self._running) >= MAX_RUNNING:
            raise Unavailable(f"{MAX_RUNNING} jobs run already; try again when one of them has ended", retry_after_ms=5000)
        if due and job.next_ms is not None:
            return await self._begin(job, job.next_ms, unasked=False)
        return await self._begin(job, now_ms, unasked=True)

    async def runs(self, job_id: str, limit: int) -> list[JobRun]:
        """Those that ended, the newest first."""
        runs = await self._database.read(lambda db: store.list_runs(db, job_id, limit + 1))
        return [run for run in runs if run.ended_ms is not None][:limit]

    def _tell_change(self, job_id: str, action: str, next_ms: int | None) -> None:
        self._kick.set()
        self._ports.tell({"jobId": job_id, "action": action} | ({} if next_ms is None else {"nextRunAtMs": next_ms}))

    async def _refresh(self, job_id: str) -> None:
        job = await self._database.read(lambda db: store.get_job(db, job_id))
        if job is None:
            self._jobs.pop(job_id, None)
        else:
            self._jobs[job_id] = job

    async def _reload(self) -> None:
        self._jobs = {job.id: job for job in await self._database.read(store.list_jobs)}

    def now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


def _changeable(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise InvalidRequest(f"there is no job {job_id[:64]!r}")
    if job.source is Source.SPEC:
        raise InvalidRequest(f"the job {job.name!r} stands in the Moltbot's spec.schedule: change it there (here it can only be run)")
    return job


def _tell_owner(db: Connection, job: Job, outcome: RunOutcome, now_ms: int) -> Message | None:
    """What came of a conversation of its own is put into the main one, where its owner reads; a job in the main one stands there."""
    if job.target is Target.MAIN or outcome.status is RunState.SKIPPED:
        return None
    text = outcome.summary.strip() if outcome.status is RunState.OK else f"The job “{job.name}” failed: {outcome.error}"
    if not text or text == NO_REPLY:
        return None
    return append_note(db, MAIN_SESSION, text, {"job": {"id": job.id, "name": job.name}}, now_ms)
