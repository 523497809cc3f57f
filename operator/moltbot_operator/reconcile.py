"""One idempotent reconcile (rule 1): read the Moltbot and what exists, bring the children to what is desired, do one step of its life,
write its status where that changed.

The order within one pass: deletion first · Secrets → effective settings · children · the lifecycle's step · status, events. What is kept
between passes (`_Known`) only saves work: a restart finds everything again in the cluster and writes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from moltbot_api import status as api
from moltbot_api.conditions import ConditionType, Reason
from moltbot_api.model import parse_time
from moltbot_api.names import FIELD_MANAGER, Children
from moltbot_api.spec import MoltbotSpec, OperatingMode
from moltbot_kube import BadRequest, Forbidden, Invalid, Kube, NotFound, Object
from moltbot_kube import Conflict as KubeConflict
from moltbot_kube.resources import MOLTBOTS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from moltbot_operator import tell
from moltbot_operator.agent import config_map_names
from moltbot_operator.bucket_change import BucketChange, StateProcess
from moltbot_operator.children import Children as ChildObjects
from moltbot_operator.children import Findings, Raced, is_owned_by
from moltbot_operator.cluster_facts import ClusterFacts
from moltbot_operator.effective import ConfigMapValues, Effective, ModelAdapter, ModelConnection, SecretValues
from moltbot_operator.events import EventRecorder
from moltbot_operator.facts import lifecycle_status, pod_facts, read_status, snapshot_facts, statefulset_facts
from moltbot_operator.family import Family, Inputs
from moltbot_operator.keys import DerivedKeys
from moltbot_operator.lifecycle.observed import Key, MoltbotFacts, Observed, Obstacle, Storage
from moltbot_operator.lifecycle.ports import Ports
from moltbot_operator.lifecycle.service import LifecycleService
from moltbot_operator.lifecycle.status import LifecycleStatus
from moltbot_operator.manifests.plan import Installation, Plan, RecordedState
from moltbot_operator.metrics import MOLTBOTS as MOLTBOTS_BY_PHASE
from moltbot_operator.metrics import STATUS_WRITES, WAKE_SECONDS
from moltbot_operator.named_objects import ASLEEP_SECONDS, AWAKE_SECONDS, ConfigMapStore
from moltbot_operator.neighbours import Neighbours
from moltbot_operator.queue import Again
from moltbot_operator.secret_store import SecretStore
from moltbot_operator.secrets_from import resolve, secret_names
from moltbot_operator.sources import Place
from moltbot_operator.status import Picture, compose, is_worth_writing, transitions
from moltbot_operator.storage import StorageView, decide_storage
from moltbot_operator.world import World
from moltbot_trust.clock import Clock
from moltbot_trust.keys import KeyRing
from moltbot_trust.logs import get_logger
from moltbot_trust.verifiers import Verifier, make_verifier

log = get_logger("moltbot_operator.reconcile")

# After something that a person has to mend (seconds): their change comes as an event anyway.
TROUBLE_SECONDS = 30.0
RACE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's settings that reconciling needs beside those that reach a manifest."""

    base_domain: str
    public_port: int
    demo_stands_in: bool = False
    on_cluster: bool = True


@dataclass(slots=True)
class _Known:
    """Of one Moltbot, between passes. `looked`: generation and action annotations for which the Secrets were read."""

    uid: str
    effective: Effective | None = None
    looked: object = None
    plan: Plan | None = None
    picture: Picture | None = None
    obstacle: Obstacle | None = None
    sleep_obstacle: Obstacle | None = None
    written_at: float = field(default=float("-inf"))
    phase: str | None = None


class Gone(Exception):
    """The Moltbot is not there any more, or another one of its name is."""


class Reconciler:
    """One for the process."""

    def __init__(
        self,
        kube: Kube,
        world: World,
        secrets: SecretStore,
        *,
        events: EventRecorder,
        cluster: ClusterFacts,
        clock: Clock,
        installation: Callable[[], Installation],
        keys: Callable[[], DerivedKeys],
        policy: Policy,
        enqueue: Callable[[Key], None],
    ) -> None:
        self._kube, self._world, self._secrets, self._events = kube, world, secrets, events
        self._config_maps = ConfigMapStore(kube, clock)
        self._cluster, self._clock, self._policy = cluster, clock, policy
        self._installation, self._keys = installation, keys
        self._neighbours = Neighbours(world, policy.base_domain, policy.public_port, enqueue)
        self._children = ChildObjects(kube, world, secrets, clock)
        self._family = Family(self._children, secrets, world, kube=kube, clock=clock, keys=keys)
        self._known: dict[Key, _Known] = {}
        self._lifecycle: LifecycleService | None = None
        self._bucket_change: BucketChange | None = None
        self._forget: list[Callable[[str], None]] = []

    def live_with(self, ports: Ports, state: StateProcess, forget: Callable[[str], None]) -> None:
        """Give it the lifecycle's ports, which in turn need `observe` and `record` of this object. `forget`: a Moltbot's uid is gone."""
        self._lifecycle = LifecycleService(ports)
        self._bucket_change = BucketChange(state)
        self._forget = [forget, self._lifecycle.forget]

    # one pass

    async def reconcile(self, key: Key) -> Again:
        """One pass. Raises KubeError when the API does not answer: it is tried again."""
        moltbot = self._world.moltbot(key)
        known = self._known.get(key)
        if known is not None and (moltbot is None or known.uid != moltbot["metadata"]["uid"]):
            self._drop(key, known)
            known = None
        if moltbot is None:
            return Again(None)
        if moltbot["metadata"].get("deletionTimestamp"):
            # owner references take the children along; the pod's own grace flushes what it knows
            return Again(None)
        known = self._known.setdefault(key, _Known(str(moltbot["metadata"]["uid"])))
        try:
            return await self._pass(key, moltbot, known)
        except Gone:
            return Again(None)
        except Raced as raced:
            log.debug("raced", namespace=key.namespace, moltbot=key.name, what=str(raced))
            return Again(RACE_SECONDS)
        except Forbidden as error:
            if error.namespace_terminating:
                return Again(None)
            raise

    async def _pass(self, key: Key, moltbot: Object, known: _Known) -> Again:
        try:
            spec = MoltbotSpec.model_validate(moltbot.get("spec") or {})
        except ValidationError as error:
            return await self._unreadable(key, moltbot, known, _first_error(error))
        awake = self._is_awake(key, known.uid)
        effective, values_changed, token = await self._settle(key, moltbot, spec, known, awake)
        known.effective = effective
        findings, trouble = Findings(), self._cluster.too_old
        plan = self._plan(key, known.uid, spec, effective, token)
        known.sleep_obstacle = _blocking(effective)
        known.obstacle = Obstacle(Reason.KUBERNETES_TOO_OLD, trouble) if trouble else known.sleep_obstacle
        storage = decide_storage(key.name, spec, StorageView(None, effective.bucket is not None))
        if not self._cluster.too_old:
            try:
                plan = await self._family.ensure_basis(plan, findings, awake=awake)
                storage = decide_storage(key.name, spec, await self._storage_view(plan))
                known.obstacle = known.obstacle or storage.obstacle or _taken(findings)
                known.plan = plan
                if known.obstacle is None:
                    await self._family.ensure_workload(plan, findings, awake=awake)
                    await self._use_bucket(key, plan)
            except (Invalid, BadRequest, Forbidden) as error:
                if isinstance(error, Forbidden) and error.namespace_terminating:
                    raise
                trouble = f"the cluster refuses what the operator writes: {error}"
        known.picture = Picture(
            generation=int(moltbot["metadata"].get("generation") or 0),
            effective=effective,
            exposure=self._neighbours.expose(moltbot, spec, effective.public_url),
            storage=storage.says,
            verifiers=self._verifiers(known.uid, plan),
            findings=findings,
            trouble=trouble,
            model_changed=values_changed or any(name == f"Secret {Children(key.name).model}" for name in findings.written),
        )
        after = await self._live(key, known)
        if trouble is not None:
            after = min(after or TROUBLE_SECONDS, TROUBLE_SECONDS)
        tick = (AWAKE_SECONDS if self._is_awake(key, known.uid) else ASLEEP_SECONDS) * (0.8 + random.random() / 5)  # noqa: S311 - spreads load
        return Again(min(after, tick) if after is not None else tick)

    async def _use_bucket(self, key: Key, plan: Plan) -> None:
        observed = self.observe(key)
        pod = self._world.get(PODS, plan.children.pod, plan.namespace)
        if pod is None or plan.bucket is None or self._bucket_change is None:
            return
        if observed is not None and observed.pod is not None and observed.pod.uid == pod["metadata"]["uid"]:
            await self._bucket_change.apply(key, pod, plan.bucket_revision)

    async def _settle(self, key: Key, moltbot: Object, spec: MoltbotSpec, known: _Known, awake: bool) -> tuple[Effective, bool, Inputs]:
        """Read the Secrets and ConfigMaps that the spec names, as often as rule 10 says, and resolve."""
        looked = (moltbot["metadata"].get("generation"), _actions(moltbot))
        max_age = 0.0 if known.looked != looked else (AWAKE_SECONDS if awake else ASLEEP_SECONDS)
        found = {}
        for name in secret_names(spec):
            secret = await self._secrets.get(key.namespace, name, max_age=max_age)
            found[name] = None if secret is None else secret.data
        texts = {name: await self._config_maps.get(key.namespace, name, max_age=max_age) for name in config_map_names(spec)}
        place = Place(key.namespace, key.name, self._policy.demo_stands_in, self._policy.on_cluster)
        effective, token_named = resolve(spec, SecretValues(found), place, ConfigMapValues(texts))
        before, known.looked = known.effective, looked
        changed = before is not None and before.model != effective.model
        return effective, changed, Inputs(token_named=token_named, max_age=max_age)

    def _plan(self, key: Key, uid: str, spec: MoltbotSpec, effective: Effective, inputs: Inputs) -> Plan:
        live = self._world.moltbot(key)
        status = read_status(live) if live is not None else api.MoltbotStatus()
        return self._family.draft(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            spec=spec,
            installation=self._installation(),
            effective=effective,
            recorded=self._recorded(key, status),
            inputs=inputs,
            known_changes=_known_changes(status),
        )

    def _recorded(self, key: Key, status: api.MoltbotStatus) -> RecordedState:
        """What the status records; never less than what the pod was already told (a status can be lost, a ConfigMap too)."""
        told = self._family.told(key)
        recorded = status.recorded
        if recorded is None or recorded.lineage is None or recorded.sequence is None:
            return told
        if told.lineage == recorded.lineage and told.sequence is not None and told.sequence > recorded.sequence:
            return told
        return RecordedState(recorded.lineage, recorded.sequence)

    async def _live(self, key: Key, known: _Known) -> float | None:
        """The lifecycle's step, and the status that comes of it. Seconds until it wants to be asked again."""
        assert self._lifecycle is not None, "live_with comes before the first pass"
        observed = self.observe(key)
        if observed is None or observed.moltbot.uid != known.uid:
            raise Gone
        outcome = await self._lifecycle.step(observed)
        if outcome.status.last_wake is not None and outcome.status.last_wake != observed.status.last_wake:
            WAKE_SECONDS.observe(outcome.status.last_wake.seconds)
        wait = await self._write_status(key, known, outcome.status, at_once=False)
        waits = [seconds for seconds in (outcome.requeue_after, wait) if seconds is not None]
        return min(waits) if waits else None

    async def _unreadable(self, key: Key, moltbot: Object, known: _Known, why: str) -> Again:
        """A spec that the CRD's schema should have kept out (it was written before an upgrade, say)."""
        if known.picture is None:
            nothing = Effective(ModelConnection(ModelAdapter.NONE, "", problem="the spec cannot be read"), None, None, "never", None, None)
            exposure = self._neighbours.expose(moltbot, MoltbotSpec(), None)
            known.picture = Picture(0, nothing, exposure, decide_storage(key.name, MoltbotSpec(), StorageView(None, False)).says)
        known.picture = replace(known.picture, trouble=f"the spec cannot be read: {why}")
        await self._write_status(key, known, lifecycle_status(read_status(moltbot)), at_once=False)
        return Again(None)

    # what the lifecycle asks

    def observe(self, key: Key) -> Observed | None:
        """The port's `observe`: everything as last seen, with the settings of the last pass."""
        moltbot, known = self._world.moltbot(key), self._known.get(key)
        if moltbot is None or known is None or known.effective is None or known.uid != moltbot["metadata"]["uid"]:
            return None
        metadata = moltbot["metadata"]
        children = Children(key.name)
        live_set = self._world.get(STATEFUL_SETS, children.gateway, key.namespace)
        statefulset = statefulset_facts(live_set) if live_set is not None and is_owned_by(live_set, known.uid) else None
        live_pod = self._world.get(PODS, children.pod, key.namespace)
        pod = None
        if live_pod is not None and statefulset is not None and is_owned_by(live_pod, statefulset.uid):
            pod = pod_facts(live_pod)
            self._world.claim_pod(pod.uid, known.uid)
        persistence = (moltbot.get("spec") or {}).get("persistence") or {}
        ephemeral = bool(persistence.get("ephemeral"))
        has_bucket = known.effective.bucket is not None
        if pod is not None and live_pod is not None:
            # what runs is what is talked to: a changed spec reaches it only with its next pod
            has_bucket, runs_ephemeral = _runs_with(live_pod)
            ephemeral = ephemeral or runs_ephemeral
        facts = MoltbotFacts(
            key=key,
            uid=known.uid,
            generation=int(metadata.get("generation") or 0),
            created_at=parse_time(metadata.get("creationTimestamp")) or self._clock.now(),
            mode=OperatingMode((moltbot.get("spec") or {}).get("operatingMode") or "Auto"),
            sleep_after=known.effective.sleep_after,
            storage=Storage.EPHEMERAL if ephemeral else Storage.VOLUME,
            has_bucket=has_bucket,
            lose_on_restart=bool(persistence.get("loseOnRestart")),
            deleting=bool(metadata.get("deletionTimestamp")),
            annotations=metadata.get("annotations") or {},
            start_obstacle=known.obstacle,
            sleep_obstacle=known.sleep_obstacle,
        )
        return Observed(
            moltbot=facts,
            statefulset=statefulset,
            pod=pod,
            status=lifecycle_status(read_status(moltbot)),
            wake_times=self._world.wake_times(key),
            snapshots=tuple(snapshot_facts(one) for one in self._world.snapshots(key)),
        )

    async def record(self, key: Key, moltbot_uid: str, status: LifecycleStatus) -> None:
        """The port's `record`: what was recorded goes into the ConfigMap that the next pod reads, then the status is written now.

        Raises KubeError; NotFound when the Moltbot is gone or another one.
        """
        known = self._known.get(key)
        if known is None or known.uid != moltbot_uid or known.picture is None:
            raise NotFound(f"Moltbot {key} is not there any more", status=404)
        if status.recorded is not None and known.plan is not None:
            recorded = RecordedState(status.recorded.lineage, status.recorded.sequence)
            known.plan = await self._family.ensure_recorded(known.plan, recorded)
        try:
            await self._write_status(key, known, status, at_once=True)
        except Gone as error:
            raise NotFound(f"Moltbot {key} is not there any more", status=404) from error

    # status

    async def _write_status(self, key: Key, known: _Known, lifecycle: LifecycleStatus, *, at_once: bool) -> float | None:
        """Write the status if it is worth it. Seconds until it will be worth it, when only counters differ."""
        live = self._world.moltbot(key)
        if live is None or live["metadata"]["uid"] != known.uid:
            raise Gone
        assert known.picture is not None
        old = read_status(live)
        new = compose(known.picture, lifecycle, old, self._clock.now())
        now = self._clock.monotonic()
        if known.written_at == float("-inf"):
            known.written_at = now  # after a restart counters wait their time
        before, after = old.to_wire(), new.to_wire()
        self._count_phase(known, new.phase)
        if before == after:
            return None
        since = now - known.written_at
        if not at_once and not is_worth_writing(before, after, since):
            return max(1.0, 300.0 - since)
        body: Object = {
            "apiVersion": MOLTBOTS.api_version,
            "kind": MOLTBOTS.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": known.uid},
            "status": after,
        }
        try:
            made = await self._kube.apply(MOLTBOTS, body, field_manager=FIELD_MANAGER, subresource="status")
        except (NotFound, KubeConflict) as error:
            raise Gone from error
        STATUS_WRITES.inc()
        known.written_at = now
        self._world.observe(MOLTBOTS, made)
        if old.phase != new.phase:
            why = new.history[0].reason if new.history else None
            log.info("phase changed", namespace=key.namespace, moltbot=key.name, phase=new.phase, before=old.phase, why=why)
        for told in tell.events_of(key, known.uid, transitions(old, new), known.picture):
            self._events.tell(told)
        return None

    def _count_phase(self, known: _Known, phase: str | None) -> None:
        if phase == known.phase:
            return
        if known.phase is not None:
            MOLTBOTS_BY_PHASE.labels(known.phase).dec()
        if phase is not None:
            MOLTBOTS_BY_PHASE.labels(phase).inc()
        known.phase = phase

    # what is looked up

    def _is_awake(self, key: Key, uid: str) -> bool:
        live = self._world.get(STATEFUL_SETS, Children(key.name).gateway, key.namespace)
        return live is not None and is_owned_by(live, uid) and int((live.get("spec") or {}).get("replicas") or 0) > 0

    async def _storage_view(self, plan: Plan) -> StorageView:
        key = Key(plan.namespace, plan.name)
        claim = self._world.get(PERSISTENT_VOLUME_CLAIMS, plan.claim, plan.namespace) if plan.claim else None
        persistence = plan.spec.persistence
        if claim is None and persistence and persistence.existing_claim:
            # a claim of a person's own bears no label of ours, so no watch tells of it
            claim = await self._kube.get(PERSISTENT_VOLUME_CLAIMS, persistence.existing_claim, plan.namespace)
        default_class = None
        if claim is not None and (claim.get("status") or {}).get("phase") == "Pending":
            default_class = await self._cluster.has_default_class()
        has_pod = self._world.get(PODS, plan.children.pod, plan.namespace) is not None
        existing = persistence.existing_claim if persistence else None
        rival = self._neighbours.user_of_claim(key, existing) if existing else None
        return StorageView(claim, plan.bucket is not None, default_class, rival, has_pod)

    def _verifiers(self, uid: str, plan: Plan) -> tuple[Verifier, ...]:
        """Of the gateway token, one under each master key that is valid."""
        token = self._family.token(plan)
        if token is None:
            return ()
        ring = self._keys().own(uid)
        return tuple(make_verifier(KeyRing(kid, ring.keys), token.reveal()) for kid in sorted(self._keys().master.keys))

    def _drop(self, key: Key, known: _Known) -> None:
        del self._known[key]
        self._count_phase(known, None)
        self._neighbours.forget(key)
        children = Children(key.name)
        names = {children.keys, children.model, children.bucket, children.certificate, children.gateway_token}
        if known.plan is not None:
            names |= set(secret_names(known.plan.spec))
            self._config_maps.forget(key.namespace, set(config_map_names(known.plan.spec)))
        self._secrets.forget(key.namespace, names)
        self._family.forget(key)
        if self._bucket_change is not None:
            self._bucket_change.forget(key)
        self._children.sweep()
        for forget in self._forget:
            forget(known.uid)


def _actions(moltbot: Object) -> tuple[tuple[str, str], ...]:
    """All annotations of ours: any change of them has the Secrets read again."""
    annotations = moltbot["metadata"].get("annotations") or {}
    return tuple(sorted((name, value) for name, value in annotations.items() if name.startswith("moltbot.dev/")))


def _blocking(effective: Effective) -> Obstacle | None:
    return Obstacle(Reason.SECRETS_NOT_READY, f"{effective.blocking[0].message}.") if effective.blocking else None


def _taken(findings: Findings) -> Obstacle | None:
    return Obstacle(Reason.NAME_TAKEN, f"{findings.taken[0]} is somebody else's.") if findings.taken else None


def _known_changes(status: api.MoltbotStatus) -> str:
    for one in status.conditions or ():
        if one.type == ConditionType.PROGRESSING.value and one.reason == Reason.CHANGED_BY_ADMISSION.value:
            return one.message
    return ""


def _runs_with(pod: Object) -> tuple[bool, bool]:
    """(with a state container, with its state on no volume), as the pod was made."""
    spec = pod.get("spec") or {}
    state = any(one.get("name") == "state" for one in spec.get("initContainers") or ())
    volume: Object = next((one for one in spec.get("volumes") or () if one.get("name") == "state"), {})
    return state, "emptyDir" in volume


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
