"""The queue of each session, and one turn after the other. What one turn does is `turn`.

A message that comes while a turn runs is handled as its session's queue mode says:

    followup    answered after it, one by one (the default)
    collect     all that came meanwhile are answered together after it
    steer       put into the running turn at its next step; after its last step it is a followup
    interrupt   the running turn is stopped, and it is next
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from moltbot_gateway.activity import ActivityClock, Kind
from moltbot_gateway.chat.active import Active, Ended
from moltbot_gateway.chat.queueing import QueueMode, end_of_joined, may_join, queue_mode
from moltbot_gateway.chat.telling import Telling
from moltbot_gateway.chat.turn import Turn
from moltbot_gateway.errors import StateError
from moltbot_gateway.hub import Hub
from moltbot_gateway.models.failure import ErrorKind
from moltbot_gateway.store import conversations, runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Answer, Connection, NewRun, Run, RunStatus, Session
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.turns")

# A person who sends more than this while one answer is written is refused, not forgotten.
MAX_QUEUED = 20


@dataclass
class _Waiter:
    """Somebody in this process who waits for a run's end (a job, a task). `keep`: whether its answer stays in the conversation."""

    ended: asyncio.Future[Ended]
    quiet: bool
    keep: Callable[[str], bool] | None


class Turns:
    """All sessions' turns. `advance` is called whenever something moved (report's `progress`)."""

    def __init__(
        self, database: Database, hub: Hub, clock: Clock, turn: Turn, *, activity: ActivityClock, advance: Callable[[], None]
    ) -> None:
        self._database, self._hub, self._clock, self._turn = database, hub, clock, turn
        self._activity, self._advance = activity, advance
        self._waiting: dict[str, deque[Run]] = {}
        self._modes: dict[str, QueueMode] = {}
        self._active: dict[str, Active] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._waiters: dict[str, _Waiter] = {}
        self._stopping = False
        self.busy_since: datetime | None = None

    # what is going on

    @property
    def busy(self) -> bool:
        return bool(self._workers)

    @property
    def active(self) -> bool:
        """Busy with more than what nobody asked for (a heartbeat, rule 6)."""
        return any(not active.telling.quiet for active in self._active.values()) or any(self._waiting.values())

    async def quiet(self, session_key: str) -> None:
        """Until nothing of that conversation runs or waits."""
        while (worker := self._workers.get(session_key)) is not None:
            await asyncio.wait({worker})

    def session_busy(self, session_key: str) -> bool:
        return session_key in self._workers

    def active_run(self, session_key: str) -> str | None:
        active = self._active.get(session_key)
        return None if active is None else active.run.id

    def quiet_run(self, session_key: str) -> str | None:
        """The run of which nothing is told before its end (a heartbeat): people do not see its messages meanwhile."""
        active = self._active.get(session_key)
        return active.run.id if active is not None and active.telling.quiet else None

    def queue_is_full(self, session_key: str) -> bool:
        return len(self._waiting.get(session_key, ())) >= MAX_QUEUED

    def partial(self, session_key: str) -> tuple[str, str] | None:
        """Run id and text so far of the answer that is being written."""
        active = self._active.get(session_key)
        return None if active is None or active.telling.quiet else (active.run.id, active.step.words.text)

    # beginning

    async def accept(self, new: NewRun) -> RunStatus | None:
        """Keep a message and put it into its session's queue. `None`: done; else the status of the run with the same key.

        Whoever calls this was admitted, and counts as busy until it returns.
        """

        def write(db: Connection) -> tuple[Run | None, QueueMode]:
            known = runs.accept_run(db, new, self._now_ms())
            session = conversations.get_session(db, new.session_key)
            return known, queue_mode(None if session is None else session.settings)

        known, mode = await self._database.write(write)
        if known is not None:
            return known.status
        self._advance()
        self._modes[new.session_key] = mode
        self._enqueue(Run(new.id, new.session_key, "", RunStatus.QUEUED, new.text, new.options, self._now_ms()))
        if mode is QueueMode.INTERRUPT and may_join(new.options) and (active := self._active.get(new.session_key)) is not None:
            active.end(RunStatus.ABORTED)
        return None

    async def ask(self, new: NewRun, *, quiet: bool = False, keep: Callable[[str], bool] | None = None) -> Ended:
        """A message of our own (a job, a task), and its end. `quiet`: nobody is told before it ended; `keep`: whether the answer stays.
        Cancelling gives up the wait, not the turn."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), quiet, keep)
        self._waiters[new.id] = waiter
        try:
            known = await self.accept(new)
            if known is not None:
                return Ended(known, "", "it was asked before")
            return await waiter.ended
        finally:
            self._waiters.pop(new.id, None)

    def take_up(self, left: Sequence[Run]) -> None:
        """After the opening: what was queued when the last process ended is answered now."""
        for run in left:
            self._enqueue(run)

    def _enqueue(self, run: Run) -> None:
        if self._stopping:
            return  # it stays queued on disk, for the next process
        if self.busy_since is None:
            self.busy_since = self._clock.now()
        self._waiting.setdefault(run.session_key, deque()).append(run)
        if run.session_key not in self._workers:
            self._workers[run.session_key] = asyncio.create_task(self._work(run.session_key), name=f"session {run.session_key}")

    # ending before the end

    async def abort(self, session_key: str, run_id: str | None = None) -> list[str]:
        """Stop the answer that is being written, and what waits behind it unless `run_id` names one. Returns the ids of what ends."""
        aborted = []
        waiting = self._waiting.get(session_key, deque())
        active = self._active.get(session_key)
        if active is not None and active.ending is None and run_id in (None, active.run.id, *(run.id for run in active.joined)):
            aborted.append(active.run.id)
            active.end(RunStatus.ABORTED)
        # All are taken out before the first await: the worker goes on meanwhile, and would begin the next of them.
        struck = [run for run in waiting if run_id in (None, run.id)]
        for run in struck:
            waiting.remove(run)
        for run in struck:
            aborted.append(run.id)
            await self._strike_off(run)
            self._telling(run).end("aborted", None, {"stopReason": "rpc"})
            self._tell_waiter(run.id, Ended(RunStatus.ABORTED, "", "stopped"))
        return aborted

    async def _strike_off(self, run: Run) -> None:
        answer = Answer(RunStatus.ABORTED, "", {"stopReason": "aborted"})
        await self._database.write(lambda db: runs.end_run(db, run.id, answer, self._now_ms()))

    async def stop(self, grace: float) -> None:
        """SIGTERM: turns may finish for `grace` seconds, then they are interrupted with what they have. What waits stays on disk."""
        self._stopping = True
        for waiting in self._waiting.values():
            waiting.clear()
        workers = set(self._workers.values())
        if not workers:
            return
        _, late = await asyncio.wait(workers, timeout=grace)
        for active in list(self._active.values()):
            active.end(RunStatus.INTERRUPTED)
        if late:
            await asyncio.wait(late)

    async def release(self) -> None:
        """It does not end after all (a forced sleep was given up): what was left waiting on disk is answered now."""
        self._stopping = False
        left = await self._database.read(runs.list_open_runs)
        here = {run.id for waiting in self._waiting.values() for run in waiting}
        for active in self._active.values():
            here |= {active.run.id, *(run.id for run in active.joined)}
        self.take_up([run for run in left if run.id not in here])

    # one turn after the other

    async def _work(self, session_key: str) -> None:
        asked = False
        try:
            waiting = self._waiting[session_key]
            while waiting:
                waiter = self._waiters.get(waiting[0].id)
                asked = asked or waiter is None or not waiter.quiet
                await self._one(session_key, waiting)
        finally:
            # No await between "nothing waits" and this, or a message could be put into a queue that nobody works at.
            self._workers.pop(session_key, None)
            self._waiting.pop(session_key, None)
            self._modes.pop(session_key, None)
            if not self._workers:
                self.busy_since = None
            if asked:
                self._activity.note(Kind.MESSAGE, self._clock.now())

    async def _one(self, session_key: str, waiting: deque[Run]) -> None:
        run = waiting.popleft()
        waiter = self._waiters.get(run.id)
        telling = Telling(self._hub, self._clock, run, quiet=waiter is not None and waiter.quiet)
        active = Active(run, self._clock.monotonic(), telling, None if waiter is None else waiter.keep)
        self._active[session_key] = active
        ended: Ended | None = None
        try:
            ended = await self._turn.run(active, lambda session: self._joining(session, active))
        except StateError as error:
            log.error("turn not kept", run=run.id, reason=str(error))  # noqa: TRY400 - the reason says it all
            ended = await self._failed(active, str(error))
        except Exception:
            log.exception("turn failed", run=run.id)
            ended = await self._failed(active, "Something went wrong inside the assistant; its log says what. Ask again.")
        finally:
            active.step.settle()
            for task in active.tasks:
                task.cancel()  # only when this worker itself was cancelled
            self._active.pop(session_key, None)
        for joined in active.joined:
            self._telling(joined).end(*end_of_joined(run, ended))
        self._tell_waiter(run.id, ended or Ended(RunStatus.ABORTED, "", "it had ended already"))

    async def _failed(self, active: Active, words: str) -> Ended:
        """Where the database takes it, the run ends there too: nobody would answer it before the next start."""
        told = {"errorMessage": words, "errorKind": ErrorKind.UNKNOWN.value}
        answer = Answer(RunStatus.ERROR, active.step.words.text, {"stopReason": "error", **told})
        try:
            await self._database.write(lambda db: runs.end_run(db, active.run.id, answer, self._now_ms()))
        except StateError as error:
            log.error("end of a turn not kept", run=active.run.id, reason=str(error))  # noqa: TRY400 - the reason says it all
        active.telling.quiet = False
        active.telling.end("error", None, told)
        return Ended(RunStatus.ERROR, "", words)

    def _joining(self, session: Session, active: Active) -> list[Run]:
        """What waits and belongs into the turn that is about to ask the model. The mode is the one of the newest message; after a start,
        where the queue came from the last process, the conversation's."""
        mode, waiting = self._modes.get(session.key) or queue_mode(session.settings), self._waiting.get(session.key, deque())
        together = mode is QueueMode.STEER or (mode is QueueMode.COLLECT and active.steps == 0)
        if not together or not may_join(active.run.options):
            return []
        joining = []
        while waiting and may_join(waiting[0].options):
            joining.append(waiting.popleft())
        return joining

    def _telling(self, run: Run) -> Telling:
        return Telling(self._hub, self._clock, run)

    def _tell_waiter(self, run_id: str, ended: Ended) -> None:
        waiter = self._waiters.get(run_id)
        if waiter is not None and not waiter.ended.done():
            waiter.ended.set_result(ended)

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)
