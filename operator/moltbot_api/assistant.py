"""What a person writes about the assistant itself: tools, workspace, skills, MCP servers, schedule, heartbeat.

It reaches the gateway as one JSON document (docs/reference/agent.md), made by ``moltbot_operator.agent``. What a schema cannot say, such as
whether a time zone exists, is checked there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from moltbot_api.durations import INTERVAL_PATTERN
from moltbot_api.model import SpecModel, rule, schema_extra
from moltbot_api.references import ConfigMapKeyReference, EnvVar, Header, ModelName, SecretKeyReference, Url

# One environment variable carries all of it, at most 128 KiB in Linux (MAX_ARG_STRLEN): a single text must leave room for the others.
TEXT_LENGTH = 65536
PROMPT_LENGTH = 16384
MOST_JOBS = 64
TimeZone = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]
Interval = Annotated[str, Field(max_length=6, pattern=INTERVAL_PATTERN)]
ItemName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Prompt = Annotated[str, Field(max_length=PROMPT_LENGTH)]
BY_NAME = schema_extra(list_type="map", list_map_keys=["name"])


class Approval(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class FilePolicy(StrEnum):
    IF_ABSENT = "IfAbsent"
    ALWAYS = "Always"


class Session(StrEnum):
    MAIN = "Main"
    ISOLATED = "Isolated"


class Missed(StrEnum):
    RUN = "Run"
    SKIP = "Skip"


class WebSearch(SpecModel):
    """Who answers when the assistant searches the web."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule("self.provider != 'searxng' || has(self.baseURL)", "searxng is a service of your own: name its baseURL"),
            rule("self.provider == 'searxng' || has(self.apiKeySecretRef)", "this provider needs a key: name apiKeySecretRef"),
        )
    }

    provider: Literal["brave", "tavily", "searxng"] = Field(description="The service that is asked.")
    api_key_secret_ref: SecretKeyReference | None = Field(default=None, description="The service's key; searxng mostly needs none.")
    base_url: Url | None = Field(
        default=None,
        alias="baseURL",
        description="Address of the service, where it is not the provider's own. A private address also needs an entry in gateway.egress.",
    )


class Tools(SpecModel):
    """What the assistant may do beside talking."""

    programs: Approval = Field(
        default=Approval.ASK,
        description="Whether it may run programs: allow, ask (you approve each command in the page, once or for always), or deny.",
    )
    allowed: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=64)] | None = Field(
        default=None,
        description="Commands that need no approval, such as `git status` or `git *`.",
        json_schema_extra=schema_extra(list_type="set"),
    )
    denied: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_*-]+$")]], Field(max_length=64)] | None
    ) = Field(
        default=None,
        description="Names of tools that it does not get, such as web_fetch.",
        json_schema_extra=schema_extra(list_type="set"),
    )
    web_search: WebSearch | None = Field(default=None, description="Who answers when it searches the web; absent: it cannot.")


class WorkspaceFile(SpecModel):
    """A file of the workspace, written when the assistant starts."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(rule("has(self.content) != has(self.configMapKeyRef)", "name either content or configMapKeyRef"))
    }

    path: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")] = (
        Field(description="Where it stands in the workspace, such as SOUL.md or notes/home.md.")
    )
    content: Annotated[str, Field(max_length=TEXT_LENGTH)] | None = Field(default=None, description="What it holds.")
    config_map_key_ref: ConfigMapKeyReference | None = Field(
        default=None, description="What it holds, from a key of a ConfigMap in the Moltbot's namespace."
    )
    policy: FilePolicy = Field(
        default=FilePolicy.IF_ABSENT,
        description="IfAbsent writes it only where there is none, so that what the assistant changed stays; Always writes it at every start.",
    )


class Workspace(SpecModel):
    """The folder in which the assistant works."""

    files: Annotated[list[WorkspaceFile], Field(max_length=32)] | None = Field(
        default=None,
        description="Files that are put there when it starts.",
        json_schema_extra=schema_extra(list_type="map", list_map_keys=["path"]),
    )


class Skill(SpecModel):
    """A skill: words that teach the assistant how something is done."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule("!(has(self.content) && has(self.configMapKeyRef))", "name content or configMapKeyRef, not both")
        )
    }

    name: ItemName = Field(description="Name of the skill.")
    content: Annotated[str, Field(max_length=TEXT_LENGTH)] | None = Field(
        default=None,
        description="Its SKILL.md. Without it and configMapKeyRef: a skill that is there already, which is only switched or given variables.",
    )
    config_map_key_ref: ConfigMapKeyReference | None = Field(
        default=None, description="Its SKILL.md, from a key of a ConfigMap in the Moltbot's namespace."
    )
    enabled: bool = Field(default=True, description="Whether the assistant knows it.")
    env: Annotated[list[EnvVar], Field(max_length=16)] | None = Field(
        default=None, description="Variables that programs see while it has this skill.", json_schema_extra=BY_NAME
    )


class McpServer(SpecModel):
    """A server of the Model Context Protocol whose tools the assistant gets."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule("has(self.command) != has(self.url)", "name either a command or a url"),
            rule("!has(self.env) || has(self.command)", "env is for a command; a url has headers"),
            rule("!has(self.headers) || has(self.url)", "headers are for a url; a command has env"),
        )
    }

    name: ItemName = Field(description="Name of the server; its tools are called after it.")
    command: Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(min_length=1, max_length=32)] | None = Field(
        default=None,
        description="Program and arguments: it is started beside the assistant's own tools, confined as they are, and spoken to by standard input and output.",
        json_schema_extra=schema_extra(list_type="atomic"),
    )
    url: Url | None = Field(
        default=None,
        description="Address of a server that speaks streamable HTTP. A private address also needs an entry in gateway.egress.",
    )
    env: Annotated[list[EnvVar], Field(max_length=32)] | None = Field(
        default=None, description="Variables that the program sees.", json_schema_extra=BY_NAME
    )
    headers: Annotated[list[Header], Field(max_length=16)] | None = Field(
        default=None, description="Headers of every request to the url.", json_schema_extra=BY_NAME
    )
    tools: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=64)] | None = Field(
        default=None, description="Only these of its tools; absent: all.", json_schema_extra=schema_extra(list_type="set")
    )


class ScheduledJob(SpecModel):
    """Something that the assistant does by itself at a time; asleep, it is woken for it."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": schema_extra(
            rule("[has(self.cron), has(self.every), has(self.at)].filter(x, x).size() == 1", "name exactly one of cron, every and at"),
        )
    }

    name: ItemName = Field(description="Name of the job.")
    cron: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="When, as a cron expression of five fields: minute, hour, day of month, month, weekday; such as `0 7 * * mon-fri`; or @daily and its like.",
    )
    every: Interval | None = Field(default=None, description="How far apart, such as 30m, 6h or 1d; at least 1m.")
    at: (
        Annotated[
            str,
            Field(max_length=40, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?$"),
        ]
        | None
    ) = Field(default=None, description="Once, at that time, such as 2030-01-31T09:00:00Z; without an offset in its time zone.")
    time_zone: TimeZone | None = Field(
        default=None, description="Time zone of cron and at, such as Europe/Berlin; absent: that of the spec."
    )
    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_LENGTH)] = Field(description="What the assistant is told to do.")
    session: Session = Field(
        default=Session.ISOLATED,
        description="Isolated does it in a conversation of its own, Main in yours, with all that was said there.",
    )
    missed: Missed = Field(
        default=Missed.RUN,
        description="What becomes of a time at which it could not run: Run does it once as soon as it can, Skip waits for the next.",
    )
    model: ModelName | None = Field(default=None, description="Another model than the assistant's, for this job.")
    suspend: bool = Field(default=False, description="Whether the job rests.")


class ActiveHours(SpecModel):
    """A part of the day; one that ends before it begins goes over midnight."""

    from_: Annotated[str, Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        alias="from", description="Begin, such as 08:00."
    )
    to: Annotated[str, Field(max_length=5, pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")] = Field(description="End, such as 22:00.")


class Heartbeat(SpecModel):
    """The assistant looks by itself whether something is to be done. It neither wakes it nor keeps it awake."""

    every: Interval = Field(description="How far apart, such as 30m; at least 1m.")
    prompt: Prompt | None = Field(default=None, description="What it is told then; absent: to follow HEARTBEAT.md of its workspace.")
    active_hours: ActiveHours | None = Field(default=None, description="Only in these hours of the spec's timeZone; absent: all day.")
    model: ModelName | None = Field(default=None, description="Another model than the assistant's, for this.")
