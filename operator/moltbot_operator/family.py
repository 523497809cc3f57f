"""The children of one Moltbot in their order, and the two Secrets that are made once and then only read: token and certificate.

Secrets come before what refers to them (one that comes late delays the pod by seconds), the StatefulSet last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from moltbot_api.names import FIELD_MANAGER, GATEWAY_TOKEN_KEY
from moltbot_api.names import Children as Names
from moltbot_api.spec import MoltbotSpec
from moltbot_kube import AlreadyExists, Conflict, Kube, NotFound, Object
from moltbot_kube.resources import CONFIG_MAPS, CRON_JOBS, NETWORK_POLICIES, PERSISTENT_VOLUME_CLAIMS, SECRETS
from moltbot_operator.certificates import Certificate, make_certificate, read_certificate
from moltbot_operator.children import Children, Findings, Policy, Raced, is_owned_by
from moltbot_operator.effective import Effective
from moltbot_operator.keys import DerivedKeys, new_token
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.manifests.agent import build_agent_config
from moltbot_operator.manifests.backup import build_backup
from moltbot_operator.manifests.hashing import with_hash
from moltbot_operator.manifests.network import build_backup_policy, build_gateway_policy
from moltbot_operator.manifests.plan import Installation, Manifest, Plan, RecordedState
from moltbot_operator.manifests.secrets import (
    build_bucket_secret,
    build_certificate_secret,
    build_keys_secret,
    build_model_secret,
    build_token_secret,
)
from moltbot_operator.manifests.storage import build_boot_config, build_claim
from moltbot_operator.manifests.workload import build_service, build_service_account, build_statefulset
from moltbot_operator.secret_store import SecretStore
from moltbot_operator.secret_values import clean_value
from moltbot_operator.storage import adjust_claim
from moltbot_operator.world import World
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger
from moltbot_trust.redaction import Secret

log = get_logger("moltbot_operator.family")

# Secrets of ours that nobody has a reason to edit are compared this often (seconds).
OWN_AWAKE_SECONDS = 300.0
OWN_ASLEEP_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Of one pass. `max_age`: how old what is known of a person's Secrets may be (seconds); 0 also has ours looked at."""

    token_named: bool
    max_age: float


@dataclass(frozen=True, slots=True)
class _Scratch:
    inputs: Inputs
    effective: Effective
    known_changes: str


class Family:
    """One for the process."""

    def __init__(
        self, children: Children, secrets: SecretStore, world: World, *, kube: Kube, clock: Clock, keys: Callable[[], DerivedKeys]
    ) -> None:
        self._children, self._secrets, self._world, self._kube = children, secrets, world, kube
        self._clock, self._keys = clock, keys
        self._scratch: dict[Key, _Scratch] = {}
        self._tokens: dict[Key, Secret] = {}

    def draft(
        self,
        *,
        namespace: str,
        name: str,
        uid: str,
        spec: MoltbotSpec,
        installation: Installation,
        effective: Effective,
        recorded: RecordedState,
        inputs: Inputs,
        known_changes: str,
    ) -> Plan:
        """The plan of a pass, before its certificate is known."""
        self._scratch[Key(namespace, name)] = _Scratch(inputs, effective, known_changes)
        keys = self._keys()
        rings = keys.rings(uid)
        return Plan(
            namespace=namespace,
            name=name,
            uid=uid,
            spec=spec,
            installation=installation,
            model=effective.model,
            bucket=effective.bucket,
            keys=rings,
            fingerprint="",
            secrets_hash="",
            inputs_hash="",
            model_hash="",
            recorded=recorded,
            agent=effective.agent,
        )

    def token(self, plan: Plan) -> Secret | None:
        """The gateway token in force, as of the last pass; None when there is no usable one."""
        return self._tokens.get(Key(plan.namespace, plan.name))

    def told(self, key: Key) -> RecordedState:
        """What the pod is told of what was recorded."""
        live = self._world.get(CONFIG_MAPS, Names(key.name).boot, key.namespace)
        moltbot = self._world.moltbot(key)
        if live is None or moltbot is None or not is_owned_by(live, str(moltbot["metadata"]["uid"])):
            return RecordedState()
        data = live.get("data") or {}
        lineage, sequence = str(data.get("MOLTBOT_RECORDED_LINEAGE") or ""), str(data.get("MOLTBOT_RECORDED_SEQUENCE") or "")
        return RecordedState(lineage, int(sequence)) if lineage and sequence.isdigit() else RecordedState()

    async def ensure_basis(self, plan: Plan, findings: Findings, *, awake: bool) -> Plan:
        """Everything but the StatefulSet and the CronJob; the plan, complete. Raises KubeError, Raced."""
        key = Key(plan.namespace, plan.name)
        scratch = self._scratch[key]
        policy = self._policy(scratch, awake)
        await self._children.ensure(plan, build_service_account(plan), findings, policy)
        await self._children.ensure(plan, build_keys_secret(plan), findings, policy)
        certificate = await self._certificate(plan, findings, policy)
        token = await self._token(plan, findings, scratch)
        if token is None:
            self._tokens.pop(key, None)
        else:
            self._tokens[key] = token
        plan = self._completed(plan, scratch, certificate)
        if not scratch.effective.blocking:
            # while a Secret is missing or half set, what there is stays as it is: a pod that starts then finds its bucket
            await self._ensure_settings(plan, findings, policy)
        await self._children.ensure(plan, build_service(plan), findings, policy)
        await self._children.ensure(plan, build_gateway_policy(plan), findings, policy)
        await self._ensure_claim(plan, findings, policy)
        return plan

    async def _ensure_settings(self, plan: Plan, findings: Findings, policy: Policy) -> None:
        await self._children.ensure(plan, build_model_secret(plan), findings, policy)
        if plan.bucket is not None:
            await self._children.ensure(plan, build_bucket_secret(plan, plan.bucket), findings, policy)
        await self._children.ensure(plan, build_boot_config(plan), findings, policy)
        await self._children.ensure(plan, build_agent_config(plan), findings, policy)

    async def _ensure_claim(self, plan: Plan, findings: Findings, policy: Policy) -> None:
        if plan.claim != plan.children.state:
            return  # ephemeral, or a claim of the person's own; a claim of ours from before stays
        live = self._world.get(PERSISTENT_VOLUME_CLAIMS, plan.children.state, plan.namespace)
        if live is None:
            live = await self._kube.get(PERSISTENT_VOLUME_CLAIMS, plan.children.state, plan.namespace)
        await self._children.ensure(plan, adjust_claim(build_claim(plan), live), findings, policy)

    async def ensure_workload(self, plan: Plan, findings: Findings, *, awake: bool) -> None:
        """StatefulSet and, with a bucket, the backup. Raises KubeError, Raced."""
        scratch = self._scratch[Key(plan.namespace, plan.name)]
        policy = self._policy(scratch, awake)
        plan = replace(plan, awake=awake)
        if findings.taken:
            return
        await self._children.ensure(plan, build_statefulset(plan), findings, policy)
        if plan.bucket is not None:
            await self._children.ensure(plan, build_backup_policy(plan), findings, policy)
            await self._children.ensure(plan, build_backup(plan), findings, policy)
            return
        names = plan.children
        for resource, name in ((CRON_JOBS, names.backup), (NETWORK_POLICIES, names.backup)):
            await self._children.remove(plan, resource, name, max_age=policy.max_age)
        if self._world.get(CONFIG_MAPS, names.boot, plan.namespace) is not None:
            await self._remove_bucket_secret(plan, policy)

    async def _remove_bucket_secret(self, plan: Plan, policy: Policy) -> None:
        await self._children.remove(plan, SECRETS, plan.children.bucket, max_age=policy.max_age)

    async def ensure_recorded(self, plan: Plan, recorded: RecordedState) -> Plan:
        """Have the ConfigMap say what was recorded. Raises KubeError; Conflict when it is another one by now."""
        plan = replace(plan, recorded=recorded)
        scratch = self._scratch[Key(plan.namespace, plan.name)]
        if scratch.effective.blocking:
            return plan
        try:
            await self._children.ensure(plan, build_boot_config(plan), Findings(), self._policy(scratch, awake=True))
        except Raced as error:
            raise Conflict(str(error), status=409) from error
        return plan

    def forget(self, key: Key) -> None:
        """The Moltbot is gone."""
        self._scratch.pop(key, None)
        self._tokens.pop(key, None)

    def _policy(self, scratch: _Scratch, awake: bool) -> Policy:
        own = OWN_AWAKE_SECONDS if awake else OWN_ASLEEP_SECONDS
        return Policy(self._keys().hash_key(), 0.0 if scratch.inputs.max_age == 0.0 else own, scratch.known_changes)

    def _completed(self, plan: Plan, scratch: _Scratch, certificate: Certificate | None) -> Plan:
        """With the certificate's fingerprint and the hashes that roll the pod."""
        keys = self._keys()
        values = {"model": build_model_secret(plan)["data"], "keys": build_keys_secret(plan)["data"]}
        chosen: Manifest = {
            "spec": _shaping(plan.spec),
            "model": values["model"],
            "problem": plan.model.problem,
            "bucket": plan.bucket is not None,
        }
        # only where a person wrote something, so that an upgrade of ours alone never looks like a change of theirs
        if plan.agent.chosen:
            chosen["agent"] = plan.agent.chosen
        person = {one.name: one.content.reveal() for one in plan.agent.variables if one.content is not None}
        if person:
            chosen["person"] = values["person"] = person
        revision = ""
        if plan.bucket is not None:
            # not in the template: a changed bucket has the state container start again in place, and replaces no pod (rule 9)
            place = [plan.bucket.kind.value, plan.bucket.endpoint, plan.bucket.region, plan.bucket.name, plan.bucket.prefix]
            revision = keys.keyed_hash([place, build_bucket_secret(plan, plan.bucket)["data"]])[:16]
        fingerprint = certificate.fingerprint if certificate is not None else ""
        chosen["certificate"] = fingerprint
        return replace(
            plan,
            fingerprint=fingerprint,
            secrets_hash=keys.keyed_hash(values),
            inputs_hash=keys.keyed_hash(chosen),
            model_hash=keys.keyed_hash([plan.model.adapter.value, plan.model.name, values["model"]])[:16],
            bucket_revision=revision,
        )

    async def _certificate(self, plan: Plan, findings: Findings, policy: Policy) -> Certificate | None:
        name = plan.children.certificate
        stored = await self._secrets.get(plan.namespace, name, max_age=policy.max_age)
        if stored is not None and not is_owned_by({"metadata": stored.metadata}, plan.uid):
            findings.taken.append(f"Secret {name}")
            return None
        found = read_certificate(stored.data) if stored is not None else None
        if found is not None:
            return found
        made = make_certificate(f"{plan.name}.{plan.namespace}", self._clock.now())
        manifest = build_certificate_secret(plan, made.certificate_pem, made.private_key_pem)
        await self._make_once(plan, manifest, stored.metadata if stored is not None else None, policy)
        findings.written.append(f"Secret {name}")
        return made

    async def _token(self, plan: Plan, findings: Findings, scratch: _Scratch) -> Secret | None:
        name, inputs = plan.children.gateway_token, scratch.inputs
        policy = self._policy(scratch, awake=True)
        if inputs.token_named:
            if scratch.effective.token is not None:
                await self._children.remove(plan, SECRETS, name, max_age=policy.max_age)
            return scratch.effective.token
        stored = await self._secrets.get(plan.namespace, name, max_age=inputs.max_age)
        if stored is not None and not is_owned_by({"metadata": stored.metadata}, plan.uid):
            findings.taken.append(f"Secret {name}")
            return None
        if stored is not None:
            text = clean_value(stored.data.get(GATEWAY_TOKEN_KEY, b"").decode("utf-8", "replace"))[0]
            if text:
                return Secret(text)
        made = new_token()
        await self._make_once(plan, build_token_secret(plan, made), stored.metadata if stored is not None else None, policy)
        findings.written.append(f"Secret {name}")
        log.info("gateway token made", namespace=plan.namespace, moltbot=plan.name)
        return made

    async def _make_once(self, plan: Plan, manifest: Manifest, there: Object | None, policy: Policy) -> None:
        """Create it, or give new contents to one that lost its own. Raises Raced."""
        body = with_hash(manifest, policy.hash_key)
        name = str(manifest["metadata"]["name"])
        try:
            if there is None:
                made = await self._kube.create(SECRETS, body, field_manager=FIELD_MANAGER)
            else:
                body["metadata"]["uid"] = there["uid"]
                made = await self._kube.apply(SECRETS, body, field_manager=FIELD_MANAGER)
        except (AlreadyExists, Conflict, NotFound) as error:
            self._secrets.drop(plan.namespace, name)
            raise Raced(f"Secret {name} appeared or went") from error
        self._children.take_in(SECRETS, made)


# Of `gateway`: for others than the pod, or a part of the agent's document.
_NOT_THE_PODS = ("egress", "http", "tokenSecretRef", "confinement", "tools", "env")
# Of `model`: likewise.
_NOT_THE_CONNECTIONS = ("fallbacks", "thinking", "limits")


def _shaping(spec: MoltbotSpec) -> Manifest:
    """The part of a spec that shapes the pod."""
    made: Manifest = {}
    if spec.model is not None:
        model = spec.model.model_dump(by_alias=True, exclude_none=True, mode="json")
        made["model"] = {name: value for name, value in model.items() if name not in _NOT_THE_CONNECTIONS}
    if spec.gateway is not None:
        gateway = spec.gateway.model_dump(by_alias=True, exclude_none=True, mode="json")
        made["gateway"] = {name: value for name, value in gateway.items() if name not in _NOT_THE_PODS}
    if spec.persistence is not None:
        persistence = spec.persistence.model_dump(by_alias=True, exclude_none=True, mode="json")
        elsewhere = ("size", "deletionPolicy", "storageClassName", "bucket")
        made["persistence"] = {name: value for name, value in persistence.items() if name not in elsewhere}
    return made
