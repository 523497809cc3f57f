"""The operator as one piece: what it is made of, in which order it starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass

from moltbot_kube import Kube, KubeError
from moltbot_kube.resources import MOLTBOTS
from moltbot_operator.cluster import ClusterPort
from moltbot_operator.cluster_facts import ClusterFacts
from moltbot_operator.events import EventRecorder
from moltbot_operator.health import health_application, metrics_application, serving
from moltbot_operator.informer import Informer
from moltbot_operator.keys import DerivedKeys, bootstrap_keys
from moltbot_operator.lease import Lease
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.lifecycle.ports import Checkpoint, Checkpoints, Ports
from moltbot_operator.manifests.plan import Installation
from moltbot_operator.pod_control import PodCalls, PodGateway, PodState
from moltbot_operator.queue import Again, WorkQueue
from moltbot_operator.reconcile import Policy, Reconciler
from moltbot_operator.secret_store import SecretStore
from moltbot_operator.settings import DemoModel, Settings, parse_labels, parse_listen, parse_peers
from moltbot_operator.world import World
from moltbot_trust.clock import Clock
from moltbot_trust.errors import KeyRingError
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator")
# The Secrets of the operator's own namespace are looked at again this often (seconds): a rotated or deleted master key.
KEYS_SECONDS = 60.0
START_RETRY_SECONDS = 2.0


async def log_checkpoint(key: Key, checkpoint: Checkpoint) -> None:
    """Production's checkpoints: a debug line each."""
    log.debug("checkpoint", namespace=key.namespace, moltbot=key.name, checkpoint=checkpoint.value)


@dataclass(slots=True)
class _Current:
    keys: DerivedKeys
    installation: Installation


def installation_of(settings: Settings, api_ranges: tuple[str, ...]) -> Installation:
    """What of the settings reaches manifests."""
    return Installation(
        namespace=settings.namespace,
        image=settings.gateway_image,
        pull_policy=settings.image_pull_policy.value,
        router_labels=parse_labels(settings.router_labels),
        operator_labels=parse_labels(settings.operator_labels),
        dns_namespace=settings.dns_namespace,
        dns_labels=parse_labels(settings.dns_labels),
        denied_cidrs=tuple(sorted({*settings.denied_cidrs, *api_ranges})),
        metrics=settings.gateway_metrics,
        metrics_from=parse_peers(settings.metrics_from),
        log_format=settings.gateway_log_format.value,
        log_level=settings.gateway_log_level.value,
    )


class Operator:
    """Built once the Lease is held and the keys are there."""

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        clock: Clock,
        *,
        keys: DerivedKeys,
        facts: ClusterFacts,
        checkpoint: Checkpoints = log_checkpoint,
    ) -> None:
        self._kube, self._settings, self._clock = kube, settings, clock
        self._current = _Current(keys, installation_of(settings, facts.api_ranges))
        self.world = World(clock)
        self.events = EventRecorder(kube, clock, instance=settings.lease_identity())
        self._calls = PodCalls(lambda: self._current.keys, self.world.moltbot_uid_of_pod, clock)
        self.queue: WorkQueue[Key] = WorkQueue(self._work, clock, workers=settings.workers)
        self.reconciler = Reconciler(
            kube,
            self.world,
            SecretStore(kube, clock),
            events=self.events,
            cluster=facts,
            clock=clock,
            installation=lambda: self._current.installation,
            keys=lambda: self._current.keys,
            policy=Policy(settings.base_domain, settings.public_port, settings.demo_model is DemoModel.FALLBACK, settings.on_cluster),
            enqueue=self.queue.add,
        )
        cluster = ClusterPort(kube, self.world, self.events, self.reconciler.observe, self.reconciler.record)
        state = PodState(self._calls, clock)
        ports = Ports(cluster, PodGateway(self._calls, clock), state, clock, checkpoint)
        self.reconciler.live_with(ports, state, self._calls.forget)
        self._informer = Informer(self.world, self.queue.add, kube.connection, settings.watch_namespaces)

    async def _work(self, key: Key) -> Again:
        again = await self.reconciler.reconcile(key)
        if self.world.moltbot(key) is None:
            self.queue.forget(key)
        return again

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the cluster and reconcile until `stop`. Raises what ends one of its parts: the process is to be started again then.

        Stopping: the informer first, so that nothing new comes; then the workers, whatever they do (a handshake that is cut off resumes by
        itself); then the connections.
        """
        background: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                background.append(group.create_task(self.queue.run(), name="queue"))
                background.append(group.create_task(self.events.run(), name="events"))
                background.append(group.create_task(self._keep_keys(), name="keys"))
                group.create_task(self._inform(stop, background), name="informer")
        finally:
            await self._calls.close()

    @property
    def started(self) -> bool:
        """The informer is at work."""
        return self._informer.started.is_set()

    async def _inform(self, stop: asyncio.Event, background: list[asyncio.Task[None]]) -> None:
        await self._informer.run(stop)
        for task in background:
            task.cancel()

    async def _keep_keys(self) -> None:
        while True:
            await self._clock.sleep(KEYS_SECONDS)
            try:
                keys = await bootstrap_keys(self._kube, self._settings.namespace, self._current.keys)
            except (KubeError, KeyRingError) as error:
                log.warning("keys not looked at", error=str(error))
                continue
            if keys != self._current.keys:
                log.info("master key changed", current=keys.master.current)
                self._current.keys = keys
                for moltbot in list(self.world.all(MOLTBOTS)):
                    self.queue.add(Key(str(moltbot["metadata"]["namespace"]), str(moltbot["metadata"]["name"])))


async def run_operator(kube: Kube, settings: Settings, clock: Clock, stop: asyncio.Event, checkpoint: Checkpoints = log_checkpoint) -> None:
    """Probes, Lease, keys, work; until `stop`. Raises LeaseLost and whatever ends a part."""
    ready: list[Callable[[], bool]] = []
    async with AsyncExitStack() as stack:
        listen = parse_listen(settings.health_listen)
        await stack.enter_async_context(serving(health_application(lambda: bool(ready) and ready[0]()), listen))
        await stack.enter_async_context(serving(metrics_application(), parse_listen(settings.metrics_listen)))
        # connections of its own: a renewal never waits behind other calls
        own = await stack.enter_async_context(Kube(kube.connection, user_agent="moltbot-operator"))
        lease = Lease(own, clock, settings.namespace, settings.lease_identity())
        if not await _unless_stopped(lease.acquire(), stop):
            return
        stack.push_async_callback(lease.release)
        started: list[Operator] = []
        if not await _unless_stopped(_start(kube, settings, clock, started, checkpoint), stop):
            return
        operator = started[0]
        ready.append(lambda: operator.started)
        holding = asyncio.create_task(lease.hold(), name="lease")
        working = asyncio.create_task(operator.run(stop), name="operator")
        try:
            await asyncio.wait((holding, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, holding):
                if not task.done():
                    task.cancel()
            results = await asyncio.gather(working, holding, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result


async def _start(kube: Kube, settings: Settings, clock: Clock, started: list[Operator], checkpoint: Checkpoints) -> None:
    """Keys and facts, tried again while the API does not answer."""
    while True:
        try:
            facts = ClusterFacts(kube, clock)
            await facts.read()
            keys = await bootstrap_keys(kube, settings.namespace)
        except KubeError as error:
            log.warning("cannot start yet", error=str(error))
            await clock.sleep(START_RETRY_SECONDS)
        else:
            started.append(Operator(kube, settings, clock, keys=keys, facts=facts, checkpoint=checkpoint))
            return


async def _unless_stopped(work: Coroutine[object, object, None], stop: asyncio.Event) -> bool:
    """Do it, unless `stop` comes first; whether it was done."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
    if doing.done() and not doing.cancelled():
        doing.result()
        return True
    return False
