"""What a person writes in a Moltbot.

A field enters here when it works, never before. The descriptions are the documentation of ``kubectl explain``.
A field that a key of ``secretsFrom`` can set has no default here: the default is applied in code, the effective value shown in status.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from moltbot_api.assistant import BY_NAME, MOST_JOBS, Heartbeat, McpServer, ScheduledJob, Skill, TimeZone, Tools, Workspace
from moltbot_api.durations import DURATION_PATTERN
from moltbot_api.model import KeyName, ObjectName, Quantity, SpecModel, rule, schema_extra
from moltbot_api.references import EnvVar, ModelName, SecretKeyReference, Url

Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
LabelMap = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)]


class OperatingMode(StrEnum):
    AUTO = "Auto"
    SUSPENDED = "Suspended"


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class SecretSource(SpecModel):
    """A Secret whose keys are the names of the Cloudflare guide, such as ANTHROPIC_API_KEY."""

    name: ObjectName = Field(description="Name of a Secret in the Moltbot's namespace.")


class Provider(StrEnum):
    """What an AI Gateway has in front of it, by the names of its URLs."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    WORKERS_AI = "workers-ai"
    COMPAT = "compat"  # https://developers.cloudflare.com/ai-gateway/usage/chat-completion/


class AIGateway(SpecModel):
    """A Cloudflare AI Gateway in front of the model's provider."""

    account_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9]+$", description="Cloudflare account id.")
    gateway_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$", description="Name of the gateway.")
    provider: Provider | None = Field(
        default=None,
        description="Provider behind the gateway, as its URL names it: anthropic, openai, workers-ai, or compat for every other one "
        "(model.name is then provider/model). Absent: what model.name begins with, else anthropic.",
    )
    api_key_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="Key of the gateway itself (cf-aig-authorization), for an authenticated gateway. Without a provider key the gateway must hold one.",
    )


class OpenAI(SpecModel):
    """What speaks OpenAI's chat completions, for models named openai/…"""

    base_url: Url | None = Field(
        default=None,
        alias="baseURL",
        description="Address to which /chat/completions is added, such as http://ollama.ai.svc:11434/v1; absent: OpenAI's own. "
        "A private address also needs an entry in gateway.egress.",
    )
    api_key_secret_ref: SecretKeyReference | None = Field(default=None, description="Its key. Absent: OPENAI_API_KEY of secretsFrom.")


Dollars = Annotated[
    str | int,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$",
            "maxLength": 13,
        }
    ),
]


class ModelLimits(SpecModel):
    """What a day may cost. At the limit the assistant says so and stops until the next day."""

    tokens_per_day: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = Field(
        default=None, description="Tokens, in and out, of a day of the spec's timeZone."
    )
    dollars_per_day: Dollars | None = Field(
        default=None,
        description='US dollars of such a day, such as "5.00" (in quotes), as the list prices that this version knows have it.',
    )


class Model(SpecModel):
    """Which model answers, and how it is reached."""

    name: ModelName | None = Field(
        default=None,
        description="Model name, such as claude-sonnet-4-5, or provider/model, such as openai/gpt-5-mini. Absent: the newest balanced Claude this "
        "version knows (see status.model). `demo` answers without any provider: an offline stand-in that says plainly it is one.",
    )
    fallbacks: Annotated[list[ModelName], Field(max_length=8)] | None = Field(
        default=None,
        description="Models that are asked, in this order, while the first one cannot answer.",
        json_schema_extra=schema_extra(list_type="atomic"),
    )
    thinking: Literal["off", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        default=None, description="How much it thinks before it answers, unless a conversation says otherwise; absent: the model's own way."
    )
    limits: ModelLimits | None = Field(default=None, description="What a day may cost.")
    base_url: Url | None = Field(
        default=None,
        alias="baseURL",
        description="Address of anything that speaks Anthropic's Messages API; a trailing slash, /v1 or /v1/messages is forgiven. One that ends in "
        "/openai speaks OpenAI's chat completions. A private address also needs an entry in gateway.egress.",
    )
    api_key_secret_ref: SecretKeyReference | None = Field(
        default=None, description="The provider's key. Absent: ANTHROPIC_API_KEY or OPENAI_API_KEY of secretsFrom."
    )
    open_ai: OpenAI | None = Field(
        default=None, alias="openAI", description="What speaks OpenAI's chat completions, for models named openai/… beside Claude."
    )
    ai_gateway: AIGateway | None = Field(
        default=None, alias="aiGateway", description="Go through a Cloudflare AI Gateway; it wins over a direct key."
    )


class EgressPort(SpecModel):
    """A port that may be reached."""

    port: int = Field(ge=1, le=65535, description="Port number.")
    protocol: Literal["TCP", "UDP"] = Field(default="TCP", description="Protocol.")


class Egress(SpecModel):
    """A private peer that the gateway pod may reach: a range of addresses, or pods by labels. A Service's own address does not work here."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule(
                "has(self.cidr) != (has(self.namespace) || has(self.podLabels))",
                "name either a cidr, or a namespace and podLabels",
            )
        )
    }

    cidr: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")] | None = Field(
        default=None, description="Range of addresses, such as 10.20.0.0/16."
    )
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = Field(
        default=None, description="Namespace of the pods; the Moltbot's own when absent."
    )
    pod_labels: LabelMap | None = Field(default=None, description="Labels of the pods; absent means every pod of the namespace.")
    ports: Annotated[list[EgressPort], Field(min_length=1, max_length=16)] = Field(
        description="Ports that may be reached.", json_schema_extra=schema_extra(list_type="atomic")
    )


class Resources(SpecModel):
    """CPU and memory of the gateway container."""

    requests: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(default=None, description="What the scheduler reserves.")
    limits: Annotated[dict[str, Quantity], Field(max_length=4)] | None = Field(
        default=None, description="What it may use at most. A CPU limit slows every wake down: leave it out unless you must."
    )


class Toleration(SpecModel):
    """A taint of nodes that the pod tolerates."""

    key: Annotated[str, Field(max_length=253)] | None = Field(default=None, description="Key of the taint; absent: every key.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How key and value are compared.")
    value: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(default=None, description="Effect; absent: every effect.")


class Gateway(SpecModel):
    """The pod in which the assistant lives."""

    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] | None = Field(
        default=None, description="Image of gateway and state container; absent: the one of the operator's release."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(default=None, description="When the image is pulled.")
    image_pull_secrets: Annotated[list[SecretSource], Field(max_length=8)] | None = Field(
        default=None,
        description="Secrets with credentials of the image's registry.",
        json_schema_extra=schema_extra(list_type="map", list_map_keys=["name"]),
    )
    token_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="The gateway token (lock 2) from a Secret of your own. Absent: MOLTBOT_GATEWAY_TOKEN of secretsFrom, else one is made in Secret NAME-gateway-token.",
    )
    http: Literal["device", "token"] = Field(
        default="device",
        description="Who may use the gateway's own HTTP paths: only paired devices with their device token, or everybody with the gateway token.",
    )
    confinement: Literal["landlock", "pod"] = Field(
        default="landlock",
        description="What holds the assistant's tools: landlock keeps them in the workspace, and where a kernel has no Landlock they are not offered; "
        "pod is your word that the pod is boundary enough, and lets them read what the pod can.",
    )
    tools: Tools | None = Field(default=None, description="What the assistant may do beside talking.")
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = Field(
        default=None,
        description="Variables that the assistant's tools, and so the assistant, see. Nothing else of the pod's environment reaches them.",
        json_schema_extra=BY_NAME,
    )
    resources: Resources | None = Field(default=None, description="CPU and memory of the gateway container.")
    node_selector: LabelMap | None = Field(default=None, description="Labels of the nodes on which the pod may run.")
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = Field(
        default=None, description="Taints that the pod tolerates.", json_schema_extra=schema_extra(list_type="atomic")
    )
    runtime_class_name: ObjectName | None = Field(default=None, description="RuntimeClass of the pod, such as gvisor.")
    egress: Annotated[list[Egress], Field(max_length=32)] | None = Field(
        default=None,
        description="Private addresses that the pod may reach. By default it reaches DNS and the public internet, nothing private.",
        json_schema_extra=schema_extra(list_type="atomic"),
    )


class R2(SpecModel):
    """A bucket of Cloudflare R2."""

    account_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9]+$", description="Cloudflare account id.")
    jurisdiction: Literal["eu", "fedramp"] | None = Field(default=None, description="Jurisdiction of the bucket, when it has one.")


class S3(SpecModel):
    """A bucket of anything that speaks S3: AWS, MinIO, Garage …"""

    endpoint: Url = Field(description="Address of the service, such as https://s3.eu-central-1.amazonaws.com.")
    region: str = Field(default="us-east-1", min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$", description="Region for the signatures.")


class BucketCredentials(SpecModel):
    """Where the bucket's keys are."""

    secret_name: ObjectName = Field(description="Name of the Secret.")
    access_key_id_key: KeyName = Field(default="AWS_ACCESS_KEY_ID", description="Key of the access key's id in it.")
    secret_access_key_key: KeyName = Field(default="AWS_SECRET_ACCESS_KEY", description="Key of the secret access key in it.")


class Bucket(SpecModel):
    """The bucket to which the assistant's memory is backed up, and from which it is restored."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(rule("has(self.r2) != has(self.s3)", "name exactly one of r2 and s3"))
    }

    r2: R2 | None = Field(default=None, description="Cloudflare R2, by account id.")
    s3: S3 | None = Field(default=None, description="Any S3 endpoint.")
    name: str = Field(
        default="moltbot-data",
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$",
        description="Name of the bucket; it is never created.",
    )
    prefix: Annotated[str, Field(max_length=200, pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$")] = Field(
        default="", description="Folder in the bucket; the assistant's own is <prefix>/<namespace>/<name>/."
    )
    credentials: BucketCredentials | None = Field(
        default=None, description="The bucket's keys. Absent: R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY of secretsFrom."
    )


class Backup(SpecModel):
    """When the memory is backed up while the assistant is awake. It is always backed up before it sleeps."""

    schedule: str = Field(
        default="*/5 * * * *",
        min_length=9,
        max_length=64,
        pattern=r"^[0-9*/,-]+( [0-9*/,A-Za-z?-]+){4}$",
        description="Cron expression. The default, every 5 minutes, is offset for each Moltbot so that many do not fire together.",
    )


class Persistence(SpecModel):
    """Where the assistant's memory lives. Absent means a claim of the default StorageClass, 1Gi."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule(
                "!(has(self.ephemeral) && self.ephemeral && (has(self.size) || has(self.storageClassName) || has(self.existingClaim)))",
                "ephemeral has no volume: remove size, storageClassName and existingClaim",
            ),
            rule(
                "!(has(self.existingClaim) && (has(self.size) || has(self.storageClassName)))",
                "an existing claim has its own size and class: remove size and storageClassName",
            ),
            rule(
                "!(has(self.loseOnRestart) && self.loseOnRestart) || (has(self.ephemeral) && self.ephemeral)",
                "loseOnRestart only goes with ephemeral: true",
            ),
        )
    }

    size: Quantity | None = Field(
        default=None, description="Size of the claim (1Gi by default); it can grow where the StorageClass allows it."
    )
    storage_class_name: ObjectName | None = Field(default=None, description="StorageClass of the claim; absent: the cluster's default.")
    existing_claim: ObjectName | None = Field(default=None, description="A claim of your own instead, for this Moltbot alone.")
    ephemeral: bool | None = Field(
        default=None,
        description="No volume: the memory lives in the bucket and is restored at each wake. Without a bucket it needs loseOnRestart: true.",
    )
    lose_on_restart: bool | None = Field(default=None, description="Your word that the memory may be lost at every sleep and restart.")
    bucket: Bucket | None = Field(
        default=None, description="Backup and restore. Absent: R2_* and CF_ACCOUNT_ID of secretsFrom, else no bucket."
    )
    backup: Backup | None = Field(default=None, description="When to back up.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN,
        description="What happens to the claim when the Moltbot is deleted. Retain keeps it, and a new Moltbot of that name finds its memory. "
        "What is in a bucket is always kept.",
    )


class Exposure(SpecModel):
    """Under which host people reach it."""

    host: Host | None = Field(
        default=None,
        description="A host of your own that leads to the router, by your Ingress, tunnel or proxy. Absent: <name>--<namespace>.<base domain>.",
    )


class MoltbotSpec(SpecModel):
    """One personal assistant."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule(
                "!(has(self.persistence) && has(self.persistence.ephemeral) && self.persistence.ephemeral) || has(self.persistence.bucket)"
                " || (has(self.persistence.loseOnRestart) && self.persistence.loseOnRestart) || has(self.secretsFrom)",
                "ephemeral memory is lost at every sleep: name persistence.bucket (or R2_* keys in secretsFrom), or accept it with persistence.loseOnRestart: true",
            )
        )
    }

    operating_mode: OperatingMode = Field(
        default=OperatingMode.AUTO, description="Auto sleeps and wakes by itself. Suspended sleeps now and does not wake on traffic."
    )
    sleep_after: Annotated[str, Field(max_length=6, pattern=DURATION_PATTERN)] | None = Field(
        default=None,
        description="Sleep when nothing has happened for so long: never, or a whole number with s, m or h, such as 30m; at least 10 s are waited. "
        "Absent: SANDBOX_SLEEP_AFTER of secretsFrom, else never.",
    )
    secrets_from: Annotated[list[SecretSource], Field(max_length=8)] | None = Field(
        default=None,
        description="Secrets whose keys are the names of the Cloudflare guide (ANTHROPIC_API_KEY, R2_ACCESS_KEY_ID …). Each key reaches only the container "
        "that needs it. An explicit field wins; of two Secrets with the same key the later one.",
        json_schema_extra=schema_extra(list_type="map", list_map_keys=["name"]),
    )
    model: Model | None = Field(default=None, description="Which model answers, and how it is reached.")
    gateway: Gateway | None = Field(default=None, description="The pod in which the assistant lives.")
    persistence: Persistence | None = Field(
        default=None,
        description="Where its memory (conversations, workspace) lives. Absent means a claim of the default StorageClass, 1Gi, and R2_* keys of secretsFrom as its bucket when they are there. Three ways: a volume; a volume backed up to a bucket; ephemeral, which lives in the bucket alone and is restored at each wake.",
    )
    exposure: Exposure | None = Field(default=None, description="Under which host people reach it.")
    time_zone: TimeZone | None = Field(
        default=None, description="Time zone of the assistant and its schedule, such as Europe/Berlin; absent: UTC."
    )
    workspace: Workspace | None = Field(default=None, description="The folder in which it works.")
    skills: Annotated[list[Skill], Field(max_length=32)] | None = Field(
        default=None, description="Skills that it is taught, or that are switched.", json_schema_extra=BY_NAME
    )
    mcp_servers: Annotated[list[McpServer], Field(max_length=16)] | None = Field(
        default=None, description="Servers of the Model Context Protocol whose tools it gets.", json_schema_extra=BY_NAME
    )
    schedule: Annotated[list[ScheduledJob], Field(max_length=MOST_JOBS)] | None = Field(
        default=None, description="What it does by itself, and when.", json_schema_extra=BY_NAME
    )
    heartbeat: Heartbeat | None = Field(
        default=None, description="It looks by itself whether something is to be done; absent: it does not."
    )
