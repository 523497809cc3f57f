"""The effective settings of one Moltbot: what its spec and its Secrets come to, and what is wrong with them.

Types only; `secrets_from` makes them. Values of Secrets are wrapped, so that no log or traceback shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from moltbot_api.conditions import Reason
from moltbot_api.references import SecretKeyReference
from moltbot_trust.redaction import Secret


class ModelAdapter(StrEnum):
    """What the gateway talks to the model with."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    DEMO = "demo"
    NONE = "none"


class BucketKind(StrEnum):
    R2 = "r2"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class ModelConnection:
    """How the model is reached. `name` is what goes to the provider, without `prefix`; `base_url` "" is the provider's own. `openai_*`,
    where `has_openai`: the second connection beside Claude, for models named openai/…. With adapter NONE, `problem` says what to do."""

    adapter: ModelAdapter
    name: str
    api_key: Secret | None = None
    gateway_authorization: Secret | None = None
    base_url: str = ""
    prefix: str = ""
    has_openai: bool = False
    openai_api_key: Secret | None = None
    openai_base_url: str = ""
    problem: str = ""
    problem_reason: Reason = Reason.NO_MODEL
    # whether the stand-in answers because nothing else was configured
    stand_in: bool = False

    def on_wire(self, name: str) -> str:
        """Another model's name as it goes to this provider."""
        return name.removeprefix(self.prefix) if self.prefix else name


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and its keys. `prefix` is the effective one, with namespace and name, and ends in `/`."""

    kind: BucketKind
    endpoint: str
    region: str
    name: str
    prefix: str
    access_key_id: Secret
    secret_access_key: Secret


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the Secrets that a person should know. `blocking`: the Moltbot must neither start nor sleep until it is mended
    (it could begin empty, or lose what it knows); `wrong`: SecretsReady is False for it, else it is only told."""

    reason: Reason
    message: str
    wrong: bool = True
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class PersonVariable:
    """A variable of the gateway container with a value that a person gave: written in the spec, or in a Secret (`content` is what that key
    holds, to see that it changed)."""

    name: str
    value: str = ""
    secret: SecretKeyReference | None = None
    content: Secret | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """What the resource says about the assistant itself. `document`: JSON for the gateway (docs/reference/agent.md); `config`: what is
    wrong with it as a whole; `moments`: (job, when) of jobs that come once."""

    document: Mapping[str, object] = field(default_factory=dict)
    variables: tuple[PersonVariable, ...] = ()
    config: tuple[Finding, ...] = ()
    schedule_problems: tuple[str, ...] = ()
    moments: tuple[tuple[str, datetime], ...] = ()
    has_schedule: bool = False

    @property
    def chosen(self) -> dict[str, object]:
        """The part of the document that a person wrote."""
        return {name: value for name, value in self.document.items() if name != "onCluster"}


@dataclass(frozen=True, slots=True)
class Effective:
    """What the rest of the operator works with. `sleep_after` in seconds, None for never; `token` None: one is to be generated."""

    model: ModelConnection
    bucket: Bucket | None
    sleep_after: int | None
    sleep_after_text: str
    token: Secret | None
    public_url: str | None
    findings: tuple[Finding, ...] = ()
    agent: Agent = Agent()

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings for which it must neither start nor sleep."""
        return tuple(finding for finding in self.findings if finding.blocking)


@dataclass(frozen=True, slots=True)
class SecretValues:
    """Data of the Secrets that a spec names: name → key → raw bytes; None for one that does not exist."""

    found: Mapping[str, Mapping[str, bytes] | None] = field(default_factory=dict)

    def get(self, name: str) -> Mapping[str, bytes] | None:
        return self.found.get(name)


@dataclass(frozen=True, slots=True)
class ConfigMapValues:
    """Data of the ConfigMaps that a spec names: name → key → text; None for one that does not exist."""

    found: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)

    def get(self, name: str) -> Mapping[str, str] | None:
        return self.found.get(name)
