"""Steps 4 to 6 of the wake path: hold, write 1 once for all waiters, follow the pod, ask it every 25 ms until it is open.

One *flight* per Moltbot while anybody waits. What it does next is the pure `wake_step.decide_step`; the flight carries it out. Races it
is built for:

1. Two requests come at once: the flight is entered into the table before anything is awaited, so there is one.
2. 1 is written over 1 (the cache was behind, or the operator was about to write 0): the answer's resourceVersion says how new a cached 0
must be to count; a newer
   0 while work is held is answered by writing 1 again, for as long as both are so (rule 5f).
3. The answer to the write is lost: it is written again, after a pause of its own; writing 1 is idempotent.
4. A router starts while its Moltbot is being put to sleep: its cache begins at the list, and the same loop applies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from moltbot_api.conditions import Phase
from moltbot_router.path.facts import Key, PodFacts
from moltbot_router.path.ports import ClusterError, ClusterView, ClusterWrites, Denied, Prober
from moltbot_router.path.readiness import Readiness, State, Why, decide_state, explain
from moltbot_router.path.wake_step import FIRST_WRITE_PAUSE, Memory, Step, decide_step
from moltbot_trust.clock import Clock
from moltbot_trust.logs import Log, get_logger

# The pod's address is in the API long before it is Ready (reference: scale to zero), so the pod itself is asked, this often (seconds).
PROBE_SECONDS = 0.025
# How many questions may be under way at once: a lost SYN must not be a back-off.
PROBES_AT_ONCE = 4
# The longest pause between writes whose outcome is unknown (seconds).
LAST_WRITE_PAUSE = 2.0
# A changed-nothing world is looked at again this often: no watch is trusted for ever (seconds).
LOOK_AGAIN_SECONDS = 1.0

log = get_logger("moltbot_router.wake")


class WakeError(Exception):
    """A held request will not be served. `retry_after` in seconds."""

    def __init__(self, why: Why, *, failed: bool, retry_after: int) -> None:
        super().__init__(why.message)
        self.why, self.failed, self.retry_after = why, failed, retry_after


@dataclass(slots=True)
class _Flight:
    key: Key
    reason: str
    began: float
    waiters: set[asyncio.Future[PodFacts]] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """How many may be held: for one Moltbot, and in all; and for how long (seconds)."""

    each: int = 64
    total: int = 1024
    seconds: float = 50.0


class Waker:
    """The flights of this router. Owns their tasks: `close` ends them."""

    def __init__(
        self,
        view: ClusterView,
        writes: ClusterWrites,
        prober: Prober,
        clock: Clock,
        limits: HoldLimits,
        *,
        observe: Callable[[float | None], None] = lambda seconds: None,
    ) -> None:
        """`observe` is told the seconds of each wake, None for a failed one."""
        self._view, self._writes, self._prober, self._clock = view, writes, prober, clock
        self.limits = limits
        self._observe = observe
        self._flights: dict[Key, _Flight] = {}
        self._open: dict[Key, str] = {}  # Moltbot → uid of the pod found open
        self._held = 0
        self._listeners: list[Callable[[Key], None]] = []
        self._unsubscribe = view.subscribe(self._changed)

    # what others ask

    def state(self, key: Key) -> State | None:
        """Where that Moltbot is; None when there is none. A pod that the kubelet calls ready counts as open without a question of ours."""
        instance = self._view.instance(key)
        if instance is None:
            return None
        pod = instance.pod
        if pod is not None and pod.ready and not pod.terminating and key not in self._open:
            self._open[key] = pod.uid
        return decide_state(instance, self._open.get(key))

    def is_waking(self, key: Key) -> bool:
        """Whether somebody waits for it."""
        return key in self._flights

    def waking_for(self, key: Key) -> float | None:
        """Seconds since this router began to wake it; None while nobody waits."""
        flight = self._flights.get(key)
        return self._clock.monotonic() - flight.began if flight is not None else None

    @property
    def held(self) -> int:
        """How many wait now."""
        return self._held

    def listen(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        """Call whenever `state` or `is_waking` of a Moltbot may have changed."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    def mark_lost(self, key: Key, pod_uid: str) -> None:
        """A connection to that pod failed, or it has committed to sleep: it counts as open again only when it says so."""
        if self._open.get(key) == pod_uid:
            self._open[key] = ""  # "" rather than absent: the kubelet's readiness is older than what we have just seen
            self._tell(key)

    def mark_open(self, key: Key, pod_uid: str) -> None:
        """That pod has just served us."""
        instance = self._view.instance(key)
        if instance is not None and instance.pod is not None and instance.pod.uid == pod_uid and self._open.get(key) != pod_uid:
            self._open[key] = pod_uid
            self._tell(key)

    async def wait_open(self, key: Key, *, reason: str, seconds: float | None = None) -> PodFacts:
        """Hold until the pod is open. Raises WakeError. Safe to cancel: the wake goes on for the others, and ends with the last one."""
        state = self.state(key)
        if state is not None and state.readiness is Readiness.AWAKE and state.pod is not None:
            return state.pod
        flight = self._join(key, reason)
        future: asyncio.Future[PodFacts] = asyncio.get_running_loop().create_future()
        flight.waiters.add(future)
        self._held += 1
        deadline = asyncio.get_running_loop().create_task(self._clock.sleep(self.limits.seconds if seconds is None else seconds))
        deadline.add_done_callback(
            lambda _: None if future.done() else future.set_exception(WakeError(self._explain(key), failed=False, retry_after=5))
        )
        try:
            return await future
        finally:
            deadline.cancel()
            self._held -= 1
            flight.waiters.discard(future)
            flight.changed.set()

    def start(self, key: Key, *, reason: str) -> None:
        """Wake without waiting (a navigation whose page the router serves itself). Bounded as any hold; a full house is no error here."""
        state = self.state(key)
        if state is None or state.readiness in (Readiness.AWAKE, Readiness.SUSPENDED, Readiness.DELETING):
            return
        try:
            flight = self._join(key, reason)
        except WakeError:
            return
        future: asyncio.Future[PodFacts] = asyncio.get_running_loop().create_future()
        flight.waiters.add(future)
        self._held += 1

        def settled(_: asyncio.Future[PodFacts]) -> None:
            self._held -= 1
            flight.waiters.discard(future)
            if not future.cancelled():
                future.exception()  # told to nobody: the page listens to the phase

        future.add_done_callback(settled)
        asyncio.get_running_loop().call_later(self.limits.seconds, lambda: future.done() or future.cancel())

    async def drained(self, seconds: float) -> None:
        """Until nobody waits for a wake any more, or that long."""
        flights = {flight.task for flight in self._flights.values() if flight.task is not None}
        if flights:
            await asyncio.wait(flights, timeout=seconds)

    async def close(self) -> None:
        """End every flight; who waits is told to try again."""
        self._unsubscribe()
        flights = list(self._flights.values())
        for flight in flights:
            if flight.task is not None:
                flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights if flight.task is not None), return_exceptions=True)

    # the flight

    def _join(self, key: Key, reason: str) -> _Flight:
        flight = self._flights.get(key)
        if self._held >= self.limits.total or (flight is not None and len(flight.waiters) >= self.limits.each):
            raise WakeError(Why("TooManyWaiting", "Too many requests wait for this assistant to wake."), failed=False, retry_after=5)
        if flight is None:
            # In the table before anything is awaited: whoever comes next joins this one.
            flight = _Flight(key, reason, self._clock.monotonic())
            self._flights[key] = flight
            flight.task = asyncio.get_running_loop().create_task(self._fly(flight), name=f"wake {key}")
            self._tell(key)
        return flight

    async def _fly(self, flight: _Flight) -> None:
        key, bound = flight.key, log.bind(namespace=flight.key.namespace, moltbot=flight.key.name)
        began = flight.began
        memory = Memory(started=began)
        bound.info("waking", reason=flight.reason)
        try:
            # A new waiter may come between the last look and the end; the table is left in the same breath as the last look.
            while True:
                flight.changed.clear()
                if not flight.waiters:
                    return
                instance = self._view.instance(key)
                self.state(key)
                match decide_step(instance, self._open.get(key), memory, self._clock.monotonic()):
                    case Step.DONE:
                        assert instance is not None
                        assert instance.pod is not None
                        seconds = self._clock.monotonic() - began
                        bound.info("awake", seconds=round(seconds, 3), waiters=len(flight.waiters))
                        self._observe(seconds)
                        self._settle(flight, instance.pod)
                        return
                    case Step.FAIL:
                        why = self._explain(key)
                        bound.warning("wake failed", reason=why.reason, message=why.message)
                        self._observe(None)
                        self._settle(flight, WakeError(why, failed=True, retry_after=10))
                        return
                    case Step.WRITE:
                        await self._write(key, memory, bound)
                    case Step.PROBE:
                        assert instance is not None
                        assert instance.pod is not None
                        await self._probe(flight, instance.pod)
                    case Step.WAIT:
                        pause = LOOK_AGAIN_SECONDS
                        if memory.write_after > self._clock.monotonic():
                            pause = min(pause, memory.write_after - self._clock.monotonic())
                        await self._pause(flight, pause)
        except asyncio.CancelledError:
            self._settle(flight, WakeError(Why("RouterStopping", "The router is stopping."), failed=False, retry_after=1))
            raise
        except Exception:
            log.exception("wake broke", namespace=key.namespace, moltbot=key.name)
            self._settle(
                flight, WakeError(Why("RouterError", "The router failed to wake it; its log says why."), failed=True, retry_after=5)
            )
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            self._tell(key)

    async def _write(self, key: Key, memory: Memory, bound: Log) -> None:
        now = self._clock.monotonic()
        memory.write_after = now + memory.pause
        memory.pause = min(memory.pause * 2, LAST_WRITE_PAUSE)
        log.debug("checkpoint", name="wake.write", moltbot=str(key))
        try:
            memory.written_version = await self._writes.scale_to_one(key)
            memory.written = True
            memory.pause = FIRST_WRITE_PAUSE
            bound.info("wake written")
        except Denied as error:
            log.error("wake not allowed", moltbot=str(key), error=str(error))  # noqa: TRY400 - the API's own words say it all
            memory.write_after = self._clock.monotonic() + LAST_WRITE_PAUSE
        except ClusterError as error:
            # Known or not whether it happened: looked at again, written again.
            log.warning("wake not written", moltbot=str(key), error=str(error))

    async def _probe(self, flight: _Flight, pod: PodFacts) -> None:
        """Ask until it is open, the pod is another one, or nobody waits any more. Several questions may be under way."""
        opened = False

        async def ask() -> None:
            nonlocal opened
            if await self._prober.probe(pod):
                opened = True
                flight.changed.set()

        asked: set[asyncio.Task[None]] = set()
        try:
            while not opened:
                asked = {task for task in asked if not task.done()}
                if len(asked) < PROBES_AT_ONCE:
                    asked.add(asyncio.get_running_loop().create_task(ask()))
                await self._pause(flight, PROBE_SECONDS)
                # Looked at every time: a change that comes in the same breath as the end of the pause must not be missed.
                if not opened:
                    instance = self._view.instance(flight.key)
                    if not flight.waiters or instance is None or instance.pod != pod or instance.moltbot.phase == Phase.FAILED:
                        return
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        self._open[flight.key] = pod.uid
        self._tell(flight.key)

    async def _pause(self, flight: _Flight, seconds: float) -> None:
        """Until something may have changed, or the time is over."""

        def end(_: asyncio.Task[None]) -> None:
            flight.changed.set()

        timer = asyncio.get_running_loop().create_task(self._clock.sleep(seconds))
        timer.add_done_callback(end)
        try:
            await flight.changed.wait()
        finally:
            timer.remove_done_callback(end)
            timer.cancel()
        flight.changed.clear()

    def _settle(self, flight: _Flight, outcome: PodFacts | WakeError) -> None:
        # Out of the table first: who comes from now on starts a flight of their own rather than join one that has ended.
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        for future in list(flight.waiters):
            if future.done():
                continue
            if isinstance(outcome, WakeError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _explain(self, key: Key) -> Why:
        return explain(self._view.instance(key), self.state(key))

    def _changed(self, key: Key) -> None:
        instance = self._view.instance(key)
        uid = self._open.get(key)
        if uid is not None and (instance is None or instance.pod is None or (uid and instance.pod.uid != uid)):
            del self._open[key]
        elif uid == "" and instance is not None and instance.pod is not None and not instance.pod.ready:
            del self._open[key]  # the kubelet has noticed too: its next "ready" is news
        flight = self._flights.get(key)
        if flight is not None:
            flight.changed.set()
        self._tell(key)

    def _tell(self, key: Key) -> None:
        for listener in list(self._listeners):
            listener(key)
