"""One opened connection of a person, from hello-ok to its end: frames in, frames out, parked while the Moltbot sleeps.

Three tasks: the client's frames are read and routed; an upstream is kept while the Moltbot is awake; a tick goes out every 30 s. What is
sent upstream is remembered until it is answered. Races:

1. A frame is refused with `notAccepted` (the gateway is being put to sleep): it goes back to the front, the gateway is asked to resume,
and either it takes the frame
   now or it has committed, and the frame waits for the next pod.
2. The upstream breaks with frames under way: those with an idempotency key are sent again, once it is back; the others get a retryable
UNAVAILABLE, for nobody knows. 3. A client's later message must not overtake one that is held: work queues behind held work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from moltbot_protocol.errors import CloseCode, ErrorShape, FrameError, not_accepted_id, unavailable
from moltbot_protocol.events import CHAT, SESSIONS_CHANGED, TICK_INTERVAL_MS, tick
from moltbot_protocol.frames import Cancel, Event, Request, Response, answer, parse_client_frame, parse_server_frame, refuse, serialise
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_protocol.methods import Method
from moltbot_router.path.asleep import answer_asleep
from moltbot_router.path.dispatch import Route, Routing, decide_frame, decide_without_upstream
from moltbot_router.path.facts import Instance, Key, PodFacts
from moltbot_router.path.held import Frame, HeldFrames
from moltbot_router.path.opening import Grant
from moltbot_router.path.parking import Subscriptions
from moltbot_router.path.ports import ClusterView
from moltbot_router.path.readiness import Readiness, State, Why, explain
from moltbot_router.path.upstream import ClientSocket, Committed, Gateways, UpstreamLost, UpstreamRefused, UpstreamSocket
from moltbot_router.path.wake import WakeError, Waker
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import Seal

# Frames that one connection may have under way.
MAX_PENDING = 256
# Sessions whose history was shown empty, remembered so that the page is told to load them.
MAX_SHOWN_EMPTY = 16
# A client that takes nothing for this long is dropped (seconds), as the official server drops a slow consumer.
SLOW_CLIENT_SECONDS = 60.0
# How long a parked connection waits before it looks for an upstream again without being told (seconds).
LOOK_AGAIN_SECONDS = 5.0
# The pause before an upstream that broke at once is tried again (seconds).
RETRY_SECONDS = 0.05

log = get_logger("moltbot_router.session")

RouterMethods = Callable[["Session", Method, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What the connections of one router share."""

    view: ClusterView
    waker: Waker
    gateways: Gateways
    clock: Clock
    methods: RouterMethods


class Session:
    """`run` until the connection ends. `close` from outside ends it with a code."""

    def __init__(self, key: Key, grant: Grant, *, protocol: int, conn_id: str, client: ClientSocket, services: SessionServices) -> None:
        self.key, self.grant, self.protocol, self.conn_id = key, grant, protocol, conn_id
        self._client, self._services = client, services
        self._upstream: UpstreamSocket | None = None
        self._pod: PodFacts | None = None
        self._pending: OrderedDict[str, Frame] = OrderedDict()
        self._held = HeldFrames()
        self._subscriptions = Subscriptions()
        self._seq = 0
        self._own_ids = f"moltbot-{secrets.token_hex(8)}-"
        self._stirred = asyncio.Event()
        self._sleepy = False
        self._shown_empty: set[str] = set()
        self._order = 0
        self._barrier: set[str] = set()
        self._resume: asyncio.Task[None] | None = None
        self._closing: tuple[int, str] | None = None
        self._ended = asyncio.Event()
        self._log = log.bind(namespace=key.namespace, moltbot=key.name, device=grant.device.device_id, connection=conn_id)

    # from outside

    def close(self, code: int, reason: str) -> None:
        """End it soon."""
        if self._closing is None:
            self._closing = (code, reason)
            self._ended.set()

    async def send_event(self, event: Event) -> None:
        """An event of the router's own, numbered in this connection."""
        self._seq += 1
        await self._send(serialise(Event(event.event, event.payload, self._seq, event.state_version)))

    async def run(self) -> None:
        """Everything after hello-ok. Always ends with a closed client and no upstream."""
        unlisten = self._services.waker.listen(self._on_change)
        tasks = [
            asyncio.create_task(self._read_client(), name="client"),
            asyncio.create_task(self._keep_upstream(), name="upstream"),
            asyncio.create_task(self._tick(), name="tick"),
            asyncio.create_task(self._ended.wait(), name="ended"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is not None and not isinstance(error, ConnectionError | TimeoutError):
                    self._log.error("session broke", error=repr(error))
                    self._closing = self._closing or (CloseCode.INTERNAL, "internal error")
                elif isinstance(error, TimeoutError):
                    self._closing = self._closing or (CloseCode.POLICY, "slow consumer")
        finally:
            unlisten()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._upstream is not None:
                await self._upstream.close()
            code, reason = self._closing or (CloseCode.NORMAL, "")
            await self._client.close(code, reason)

    # the client's frames

    async def _read_client(self) -> None:
        async for text in self._client:
            try:
                frame = parse_client_frame(text)
            except FrameError as error:
                await self._answer(refuse(error.request_id, error.shape()))
                continue
            if isinstance(frame, Cancel):
                self._cancel(frame.id)
            else:
                await self._take(frame, len(text))

    async def _take(self, request: Request, size: int) -> None:
        if request.id.startswith(self._own_ids) or request.id in self._pending:
            await self._answer(refuse(request.id, ErrorShape("INVALID_REQUEST", "that request id is under way already")))
            return
        instance, state, why = self._look()
        if instance is None:
            self.close(CloseCode.POLICY, "this assistant does not exist any more")
            return
        routing = decide_frame(
            request,
            role=self.grant.role,
            scopes=self.grant.scopes,
            protocol=self.protocol,
            readiness=state.readiness,
            why=why,
        )
        await self._route(request, size, routing, instance)

    async def _route(self, request: Request, size: int, routing: Routing, instance: Instance) -> None:
        method = routing.method
        match routing.route:
            case Route.REFUSE:
                assert routing.error is not None
                await self._answer(refuse(request.id, routing.error))
            case Route.ROUTER:
                assert method is not None
                await self._answer(await self._services.methods(self, method, request))
            case Route.STATUS:
                assert method is not None
                await self._answer_asleep(request, method, instance)
            case Route.FORWARD | Route.HOLD:
                assert method is not None
                deadline = self._services.clock.monotonic() + self._services.waker.limits.seconds
                self._order += 1
                frame = Frame(request, method, size, deadline, self._order)
                behind = frame.work and (self._barrier or self._resume is not None or self._held.work)
                if routing.route is Route.HOLD or self._upstream is None or behind:
                    await self._hold(frame)
                else:
                    await self._forward(frame)

    async def _answer_asleep(self, request: Request, method: Method, instance: Instance) -> None:
        self._sleepy = True
        self._subscriptions.note(method, request.params)
        params = request.params if isinstance(request.params, dict) else {}
        key = params.get("sessionKey")
        if isinstance(key, str) and len(self._shown_empty) < MAX_SHOWN_EMPTY:
            self._shown_empty.add(key)
        now_ms = int(self._services.clock.epoch() * 1000)
        await self._answer(answer(request.id, answer_asleep(method.name, params, instance.moltbot, now_ms)))

    async def _hold(self, frame: Frame) -> None:
        if not self._held.offer(frame):
            await self._answer(refuse(frame.request.id, unavailable("too many messages wait for this assistant", retry_after_ms=5000)))
            return
        self._stirred.set()

    async def _forward(self, frame: Frame) -> None:
        upstream = self._upstream
        if upstream is None:
            await self._hold(frame)
            return
        if len(self._pending) >= MAX_PENDING:
            await self._answer(refuse(frame.request.id, unavailable("too many requests are under way", retry_after_ms=1000)))
            return
        self._subscriptions.note(frame.method, frame.request.params)
        self._pending[frame.request.id] = frame
        try:
            await upstream.send(serialise(frame.request))
        except UpstreamLost:
            # Its reader notices too, and decides what becomes of everything that was under way, this frame included.
            self._stirred.set()

    def _cancel(self, request_id: str) -> None:
        self._held.take([frame for frame in self._held if frame.request.id == request_id])

    # the upstream

    async def _keep_upstream(self) -> None:
        while True:
            self._stirred.clear()
            await self._expire()
            pod = await self._find_pod()
            if pod is None:
                await self._sleep_until_stirred(LOOK_AGAIN_SECONDS)
                continue
            try:
                await self._serve(pod)
            except UpstreamRefused as refused:
                await self._refused(pod, refused)
            except UpstreamLost:
                self._services.waker.mark_lost(self.key, pod.uid)
                await self._without_upstream()
                await self._sleep_until_stirred(RETRY_SECONDS if self._held.work else LOOK_AGAIN_SECONDS)

    async def _find_pod(self) -> PodFacts | None:
        """The pod to connect to now; waits for a wake while there is work. None: stay parked."""
        _, state, _ = self._look()
        if state.readiness is Readiness.AWAKE:
            return state.pod
        if self._held.work:
            now = self._services.clock.monotonic()
            seconds = max(0.0, (self._held.earliest or now) - now)
            try:
                return await self._services.waker.wait_open(self.key, reason="message", seconds=seconds)
            except WakeError as error:
                await self._refuse_held(error, everything=error.failed)
                return None
        if state.readiness is Readiness.OPENING and state.pod is not None and state.pod.ready:
            # Lost once, and the kubelet still calls it ready: connecting is the question.
            return state.pod
        await self._without_upstream()
        return None

    async def _serve(self, pod: PodFacts) -> None:
        instance, _, _ = self._look()
        if instance is None:
            self.close(CloseCode.POLICY, "this assistant does not exist any more")
            return
        device = self.grant.device
        seal = Seal(device.device_id, self.grant.role, self.grant.scopes, device.generation, device.name)
        upstream = await self._services.gateways.open_socket(instance.moltbot, pod, seal)
        self._upstream, self._pod = upstream, pod
        self._services.waker.mark_open(self.key, pod.uid)
        sender = asyncio.create_task(self._flush(upstream), name="flush")
        sender.add_done_callback(self._sender_ended)
        try:
            async for text in upstream:
                await self._from_upstream(text)
        finally:
            helpers = [sender] if self._resume is None else [sender, self._resume]
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._upstream, self._resume = None, None
            self._barrier.clear()
            await upstream.close()
        await self._lost(pod)

    async def _flush(self, upstream: UpstreamSocket) -> None:
        """Subscriptions first, then what was held, in order; then whatever is held while this upstream lives."""
        for request in self._subscriptions.replay(self._own_ids):
            await upstream.send(serialise(request))
        if self._sleepy:
            await self._tell_to_load()
        while True:
            while self._held and not self._barrier and self._resume is None:
                await self._forward(self._held.pop())
            self._stirred.clear()
            await self._stirred.wait()

    def _sender_ended(self, sender: asyncio.Task[None]) -> None:
        """Whatever broke it, what is held must not wait for a sender that is gone. A lost upstream its reader notices too."""
        error = None if sender.cancelled() else sender.exception()
        if error is not None and not isinstance(error, UpstreamLost):
            self._log.error("session broke", error=repr(error))
            self.close(CloseCode.INTERNAL, "internal error")

    async def _tell_to_load(self) -> None:
        """What it was told while asleep was empty on purpose: now there is something to load, and this makes its page do so (rule 4)."""
        self._sleepy = False
        keys, self._shown_empty = self._shown_empty or {MAIN_SESSION}, set()
        for key in sorted(keys):
            if self.protocol >= 4:
                payload: dict[str, object] = {"sessionKey": key, "reason": "wake", "ts": int(self._services.clock.epoch() * 1000)}
                await self.send_event(Event(SESSIONS_CHANGED, payload))
            else:
                # Version 3 has no such event: its page loads the history when somebody else's run has ended.
                await self.send_event(Event(CHAT, {"runId": f"wake-{self.conn_id}", "sessionKey": key, "seq": 0, "state": "final"}))

    async def _from_upstream(self, text: str) -> None:
        try:
            frame = parse_server_frame(text)
        except FrameError as error:
            self._log.warning("gateway sent no frame", error=error.message)
            return
        if isinstance(frame, Event):
            await self.send_event(frame)
            return
        if frame.id.startswith(self._own_ids):
            return
        sent = self._pending.pop(frame.id, None)
        if sent is None:
            return
        quiesced = None if frame.ok else not_accepted_id(frame.error)
        if quiesced is not None:
            self._not_accepted(sent, quiesced)
        else:
            await self._send(text)
        if frame.id in self._barrier:
            self._barrier.discard(frame.id)
            self._stirred.set()

    def _not_accepted(self, frame: Frame, quiesce_id: str) -> None:
        """Race 1. Work that was sent behind this frame may be refused as well: nothing more is sent until all of it is answered (the
        barrier), so order is kept."""
        self._held.put_back([frame])
        if self._resume is None and frame.request.id not in self._barrier:
            self._barrier = {request_id for request_id, pending in self._pending.items() if pending.work}
            self._resume = asyncio.create_task(self._resume_gateway(quiesce_id), name="resume")

    async def _resume_gateway(self, quiesce_id: str) -> None:
        instance, _, _ = self._look()
        pod, upstream = self._pod, self._upstream
        try:
            if instance is not None and pod is not None:
                await self._services.gateways.resume(instance.moltbot, pod, quiesce_id)
                self._log.info("sleep stopped by new work", quiesce=quiesce_id)
        except (Committed, UpstreamLost):
            if pod is not None:
                self._services.waker.mark_lost(self.key, pod.uid)
            if upstream is not None:
                await upstream.close()  # its reader ends, and what is held waits for the next pod
            return
        self._resume = None
        self._stirred.set()

    async def _refused(self, pod: PodFacts, refused: UpstreamRefused) -> None:
        instance, _, _ = self._look()
        if refused.not_accepted is not None and self._held.work and instance is not None:
            try:
                await self._services.gateways.resume(instance.moltbot, pod, refused.not_accepted)
                return
            except (Committed, UpstreamLost):
                pass
        elif refused.status != 503:
            # 503 is a gateway that is on its way to sleep; anything else is a disagreement between our own programs.
            self._log.warning("gateway refused the connection", status=refused.status)
        self._services.waker.mark_lost(self.key, pod.uid)
        await self._without_upstream()
        await self._sleep_until_stirred(RETRY_SECONDS if self._held.work else LOOK_AGAIN_SECONDS)

    async def _lost(self, pod: PodFacts) -> None:
        """Race 2."""
        self._services.waker.mark_lost(self.key, pod.uid)
        under_way = list(self._pending.values())
        self._pending.clear()
        again = [frame for frame in under_way if frame.work and frame.repeatable]
        for frame in again:
            frame.deadline = self._services.clock.monotonic() + self._services.waker.limits.seconds
        self._held.put_back(again)
        for frame in under_way:
            if frame not in again:
                error = unavailable(
                    "the assistant went away while this was under way; it may or may not have been done", retry_after_ms=1000
                )
                await self._answer(refuse(frame.request.id, error))
        if again:
            self._log.info("sent again after a lost upstream", frames=len(again))
        self._sleepy = True
        await self._without_upstream()

    # what is held

    async def _without_upstream(self) -> None:
        """Reads that waited for an upstream are answered as the table says of a sleeping one: a read is no reason to wake."""
        reads = self._held.take([frame for frame in self._held if not frame.work])
        if not reads:
            return
        instance, state, why = self._look()
        for frame in reads:
            if instance is None:
                continue
            await self._route(frame.request, frame.size, decide_without_upstream(frame.method, state.readiness, why), instance)

    async def _refuse_held(self, error: WakeError, *, everything: bool) -> None:
        now = self._services.clock.monotonic()
        # The one whose deadline ended the wait is over even when the clock is a hair behind.
        over = self._held.take([frame for frame in self._held if everything or frame.deadline <= max(now, self._held.earliest or now)])
        shape = unavailable(error.why.message, retry_after_ms=error.retry_after * 1000, details={"reason": error.why.reason})
        for frame in over:
            await self._answer(refuse(frame.request.id, shape))

    async def _expire(self) -> None:
        earliest = self._held.earliest
        if earliest is not None and earliest <= self._services.clock.monotonic():
            _, _, why = self._look()
            await self._refuse_held(WakeError(why, failed=False, retry_after=5), everything=False)

    # small things

    def _look(self) -> tuple[Instance | None, State, Why]:
        instance = self._services.view.instance(self.key)
        state = self._services.waker.state(self.key) if instance is not None else None
        return instance, state or State(Readiness.DELETING), explain(instance, state)

    def _on_change(self, key: Key) -> None:
        if key == self.key:
            self._stirred.set()

    async def _sleep_until_stirred(self, seconds: float) -> None:
        timer = asyncio.create_task(self._services.clock.sleep(seconds))
        timer.add_done_callback(lambda done: None if done.cancelled() else self._stirred.set())
        try:
            await self._stirred.wait()
        finally:
            timer.cancel()

    async def _tick(self) -> None:
        while True:
            await self._services.clock.sleep(TICK_INTERVAL_MS / 1000)
            await self.send_event(tick(int(self._services.clock.epoch() * 1000)))

    async def _answer(self, response: Response) -> None:
        await self._send(serialise(response))

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SLOW_CLIENT_SECONDS):
            await self._client.send(text)
