"""Bringing the children of one Moltbot to what is desired of them (rules 1 and 2): compare, then write only where it differs.

A child is applied when its hash annotation differs from the desired hash, or when a desired field is not so in the live object. Nothing
about applies has to be remembered for that; what is (an admission policy that changes what we apply) is found again in the status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from moltbot_api.names import ANNOTATION_LAST_OWNER, FIELD_MANAGER, FIELD_MANAGER_CREATE, LABEL_NAME
from moltbot_kube import AlreadyExists, Conflict, Kube, NotFound, Object, Resource
from moltbot_kube.resources import PERSISTENT_VOLUME_CLAIMS, SECRETS, STATEFUL_SETS, resource_of
from moltbot_operator.drift import find_drift
from moltbot_operator.manifests.hashing import hash_annotation, with_hash
from moltbot_operator.manifests.plan import Manifest, Plan
from moltbot_operator.manifests.workload import build_statefulset_skeleton
from moltbot_operator.metrics import CHILD_WRITES
from moltbot_operator.secret_store import SecretStore
from moltbot_operator.world import World, foreign_managers
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.children")


class Raced(Exception):
    """What was read is not so any more; reconcile again, from the beginning."""


@dataclass
class Findings:
    """What one pass over the children found, in words for conditions. `taken`: objects of somebody else in the way."""

    taken: list[str] = field(default_factory=list)
    admission: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    ending: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


# A child is not applied more often than so within so many seconds: whoever changes it back each time (a second operator, say) is named, and
# the API spared.
CONTEST_APPLIES, CONTEST_SECONDS = 20, 60.0


@dataclass(frozen=True, slots=True)
class _Changed:
    """What an object came back as when a policy changed what we applied: the paths that differ, for this hash and this generation."""

    hash: str
    generation: int
    paths: list[str]


class Children:
    """One for the process. `world` answers what is there, except for Secrets, which `secrets` reads by name."""

    def __init__(self, kube: Kube, world: World, secrets: SecretStore, clock: Clock) -> None:
        self._kube, self._world, self._secrets, self._clock = kube, world, secrets, clock
        self._changed: dict[str, _Changed] = {}  # by uid
        self._applied: dict[str, deque[float]] = {}  # uid → when it was applied, the newest CONTEST_APPLIES

    async def live(self, resource: Resource, name: str, namespace: str, *, max_age: float) -> Object | None:
        """The object as last seen."""
        if resource is SECRETS:
            return await self._secrets.get_live(namespace, name, max_age=max_age)
        return self._world.get(resource, name, namespace)

    def take_in(self, resource: Resource, obj: Object) -> Object:
        """Remember the answer of a write."""
        if resource is SECRETS:
            self._secrets.put(obj)
        else:
            self._world.observe(resource, obj)
        return obj

    async def ensure(self, plan: Plan, desired: Manifest, findings: Findings, policy: Policy) -> Object | None:
        """Have the object say what is desired. The live object, or None when it is somebody else's or still being deleted.

        Raises KubeError, Raced.
        """
        resource = resource_of(desired)
        name = str(desired["metadata"]["name"])
        manifest = with_hash(desired, policy.hash_key if resource is SECRETS else None)
        live = await self.live(resource, name, plan.namespace, max_age=policy.max_age)
        if live is None:
            live = await self._kube.get(resource, name, plan.namespace)  # the informer may be behind; nothing is applied over unseen
        if live is None:
            return await self._create(plan, resource, manifest, findings)
        if not self._is_ours(plan, resource, live, findings):
            findings.taken.append(f"{resource.kind} {name}")
            return None
        if live["metadata"].get("deletionTimestamp"):
            findings.ending.append(f"{resource.kind} {name}")
            return None
        findings.foreign.extend(f"{resource.kind} {name}: {who}" for who in foreign_managers(live))
        drift = find_drift(manifest, live)
        if not drift:
            return live
        if (paths := self._changed_before(manifest, live, drift, policy)) is not None:
            findings.admission.extend(f"{resource.kind} {name}: {path}" for path in paths)
            return live
        if self._is_contested(str(live["metadata"]["uid"])):
            findings.foreign.append(f"{resource.kind} {name}: somebody changes {drift[0]} back again and again (a second operator?)")
            return live
        return await self._apply(resource, manifest, live, drift, findings)

    def _is_contested(self, uid: str) -> bool:
        times = self._applied.get(uid)
        return times is not None and len(times) == CONTEST_APPLIES and self._clock.monotonic() - times[0] < CONTEST_SECONDS

    async def _create(self, plan: Plan, resource: Resource, manifest: Manifest, findings: Findings) -> Object:
        name = str(manifest["metadata"]["name"])
        if resource is STATEFUL_SETS:
            try:
                skeleton = await self._kube.create(resource, build_statefulset_skeleton(plan), field_manager=FIELD_MANAGER_CREATE)
            except AlreadyExists as error:
                raise Raced(f"{resource.kind} {name} appeared") from error
            CHILD_WRITES.labels(resource.kind, "create").inc()
            return await self._apply(resource, manifest, skeleton, [], findings)
        made = await self._kube.apply(resource, manifest, field_manager=FIELD_MANAGER)
        CHILD_WRITES.labels(resource.kind, "create").inc()
        findings.written.append(f"{resource.kind} {name}")
        log.info("child created", namespace=plan.namespace, moltbot=plan.name, kind=resource.kind, name=name)
        self.take_in(resource, made)
        return made

    async def _apply(self, resource: Resource, manifest: Manifest, live: Object, drift: list[str], findings: Findings) -> Object:
        metadata = manifest["metadata"]
        name, namespace, uid = str(metadata["name"]), str(metadata["namespace"]), str(live["metadata"]["uid"])
        body = {**manifest, "metadata": {**metadata, "uid": uid}}
        try:
            made = await self._kube.apply(resource, body, field_manager=FIELD_MANAGER)
        except (Conflict, NotFound) as error:
            if resource is SECRETS:
                self._secrets.drop(namespace, name)
            raise Raced(f"{resource.kind} {name} is gone or another one") from error
        CHILD_WRITES.labels(resource.kind, "apply").inc()
        self._applied.setdefault(uid, deque(maxlen=CONTEST_APPLIES)).append(self._clock.monotonic())
        findings.written.append(f"{resource.kind} {name}")
        log.info("child applied", namespace=namespace, kind=resource.kind, name=name, changed=drift[:8])
        self.take_in(resource, made)
        remaining = find_drift(manifest, made)
        self._changed.pop(uid, None)
        if remaining:
            self._changed[uid] = _Changed(hash_annotation(manifest) or "", _generation(made), remaining)
            findings.admission.extend(f"{resource.kind} {name}: {path}" for path in remaining)
        return made

    def _changed_before(self, manifest: Manifest, live: Object, drift: list[str], policy: Policy) -> list[str] | None:
        """The paths in which an apply of exactly this came back changed, when those are all that differs now."""
        remembered, mark = self._changed.get(str(live["metadata"]["uid"])), (hash_annotation(manifest), _generation(live))
        if remembered is not None and (remembered.hash, remembered.generation) == mark and set(drift) <= set(remembered.paths):
            return remembered.paths
        if hash_annotation(live) == hash_annotation(manifest):
            where = f"{manifest['kind']} {manifest['metadata']['name']}: "
            if all(f"{where}{path}" in policy.known_changes for path in drift):
                return drift
        return None

    def _is_ours(self, plan: Plan, resource: Resource, live: Object, findings: Findings) -> bool:
        metadata = live["metadata"]
        owners = metadata.get("ownerReferences") or []
        if any(owner.get("uid") == plan.uid for owner in owners):
            return True
        if resource is not PERSISTENT_VOLUME_CLAIMS:
            return False
        if any(owner.get("controller") for owner in owners):
            return False
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if labels.get(LABEL_NAME) != plan.name or ANNOTATION_LAST_OWNER not in annotations:
            return False
        # a retained claim of a Moltbot of this namespace and name: as we have that name now, its owner is gone
        if annotations[ANNOTATION_LAST_OWNER] != plan.uid:
            findings.adopted.append(str(metadata["name"]))
        return True

    async def remove(self, plan: Plan, resource: Resource, name: str, *, max_age: float) -> None:
        """Delete a child that is not wanted any more, if it is this Moltbot's. Raises KubeError."""
        live = await self.live(resource, name, plan.namespace, max_age=max_age)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return
        if not any(owner.get("uid") == plan.uid for owner in live["metadata"].get("ownerReferences") or ()):
            return
        try:
            await self._kube.delete(resource, name, plan.namespace, uid=str(live["metadata"]["uid"]))
        except Conflict as error:
            raise Raced(f"{resource.kind} {name} is another one") from error
        CHILD_WRITES.labels(resource.kind, "delete").inc()
        log.info("child removed", namespace=plan.namespace, moltbot=plan.name, kind=resource.kind, name=name)
        if resource is SECRETS:
            self._secrets.drop(plan.namespace, name)

    def sweep(self) -> None:
        """Drop what is remembered of applies long past."""
        now = self._clock.monotonic()
        for uid in [uid for uid, times in self._applied.items() if now - times[-1] > CONTEST_SECONDS]:
            del self._applied[uid]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a pass is made. `known_changes`: what the status says of changed applies; `max_age` of Secrets, seconds."""

    hash_key: bytes
    max_age: float
    known_changes: str = ""


def _generation(obj: Object) -> int:
    return int(obj["metadata"].get("generation") or 0)


def is_owned_by(obj: Mapping[str, object] | None, uid: str) -> bool:
    """Whether an object's owner references name this uid."""
    if obj is None:
        return False
    metadata = obj.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    return any(owner.get("uid") == uid for owner in owners or ())
