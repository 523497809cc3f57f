"""A cluster, a gateway, a state container, a router and a bucket in memory, on which the real lifecycle service runs.

The gateway's half of the handshake is the real one (`moltbot_gateway.handshake`). Everything else is modelled as rules 2, 4, 5, 7 and 8
have it, one atomic event at a time. Between any two calls of the operator, and before and after each answer, `interleave` lets the rest
of the world act: that is where tests put their events. What must never be is checked where it would happen and raises `Violation`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from moltbot_api.spec import OperatingMode
from moltbot_gateway.activity import ActivityClock, Kind
from moltbot_gateway.handshake import Busy as GatewayBusy
from moltbot_gateway.handshake import Granted, Handshake
from moltbot_gateway.handshake import Resumed as GatewayResumed
from moltbot_gateway.handshake import State as GatewayWord
from moltbot_operator.lifecycle.observed import Key, MoltbotFacts, Observed, PodFacts, StatefulSetFacts, Storage
from moltbot_operator.lifecycle.ports import (
    Busy,
    Checkpoint,
    Committed,
    Conflict,
    Missing,
    Ports,
    Quiesced,
    Resumed,
    ScaleFacts,
    SnapshotOutcome,
    SnapshotReason,
    SnapshotRefused,
    SnapshotTaken,
    Unavailable,
)
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState, SnapshotReport, StatePhase, StateReport
from moltbot_operator.lifecycle.status import LifecycleStatus
from tests.fakes.clock import FakeClock

KEY = Key("default", "ada")
# The committed process ends by itself after this (seconds; rule 5d), and the API notices this much later.
EXIT_SECONDS, NOTICE_SECONDS = 15.0, 2.0


class Violation(AssertionError):
    """Something happened that must never happen."""


class Killed(BaseException):
    """The operator's process ends here."""


@dataclass
class Bucket:
    messages: frozenset[int] = frozenset()
    sequence: int = 0
    broken: bool = False


@dataclass
class Process:
    """The gateway's process in a pod; a restart in place makes another one on the same storage."""

    handshake: Handshake = field(default_factory=Handshake)
    activity: ActivityClock = field(default_factory=ActivityClock)
    turns: set[int] = field(default_factory=set)
    committed_at: float | None = None
    progress: int = 0


@dataclass
class Pod:
    uid: str
    created_at: datetime
    process: Process
    messages: set[int] | None = None  # None: not opened yet
    changed: bool = False
    ready: bool = False
    terminating_since: datetime | None = None
    template: int = 0
    unreachable: bool = False


class World:
    """The end that the operator brings about flushes nothing: only the handshake keeps the state, so that a hole in it shows."""

    def __init__(self, storage: Storage = Storage.EPHEMERAL, sleep_after: float | None = 60.0) -> None:
        self.clock = FakeClock()
        self.storage = storage
        self.moltbot = MoltbotFacts(
            key=KEY,
            uid="m-1",
            generation=1,
            created_at=self.clock.now(),
            mode=OperatingMode.AUTO,
            sleep_after=sleep_after,
            storage=storage,
            has_bucket=True,
        )
        self.status = LifecycleStatus()
        self.version = 1
        self.replicas = 0
        self.template = 0
        self.pod: Pod | None = None
        self.bucket = Bucket()
        self.volume: set[int] = set()
        self.pods_made = 0
        self.held: set[int] = set()  # what the router holds, or its clients will send again
        self.accepted: set[int] = set()  # what a client was told is taken
        self.ran: dict[int, int] = {}
        self.sent = 0
        self.next_due: datetime | None = None
        self.router_replicas: int | None = None  # what a late router believes, None: it sees the present
        self.late_bump_at: float | None = None
        self.interleave: Callable[[str], Awaitable[None]] = _nothing
        self.scaled_down = 0
        self.forced_turns = 0
        self.events: list[tuple[str, str]] = []
        self.finished: dict[str, SnapshotOutcome] = {}

    # --- the API server and its controllers

    def bump(self) -> None:
        self.version += 1

    def observed(self) -> Observed:
        statefulset = StatefulSetFacts(
            uid="s-1",
            resource_version=str(self.version),
            replicas=self.replicas,
            hashed=True,
            revision=f"r-{self.template}",
            inputs=f"i-{self.template}",
        )
        pod = None
        if self.pod is not None:
            one = self.pod
            pod = PodFacts(
                uid=one.uid,
                created_at=one.created_at,
                ip="127.0.0.9",
                phase="Running",
                ready=one.ready,
                deletion_at=one.terminating_since + timedelta(seconds=120) if one.terminating_since is not None else None,
                revision=f"r-{one.template}",
                inputs=f"i-{one.template}",
                node="node-1",
                certificate="ab" * 32,
            )
        return Observed(moltbot=self.moltbot, statefulset=statefulset, pod=pod, status=self.status)

    def write_scale(self, replicas: int) -> None:
        if replicas != self.replicas:
            self.replicas = replicas
            self.bump()

    def controllers(self) -> None:
        """The StatefulSet's controller and the kubelet do what is next, one thing."""
        if self.pod is None:
            if self.replicas == 1:
                self.pods_made += 1
                self.pod = Pod(uid=f"p-{self.pods_made}", created_at=self.clock.now(), process=Process(), template=self.template)
                self.bump()
        elif self.pod.terminating_since is not None:
            self._finish_pod()
        elif self.replicas == 0:
            self.terminate(flush=False)
        elif self.pod.messages is None:
            self._open_pod(self.pod)
        elif not self.pod.ready:
            self.pod.ready = True
            self.bump()

    def terminate(self, *, flush: bool) -> None:
        """SIGTERM to both containers. `flush`: the state container keeps what the bucket lacks, as it does at an eviction."""
        pod = self.pod
        if pod is None or pod.terminating_since is not None:
            return
        pod.terminating_since = self.clock.now()
        pod.process.handshake.terminate()
        pod.process.turns.clear()
        if flush:
            self._flush(pod)
        self.bump()

    def _flush(self, pod: Pod) -> None:
        if self.storage is Storage.EPHEMERAL and pod.messages is not None and frozenset(pod.messages) != self.bucket.messages:
            self.bucket = replace(self.bucket, messages=frozenset(pod.messages), sequence=self.bucket.sequence + 1)

    def _finish_pod(self) -> None:
        assert self.pod is not None
        if self.pod.process.turns:
            raise Violation("a pod ended with a turn running")
        self.pod = None
        self.bump()

    def _open_pod(self, pod: Pod) -> None:
        if pod.process.handshake.terminating:
            return
        if self.status.recorded is not None and self.storage is Storage.EPHEMERAL and self.bucket.sequence < self.status.recorded.sequence:
            raise Violation("what is restored is older than what was recorded")
        pod.messages = set(self.bucket.messages) if self.storage is Storage.EPHEMERAL else self.volume
        self._lost(pod.messages)
        pod.process.handshake.opened()
        pod.process.activity.open(self.clock.now())
        pod.process.progress += 1

    def _lost(self, messages: set[int]) -> None:
        lost = self.accepted - messages
        if lost:
            raise Violation(f"accepted messages are lost: {sorted(lost)}")

    # --- the gateway

    def restart_gateway(self, *, noticed: bool = True) -> None:
        """The container ends and is started again in place, on the same storage; the API notices at once, or 2 s later."""
        pod = self.pod
        if pod is None or pod.terminating_since is not None or pod.messages is None:
            return
        pod.process = Process()
        pod.process.handshake.opened()
        pod.process.activity.open(self.clock.now())
        pod.ready = False
        if noticed:
            self.bump()
        else:
            self.late_bump_at = self.clock.monotonic() + NOTICE_SECONDS

    def pass_time(self, seconds: float) -> None:
        """Time passes; what is due meanwhile happens."""
        target = self.clock.monotonic() + seconds
        while True:
            exit_at = None
            if self.pod is not None and self.pod.process.committed_at is not None and self.pod.terminating_since is None:
                exit_at = self.pod.process.committed_at + EXIT_SECONDS
            due = [moment for moment in (exit_at, self.late_bump_at) if moment is not None and moment <= target]
            if not due:
                break
            moment = min(due)
            self.clock.set(max(0.0, moment - self.clock.monotonic()))
            if moment == self.late_bump_at:
                self.late_bump_at = None
                self.bump()
            else:
                self.restart_gateway(noticed=False)
        self.clock.set(max(0.0, target - self.clock.monotonic()))

    def end_turns(self) -> None:
        if self.pod is not None:
            self.pod.process.turns.clear()
            self.pod.process.progress += 1

    def _admit(self, message: int) -> bool:
        pod = self.pod
        if pod is None or pod.messages is None or pod.unreachable:
            return False
        process, now = pod.process, self.clock.monotonic()
        if process.handshake.admit(now) is not None:
            # a router with new work keeps it and calls resume (rule 5b)
            process.handshake.resume(now)
            return False
        process.activity.note(Kind.MESSAGE, self.clock.now())
        if message not in pod.messages:  # by its idempotency key, stored before the answer (rule 4)
            pod.messages.add(message)
            pod.changed = True
            process.turns.add(message)
            process.progress += 1
            self.ran[message] = self.ran.get(message, 0) + 1
            if self.ran[message] > 1:
                raise Violation(f"message {message} ran twice")
        return True

    # --- the router

    def send(self) -> None:
        """A client sends a message."""
        self.sent += 1
        self.held.add(self.sent)

    def router(self, *, lose_answer: bool = False) -> None:
        """The router does what is next with what it holds: writes 1, or sends (rules 4, 5f). `lose_answer`: the client is told nothing."""
        if not self.held or self.moltbot.mode is OperatingMode.SUSPENDED:
            return
        believed = self.replicas if self.router_replicas is None else self.router_replicas
        if believed == 0:
            self.write_scale(1)  # over a 1 it changes nothing, not even the resourceVersion
        for message in sorted(self.held):
            if self._admit(message) and not lose_answer:
                self.held.discard(message)
                self.accepted.add(message)

    # --- the operator's ports

    def ports(self) -> Ports:
        return Ports(cluster=_Cluster(self), gateway=_Gateway(self), state=_State(self), clock=self.clock, checkpoint=self._checkpoint)

    async def _checkpoint(self, key: Key, checkpoint: Checkpoint) -> None:
        assert key == KEY
        await self.interleave(f"checkpoint {checkpoint.value}")

    def check_end(self) -> None:
        """Called where a pod is ended by the operator: rule 5 in one place."""
        pod = self.pod
        if pod is None or pod.terminating_since is not None or pod.messages is None:
            return
        if pod.process.handshake.state(self.clock.monotonic()) is not GatewayWord.COMMITTED:
            raise Violation("the pod is ended although the gateway did not commit")
        if self.storage is Storage.EPHEMERAL and frozenset(pod.messages) != self.bucket.messages:
            raise Violation("the pod is ended although its state is not in the bucket")
        if pod.process.turns:
            raise Violation("the pod is ended with a turn running")

    def check_settled(self) -> None:
        """At rest nothing is held, lost or doubled."""
        if self.moltbot.mode is OperatingMode.SUSPENDED and (self.replicas != 0 or self.pod is not None):
            raise Violation("a Suspended assistant is not asleep")
        if self.held and self.moltbot.mode is OperatingMode.AUTO:
            raise Violation(f"held for ever: {sorted(self.held)}")
        if self.pod is None and self.storage is Storage.EPHEMERAL:
            self._lost(set(self.bucket.messages))
        elif self.pod is None:
            self._lost(self.volume)
        elif self.pod.messages is not None:
            self._lost(self.pod.messages)
        doubled = [message for message, count in self.ran.items() if count > 1]
        if doubled:
            raise Violation(f"ran twice: {doubled}")


async def _nothing(where: str) -> None:
    del where


class _Cluster:
    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, key: Key) -> Observed | None:
        assert key == KEY
        await self._world.interleave("observe")
        return self._world.observed()

    async def read_scale(self, key: Key, *, timeout: float) -> ScaleFacts | None:
        await self._world.interleave("before read_scale")
        facts = ScaleFacts("s-1", str(self._world.version), self._world.replicas)
        await self._world.interleave("after read_scale")
        return facts

    async def scale(self, key: Key, replicas: int, *, uid: str, resource_version: str | None, timeout: float) -> None:
        world = self._world
        begun = world.clock.monotonic()
        await world.interleave(f"before scale {replicas}")
        if world.clock.monotonic() - begun > timeout:
            # The adapter gives up before it is sent. What a network holds back for longer than this and then delivers is beyond rule 5e;
            # there the SIGTERM's own flush is what keeps the state.
            raise Unavailable("no answer in time")
        if replicas == 0 and resource_version is None:
            raise Violation("0 was written without a resourceVersion")
        if uid != "s-1" or (resource_version is not None and resource_version != str(world.version)):
            raise Conflict("the StatefulSet changed")
        if replicas == 0 and world.replicas == 1:
            world.check_end()
            world.scaled_down += 1
        world.write_scale(replicas)
        await world.interleave(f"after scale {replicas}")

    async def delete_pod(self, key: Key, uid: str, *, timeout: float) -> None:
        world = self._world
        begun = world.clock.monotonic()
        await world.interleave("before delete_pod")
        if world.clock.monotonic() - begun > timeout:
            raise Unavailable("no answer in time")
        if world.pod is None:
            return
        if world.pod.uid != uid:
            raise Conflict("another pod")
        if world.pod.process.committed_at is not None:
            world.check_end()
        # else the gateway restarted since its commit: it gets a SIGTERM as at any other time, and the state container flushes
        world.terminate(flush=True)
        await world.interleave("after delete_pod")

    async def record(self, key: Key, moltbot_uid: str, status: LifecycleStatus, *, timeout: float) -> None:
        await self._world.interleave("before record")
        if moltbot_uid != self._world.moltbot.uid:
            raise Missing("another Moltbot")
        self._world.status = status
        await self._world.interleave("after record")

    async def finish_snapshot(self, key: Key, name: str, uid: str, outcome: SnapshotOutcome, *, timeout: float) -> None:
        self._world.finished[name] = outcome

    async def mirror_snapshot(self, key: Key, moltbot_uid: str, snapshot: SnapshotReport, *, timeout: float) -> None:
        return

    async def remove_mirror(self, key: Key, name: str, uid: str, *, timeout: float) -> None:
        return

    def event(self, key: Key, moltbot_uid: str, *, warning: bool, reason: str, message: str) -> None:
        self._world.events.append((reason, message))


class _Control:
    def __init__(self, world: World) -> None:
        self.world = world

    def pod(self, facts: PodFacts) -> Pod:
        """The pod that is meant, and nobody else (rule 3)."""
        pod = self.world.pod
        if pod is None or pod.uid != facts.uid or pod.unreachable:
            raise Unavailable("no such pod any more")
        return pod


class _Gateway(_Control):
    async def report(self, pod: PodFacts, *, timeout: float) -> GatewayReport:
        await self.world.interleave("before report")
        process = self.pod(pod).process
        messages = self.pod(pod).messages
        now = self.world.clock.monotonic()
        return GatewayReport(
            pod_uid=pod.uid,
            state=GatewayState(process.handshake.state(now).value),
            progress=process.progress,
            busy=tuple(f"turn {turn}" for turn in sorted(process.turns)),
            opened_at=process.activity.opened,
            last_activity=process.activity.last,
            first_activity=process.activity.first_kind.value if process.activity.first_kind is not None else None,
            next_due=self.world.next_due,
            lineage="line",
            sequence=len(messages or ()),
            quiesce_id=process.handshake.quiesce_id,
        )

    async def quiesce(self, pod: PodFacts, handshake_id: str, *, ttl: float, force: bool, timeout: float) -> Quiesced | Busy | Resumed:
        await self.world.interleave("before quiesce")
        process = self.pod(pod).process
        if force:
            self.world.forced_turns += len(process.turns)
            process.turns.clear()
        answer = process.handshake.quiesce(handshake_id, ttl, self.world.clock.monotonic(), sorted(map(str, process.turns)))
        await self.world.interleave("after quiesce")
        match answer:
            case Granted(state=state):
                return Quiesced(state is GatewayWord.COMMITTED, self.world.next_due)
            case GatewayBusy(reasons=reasons):
                return Busy(reasons)
            case GatewayResumed():
                return Resumed()

    async def commit(self, pod: PodFacts, handshake_id: str, *, timeout: float) -> Committed | Resumed:
        await self.world.interleave("before commit")
        process = self.pod(pod).process
        now = self.world.clock.monotonic()
        answer = process.handshake.commit(handshake_id, now)
        if isinstance(answer, Granted) and process.committed_at is None:
            process.committed_at = now
        await self.world.interleave("after commit")
        return Committed() if isinstance(answer, Granted) else Resumed()


class _State(_Control):
    async def report(self, pod: PodFacts, *, timeout: float) -> StateReport:
        found = self.pod(pod)
        opened = found.messages is not None
        return StateReport(
            pod_uid=pod.uid,
            state=StatePhase.OPEN if opened else StatePhase.RESTORING,
            lineage="line",
            sequence=self.world.bucket.sequence,
            changed=found.changed,
            last_snapshot=self._snapshot() if self.world.bucket.sequence else None,
        )

    async def snapshot(
        self, pod: PodFacts, reason: SnapshotReason, *, handshake_id: str | None, timeout: float
    ) -> SnapshotTaken | SnapshotRefused:
        world = self.world
        await world.interleave("before snapshot")
        found = self.pod(pod)
        if found.messages is None:
            return SnapshotRefused("restoring", "it is restoring")
        if world.bucket.broken:
            return SnapshotRefused("BucketUnreachable", "the bucket cannot be reached")
        staged = frozenset(found.messages)  # a copy of this moment; what comes while it is uploaded is not in it
        await world.interleave("during snapshot")
        if world.pod is not found:
            raise Unavailable("the pod is gone")
        created = staged != world.bucket.messages
        if created:
            world.bucket = replace(world.bucket, messages=staged, sequence=world.bucket.sequence + 1)
        if staged == frozenset(found.messages):
            found.changed = False
        taken = self._snapshot()
        await world.interleave("after snapshot")
        return SnapshotTaken(created, taken)

    def _snapshot(self) -> SnapshotReport:
        bucket = self.world.bucket
        return SnapshotReport(
            f"snap-{bucket.sequence}", self.world.clock.now(), len(bucket.messages), 1, "line", bucket.sequence, None, True
        )
