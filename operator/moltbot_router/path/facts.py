"""What the router knows of the cluster, as small immutable values. Made from API objects by `moltbot_router.cluster`; everything in
`path` decides on these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moltbot_trust.verifiers import Verifier


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A Moltbot by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ConditionFacts:
    """One condition of the status."""

    type: str
    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class MoltbotFacts:
    """One Moltbot. `sleep_after` in seconds, None for never; `wake_seconds` of its last wake, None when unknown."""

    key: Key
    uid: str
    created_at: datetime
    host: str = ""  # what spec.exposure claims, "" when nothing
    suspended: bool = False
    deleting: bool = False
    phase: str = ""
    url: str = ""
    model: str = ""
    http: str = "device"  # device | token
    sleep_after: float | None = None
    verifiers: tuple[Verifier, ...] = ()
    conditions: tuple[ConditionFacts, ...] = ()
    wake_seconds: float | None = None
    spec: Mapping[str, object] = field(default_factory=dict)
    status: Mapping[str, object] = field(default_factory=dict)

    def condition(self, kind: str) -> ConditionFacts | None:
        """The condition of that type, or None."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


@dataclass(frozen=True, slots=True)
class StatefulSetFacts:
    """The gateway's StatefulSet. `version` is its resourceVersion as a number, None when it is not one; `hashed`: it bears our hash
    annotation (rule 2)."""

    uid: str
    version: int | None
    replicas: int
    hashed: bool


@dataclass(frozen=True, slots=True)
class PodFacts:
    """The gateway pod: address, uid and fingerprint come from the same object (rule 3). `trouble`: what the kubelet or scheduler says is
    wrong, "" when nothing."""

    uid: str
    address: str = ""
    fingerprint: str = ""
    terminating: bool = False
    ready: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """A Moltbot with what runs for it; only what it owns (by owner reference) is in here."""

    moltbot: MoltbotFacts
    statefulset: StatefulSetFacts | None = None
    pod: PodFacts | None = None


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a device asks for now."""

    id: str
    at: datetime
    role: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """What a person granted."""

    request: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One MoltbotDevice that belongs to its Moltbot (by owner uid). `name`, `platform`, `client` are the device's own words: hostile
    text."""

    object_name: str
    uid: str
    resource_version: str
    device_id: str
    public_key: str
    name: str = ""
    platform: str = ""
    client: str = ""
    created_at: datetime | None = None
    request: RequestFacts | None = None
    approved: ApprovalFacts | None = None
    generation: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    shown_state: str = ""  # what its status says for kubectl's column

    @property
    def state(self) -> str:
        """pending | approved, as people see it."""
        return "approved" if self.approved is not None else "pending"


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """One MoltbotSnapshot, as the administration lists it."""

    name: str
    phase: str = ""
    created_at: datetime | None = None
    bytes: int | None = None
    files: int | None = None
    sequence: int | None = None
    message: str = ""
