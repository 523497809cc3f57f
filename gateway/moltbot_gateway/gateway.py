"""One gateway: what its parts share, and the order of its life. No sockets here; those are `edge` and `control`.

start → (listen) → restored → opened → … → SIGTERM or commit → turns ended → database closed → exit
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from moltbot_gateway.activity import ActivityClock, Kind
from moltbot_gateway.agent import Agent
from moltbot_gateway.agent_config import parse_agent_config
from moltbot_gateway.chat.ending import INTERRUPTED_DETAIL
from moltbot_gateway.chat.turns import Turns
from moltbot_gateway.conditions import MODEL_READY, STATE_READY, Condition, Conditions, Measurements
from moltbot_gateway.errors import StateError, StateTooNew, Unavailable
from moltbot_gateway.handshake import Committed, Granted, Handshake, NotAccepted, State
from moltbot_gateway.hub import Hub
from moltbot_gateway.life import Given, Opened, Timings
from moltbot_gateway.models.base import Model
from moltbot_gateway.models.demo import DemoModel
from moltbot_gateway.models.failure import Reason
from moltbot_gateway.models.fallback import FallbackModel
from moltbot_gateway.models.unset import UnsetModel
from moltbot_gateway.schedule.heartbeat import Heartbeats
from moltbot_gateway.schedule.service import Schedule
from moltbot_gateway.settings import ModelAdapter, Settings, Storage
from moltbot_gateway.store import records, runs
from moltbot_gateway.store.database import Database
from moltbot_gateway.surroundings import Surroundings
from moltbot_gateway.workspace.workspace import Workspace
from moltbot_protocol.models import DEMO_MODEL
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway")

# After a commit the kubelet's SIGTERM is on its way; when it does not come something is broken, and ending mends it (rule 5d). Seconds.
COMMIT_PATIENCE = 15.0
# For the answer that says so. Seconds.
RESTART_PAUSE = 0.5
# How soon after a forced sleep was given up its waiting messages are taken up. Seconds.
RESUME_POLL = 0.5
# What a running turn gets after SIGTERM, and after it a job that is ending. The pod's grace is ≥120 s where the state container still has
# to flush, 10 s on a volume.
JOB_GRACE = 2.0
TURN_GRACE = {Storage.EPHEMERAL: 20.0, Storage.VOLUME: 4.0}


class Gateway:
    """`began` in seconds since 1970. `done` is set when the process should exit."""

    def __init__(self, settings: Settings, model: Model, clock: Clock, *, began: float, given: Given | None = None) -> None:
        self.settings, self.model, self.clock, self.began = settings, model, clock, began
        self._given = given or Given()
        self.handshake = Handshake()
        self.activity = ActivityClock()
        self.hub = Hub()
        self.measurements = Measurements()
        self.conditions = Conditions(self.measurements)
        self.timings = Timings()
        self.opened: Opened | None = None
        self.progress = 0
        self.done = asyncio.Event()
        self.on_commit: list[Callable[[], None]] = []
        self._database: Database | None = None
        self._agent: Agent | None = None
        self.agent_config = parse_agent_config(settings.agent)
        self._requests = 0
        self._requests_since: datetime | None = None
        self._snapshot_change: str | None = None
        self._tokens_before = 0
        self._patience: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._forced: asyncio.Task[None] | None = None
        if isinstance(model, UnsetModel):
            self.conditions.set(Condition(MODEL_READY, "False", Reason.NOT_CONFIGURED, model.problem))
        elif isinstance(model, FallbackModel):
            self.conditions.standing_in = lambda: model.standing_in
        elif isinstance(model, DemoModel):
            self.conditions.set(Condition(MODEL_READY, "True", Reason.DEMO, "The built-in demo model answers: offline, and no AI."))

    # what everybody asks

    @property
    def schedule(self) -> Schedule | None:
        """`None` before the state is open."""
        return None if self._agent is None else self._agent.schedule

    @property
    def heartbeats(self) -> Heartbeats | None:
        """`None` before the state is open, and where there are none."""
        return None if self._agent is None else self._agent.heartbeats

    @property
    def state(self) -> State:
        return self.handshake.state(self.clock.monotonic())

    @property
    def database(self) -> Database:
        if self._database is None:
            raise Unavailable("the assistant is still being brought back; try again in a moment", retry_after_ms=250)
        return self._database

    @property
    def turns(self) -> Turns:
        return self.agent.turns

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            raise Unavailable("the assistant is still being brought back; try again in a moment", retry_after_ms=250)
        return self._agent

    @property
    def workspace(self) -> Workspace:
        return self.agent.workspace

    @property
    def default_model(self) -> str:
        return DEMO_MODEL if self.settings.model_adapter is ModelAdapter.DEMO else self.settings.model_name

    @property
    def model_works(self) -> bool:
        """Whether asking makes sense: official clients disable their chat otherwise."""
        return self.settings.model_adapter is not ModelAdapter.NONE

    def now_ms(self) -> int:
        return int(self.clock.epoch() * 1000)

    def advance(self) -> None:
        self.progress += 1

    def since_start_ms(self) -> int:
        return max(0, round((self.clock.epoch() - self.began) * 1000))

    @property
    def busy(self) -> list[str]:
        """Words of `report`: why it does not go to sleep now."""
        reasons = []
        if self._agent is not None and self._agent.turns.busy:
            reasons.append("turn")
        if self._requests:
            reasons.append("request")
        if self.schedule is not None and self.schedule.busy:
            reasons.append("job")
        if self.heartbeats is not None and self.heartbeats.asking_since is not None:
            reasons.append("heartbeat")
        return reasons

    @property
    def busy_since(self) -> datetime | None:
        began = (
            self._agent.turns.busy_since if self._agent else None,
            self._requests_since,
            self.schedule.busy_since if self.schedule else None,
            self.heartbeats.asking_since if self.heartbeats else None,
        )
        since = [moment for moment in began if moment is not None]
        return min(since) if since else None

    @property
    def last_activity(self) -> datetime | None:
        """A running turn or job is activity for as long as it runs; a heartbeat is none (rule 6)."""
        turn = self._agent is not None and self._agent.turns.active
        return self.clock.now() if turn or (self.schedule is not None and self.schedule.running) else self.activity.last

    @property
    def next_due(self) -> datetime | None:
        """When a job is due next: the operator wakes a sleeping assistant for it. Heartbeats wake nobody."""
        return None if self.schedule is None else self.schedule.next_due

    @property
    def changed(self) -> bool:
        """Whether anything was written since the last copy for a snapshot that this process made (since the opening, when it made none)."""
        return self._database is not None and self._database.change != self._snapshot_change

    @property
    def tokens(self) -> int:
        return self._tokens_before + self.measurements.tokens

    # work

    def admit(self) -> NotAccepted | None:
        refused = self.handshake.admit(self.clock.monotonic())
        if refused is not None:
            self.measurements.not_accepted += 1
        return refused

    @contextlib.contextmanager
    def work(self, kind: Kind) -> Iterator[None]:
        """New work that was admitted: enter before the first await after `admit`. Busy, and activity, until the block ends."""
        self._requests += 1
        if self._requests == 1:
            self._requests_since = self.clock.now()
        self.activity.note(kind, self.clock.now())
        self.advance()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._requests_since = None

    def touch(self, kind: Kind) -> Granted | Committed:
        """A person is here, without any request of theirs reaching us."""
        answer = self.handshake.resume(self.clock.monotonic())
        if isinstance(answer, Granted):
            self.activity.note(kind, self.clock.now())
            self.warm_model()
        return answer

    def warm_model(self) -> None:
        """Somebody may ask soon: load what the first turn would wait for."""
        if self._warming is None and self._agent is not None:
            self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        try:
            await self.model.warm()
        except Exception:  # the turn that needs it will say what is wrong
            log.exception("model not loaded")

    # opening

    def listening(self, port: int, control_port: int) -> None:
        self.timings.listening = self.since_start_ms()
        log.info("listening", port=port, control_port=control_port, milliseconds=self.timings.listening)

    async def open(self, opened: Opened) -> None:
        """The state is where it should be: open it, and take up what was left undone."""
        self.timings.restored = self.since_start_ms()
        path = Path(self.settings.state_dir) / "current" / "moltbot.sqlite"
        try:
            database = await Database.open(path)
        except StateTooNew as error:
            self.conditions.set(Condition(STATE_READY, "False", "DatabaseTooNew", str(error)))
            raise
        except StateError as error:
            self.conditions.set(Condition(STATE_READY, "False", "StateUnreadable", str(error)))
            raise
        self._snapshot_change = database.change
        self._database, self.opened = database, opened
        now_ms = self.now_ms()
        left = await self._put_in_order(database, now_ms)
        self._tokens_before = await database.read(runs.total_tokens)
        agent = self._agent = Agent(
            Surroundings(
                self.settings.name,
                self.default_model,
                self.agent_config,
                Path(self.settings.state_dir) / "current",
                self._given.person,
                self._given.tools,
                database,
                self.model,
                self.hub,
                self.clock,
                self.activity,
                self.conditions,
                lambda: self.handshake.admit(self.clock.monotonic()) is None,
                self.advance,
            )
        )
        await agent.open()
        self._say_how_it_opened(database)
        self.activity.open(self.clock.now())
        self.handshake.opened()
        self.timings.open = self.since_start_ms()
        self.advance()
        log.info("state open", milliseconds=self.timings.open, lineage=opened.lineage, sequence=opened.sequence)
        agent.prepare()
        if self.state is State.OPEN:
            agent.start(left)

    async def _put_in_order(self, database: Database, now_ms: int) -> list[records.Run]:
        if await database.read(lambda db: runs.has_leftovers(db, now_ms)):
            await database.write(lambda db: runs.drop_own(db, now_ms))
            cut = await database.write(lambda db: runs.interrupt_running(db, INTERRUPTED_DETAIL, now_ms))
            await database.write(lambda db: runs.forget_old_runs(db, now_ms))
            if cut:
                log.warning("turns were interrupted by the last end", turns=len(cut))
        return await database.read(runs.list_open_runs)

    def _say_how_it_opened(self, database: Database) -> None:
        if database.set_aside is None:
            self.conditions.clear(STATE_READY)  # that it is well is the operator's to say, who sees the volume
            return
        place = database.set_aside.relative_to(self.settings.state_dir)
        message = (
            f"The database was damaged. It was set aside as {place} on the state volume and a new one begun, so earlier conversations are "
            "not shown; an earlier snapshot in the bucket may have them."
        )
        self.conditions.set(Condition(STATE_READY, "False", "DatabaseDamaged", message))

    # staging

    def staging_step(self) -> None:
        """The copy for a snapshot is getting on: part of going to sleep, so it renews the time to live."""
        self.handshake.progress(self.clock.monotonic())
        self.advance()

    def staged(self, change: str) -> None:
        self._snapshot_change = change

    # ending

    def committed(self) -> None:
        """Nothing is served from here on; without SIGTERM the process ends by itself."""
        if self._patience is None:
            log.info("committed to sleep", quiesce=self.handshake.quiesce_id)
            for call in self.on_commit:
                call()
            self._patience = asyncio.create_task(self._wait_for_sigterm())

    async def _wait_for_sigterm(self) -> None:
        await self.clock.sleep(COMMIT_PATIENCE)
        log.warning("no SIGTERM came after the commit; ending")
        self.done.set()

    def terminate(self) -> None:
        """SIGTERM. Safe to call twice."""
        if not self.handshake.terminating:
            log.info("SIGTERM", state=self.state.value, busy=self.busy)
        self.handshake.terminate()
        self.done.set()

    def restart_soon(self) -> None:
        """A person wants the process anew: it ends in order once the present answer is out, and whoever started it starts it again."""
        asyncio.get_running_loop().call_later(RESTART_PAUSE, self.terminate)

    async def force_turns(self) -> None:
        """A person wants it to sleep now (rule 5, `force`): running turns end as at SIGTERM, while new work is refused. Should it resume
        after all (the ttl, a router with new work), what waited is taken up again."""
        if self._agent is None:
            return
        await self._agent.turns.stop(TURN_GRACE[self.settings.storage])
        if self.schedule is not None:
            await self.schedule.settle(JOB_GRACE)
        if self._forced is None or self._forced.done():
            self._forced = asyncio.create_task(self._release_when_resumed(self._agent.turns))

    async def _release_when_resumed(self, turns: Turns) -> None:
        while (state := self.state) is State.QUIESCED:
            await self.clock.sleep(RESUME_POLL)
        if state is State.OPEN:
            await turns.release()

    async def end_turns(self) -> None:
        """Running turns may finish for a while, then they are interrupted."""
        self.handshake.terminate()
        if self._agent is not None:
            await self._agent.stop_heartbeats()
            await self._agent.turns.stop(TURN_GRACE[self.settings.storage])
            await self._agent.close(JOB_GRACE)

    async def close(self) -> None:
        """After the listeners are gone: let go of the model and write the database back."""
        for task in (self._patience, self._warming, self._forced):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self.model.close()
        if self._database is not None:
            await self._database.close()
        if self.opened is not None:
            self.opened.release()
        log.info("closed")
