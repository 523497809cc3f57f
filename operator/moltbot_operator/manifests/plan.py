"""What the builders are given: everything that the manifests of one Moltbot depend on, and nothing else. Pure.

Equal plans make equal manifests, byte for byte; that is what the hash annotation stands on (rule 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from moltbot_api.names import API_VERSION, Children, child_labels
from moltbot_api.spec import MoltbotSpec
from moltbot_operator.effective import Agent, Bucket, ModelConnection

Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Installation:
    """What is the same for every Moltbot: the operator's settings that reach a manifest."""

    namespace: str
    image: str
    pull_policy: str
    router_labels: Mapping[str, str]
    operator_labels: Mapping[str, str]
    dns_namespace: str
    dns_labels: Mapping[str, str]
    # beside the private ranges: the setting's and the API server's own public addresses
    denied_cidrs: tuple[str, ...] = ()
    metrics: bool = False
    metrics_from: tuple[Manifest, ...] = ()  # NetworkPolicy peers
    log_format: str = "json"
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class RecordedState:
    """Lineage and sequence that a pod must not fall behind (rule 8); empty: nothing was ever recorded."""

    lineage: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRings:
    """`MOLTBOT_KEYS` of each container, as JSON text. Wrapped nowhere: this object lives only between derivation and manifest."""

    gateway: str
    state: str
    backup: str

    def __repr__(self) -> str:
        return "KeyRings([hidden])"


@dataclass(frozen=True, slots=True)
class Plan:
    """One Moltbot, resolved. `fingerprint`: hex SHA-256 of its certificate's DER; `awake`: its StatefulSet is at 1."""

    namespace: str
    name: str
    uid: str
    spec: MoltbotSpec
    installation: Installation
    model: ModelConnection
    bucket: Bucket | None
    keys: KeyRings = field(repr=False)
    fingerprint: str
    secrets_hash: str
    inputs_hash: str
    model_hash: str
    recorded: RecordedState = RecordedState()
    bucket_revision: str = ""  # keyed hash of the bucket's place and keys; "" without a bucket
    awake: bool = False
    agent: Agent = field(default_factory=Agent, repr=False)

    @property
    def children(self) -> Children:
        return Children(self.name)

    @property
    def ephemeral(self) -> bool:
        return bool(self.spec.persistence and self.spec.persistence.ephemeral)

    @property
    def lose_on_restart(self) -> bool:
        return bool(self.spec.persistence and self.spec.persistence.lose_on_restart)

    @property
    def claim(self) -> str | None:
        """The claim that the pod mounts; None when the state is ephemeral."""
        if self.ephemeral:
            return None
        existing = self.spec.persistence.existing_claim if self.spec.persistence else None
        return existing or self.children.state


def owner_reference(plan: Plan) -> Manifest:
    """The reference that makes an object this Moltbot's: deleted with it, and repaired by us alone."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Moltbot",
        "name": plan.name,
        "uid": plan.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(plan: Plan, name: str, component: str, *, owned: bool = True) -> Manifest:
    """`metadata` of a child. `owned` False: no owner reference, so that it outlives the Moltbot."""
    made: Manifest = {"name": name, "namespace": plan.namespace, "labels": child_labels(plan.name, component)}
    if owned:
        made["ownerReferences"] = [owner_reference(plan)]
    return made


def env_value(name: str, value: str) -> Manifest:
    return {"name": name, "value": value}


def env_field(name: str, path: str) -> Manifest:
    """From the downward API."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def env_secret(name: str, secret: str, key: str | None = None, *, optional: bool = False) -> Manifest:
    """From one key of a Secret, of the same name unless `key` says another."""
    reference: Manifest = {"name": secret, "key": key or name}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def env_config(name: str, config_map: str, key: str | None = None) -> Manifest:
    """From one key of a ConfigMap, of the same name unless `key` says another."""
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": config_map, "key": key or name}}}


def container_security() -> Manifest:
    """Pod Security `restricted`, and a root file system that nothing can be written to."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


# The user of the gateway image (Dockerfile.gateway); the claim's files belong to its group.
RUN_AS = 65532


def pod_security() -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": RUN_AS,
        "runAsGroup": RUN_AS,
        "fsGroup": RUN_AS,
        # a volume is walked through once, not at every wake
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def labels_of(peers: Mapping[str, str]) -> Manifest:
    return {"matchLabels": dict(peers)}


def port_list(*numbers: int, protocols: Sequence[str] = ("TCP",)) -> list[Manifest]:
    """Ports of a NetworkPolicy rule."""
    return [{"port": number, "protocol": protocol} for number in numbers for protocol in protocols]
