"""Everything a person can get wrong, and what they must then be told: one table, as data.

It is held to the typed models (`test_models.py`), to the real operator and router on `moltbot_local` (`test_on_moltbot_local.py`), to a
real cluster (`tests/e2e/test_bad_input.py`), and to the page that people read (`docs/reference/bad-input.md`). What every row also says:
nothing crash-loops, nothing is lost or replaced (`stage.py`).

`$S3`, `$BUCKET`, `$CLAUDE` and `$CLAUDE_CIDR` in a spec or Secret stand for what the place has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Spec = Mapping[str, Any]


class Where(StrEnum):
    """Where a row can be played. The last three need an operator or a cluster of their own kind."""

    MACHINE = "moltbot up"
    CLUSTER = "a real cluster"
    NO_CLASS = "a cluster without a StorageClass"
    OLD = "Kubernetes 1.29"
    NO_STAND_IN = "an operator of a cluster: no demo model stands in for a missing key"


EVERYWHERE = frozenset({Where.MACHINE, Where.CLUSTER})
LOCAL = frozenset({Where.MACHINE})


class Scene(StrEnum):
    """What happens before a person is told."""

    APPLIED = "it is applied"
    ASKED = "it is awake, and asked something"
    EDITED_ASLEEP = "it sleeps, and its spec is changed"
    ASLEEP = "it sleeps"
    DAMAGED = "it sleeps, every block of its snapshot is damaged, and it is woken"
    FOREIGN = "another Moltbot has written to its prefix before"


@dataclass(frozen=True, slots=True)
class Refused:
    """The API does not take it. `by_model`: the typed models see it too; else it is a rule (CEL) of the schema, or of Kubernetes."""

    words: tuple[str, ...]
    by_model: bool = True

    def seen(self) -> str:
        return f"refused: “{self.words[0]}”"


@dataclass(frozen=True, slots=True)
class Says:
    """A condition, with these words in its message."""

    type: str
    status: str
    reason: str
    words: tuple[str, ...] = ()

    def seen(self) -> str:
        return f"`{self.type}={self.status}`, `{self.reason}`"


@dataclass(frozen=True, slots=True)
class Tells:
    """An event of the Moltbot."""

    reason: str
    words: tuple[str, ...] = ()
    warning: bool = True

    def seen(self) -> str:
        return f"event `{self.reason}`"


@dataclass(frozen=True, slots=True)
class Shows:
    """What its page says to who passed the locks."""

    words: tuple[str, ...]

    def seen(self) -> str:
        return "the page says it too"


@dataclass(frozen=True, slots=True)
class Answers:
    """An HTTP answer of its host. `token` None: the right one."""

    status: int
    words: tuple[str, ...]
    token: str | None = None
    path: str = "/"

    def seen(self) -> str:
        return f"HTTP {self.status}: “{self.words[0]}”"


@dataclass(frozen=True, slots=True)
class Speaks:
    """What stands in the conversation instead of an answer."""

    words: tuple[str, ...]

    def seen(self) -> str:
        return f"in the conversation: “… {self.words[0]} …”"


Told = Refused | Says | Tells | Shows | Answers | Speaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What `mend` says, done by a person: a merge patch of the spec, Secrets, objects made and removed. `then`: how it stands after it.

    A damaged snapshot is put back by itself; `make_bucket` makes the one that is named.
    """

    then: Says
    spec: Spec | None = None
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    create: tuple[Mapping[str, Any], ...] = ()
    remove: tuple[tuple[str, str], ...] = ()
    make_bucket: str = ""


SERVES = Says("Ready", "True", "Serving")
RESOLVED = Says("SecretsReady", "True", "Resolved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mistake. `wrong` and `mend` are the words of the docs. `runs`: it has to start for it (else it is Suspended, for speed)."""

    id: str
    wrong: str
    mend: str
    told: tuple[Told, ...]
    spec: Spec = field(default_factory=dict)
    name: str = "ada"
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    before: tuple[Mapping[str, Any], ...] = ()
    edit: Spec = field(default_factory=dict)
    scene: Scene = Scene.APPLIED
    remedy: Remedy | None = None
    runs: bool = False
    where: frozenset[Where] = EVERYWHERE

    @property
    def refused(self) -> Refused | None:
        """How the API refuses it, when it does."""
        return next((one for one in self.told if isinstance(one, Refused)), None)

    def line(self) -> str:
        """Its line in the docs."""
        seen = "; ".join(dict.fromkeys(one.seen() for one in self.told))
        return f"| {self.wrong} | {seen} | {self.mend} |"


def moltbot(name: str, spec: Spec) -> dict[str, Any]:
    return {"apiVersion": "moltbot.dev/v1alpha1", "kind": "Moltbot", "metadata": {"name": name}, "spec": dict(spec)}


DEMO: Spec = {"model": {"name": "demo"}}
FROM_ADA: Spec = {"secretsFrom": [{"name": "ada"}]}
BUCKET_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}
EGRESS: Spec = {"namespace": "s3", "podLabels": {"app": "s3"}, "ports": [{"port": 7070}]}
CLAIM: Spec = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "mine"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def ephemeral(endpoint: str = "$S3", name: str = "$BUCKET", *, egress: bool = True) -> Spec:
    """A demo Moltbot whose memory lives in that bucket alone."""
    place = {"s3": {"endpoint": endpoint}, "name": name, "credentials": {"secretName": "bucket"}}
    reach: Spec = {"gateway": {"egress": [EGRESS]}} if egress else {}
    return {**DEMO, "persistence": {"ephemeral": True, "bucket": place}, **reach}


def secret_wrong(reason: str, *words: str) -> tuple[Told, ...]:
    """SecretsReady and the event beside it."""
    return Says("SecretsReady", "False", reason, words), Tells(reason, words)


def bucket_wrong(reason: str, *words: str) -> tuple[Told, ...]:
    """It waits, rather than start with less than there may be; the page says why."""
    waits = Says("Ready", "False", "StateWaiting", words)
    return Says("BackupReady", "False", reason, words), Tells(reason, words), waits, Shows(words)


REFUSED = (
    Row(
        id="unknown-field",
        wrong="A field that does not exist (`sleepAftr`)",
        spec={"sleepAftr": "10m"},
        told=(Refused(('unknown field "spec.sleepAftr"',)),),
        mend="Correct its name: `kubectl explain moltbot.spec` lists them.",
    ),
    Row(
        id="bad-duration",
        wrong="A duration that is none (`sleepAfter: 10 min`)",
        spec={"sleepAfter": "10 min"},
        told=(Refused(("spec.sleepAfter",)),),
        mend="Write `never`, or a whole number with `s`, `m` or `h`: `10m`.",
    ),
    Row(
        id="duration-without-unit",
        wrong="A number as duration (`sleepAfter: 600`)",
        spec={"sleepAfter": 600},
        told=(Refused(("spec.sleepAfter",)),),
        mend="Write the unit: `600s`, `10m`.",
    ),
    Row(
        id="bad-mode",
        wrong="A mode that does not exist (`operatingMode: Asleep`)",
        spec={"operatingMode": "Asleep"},
        told=(Refused(('supported values: "Auto", "Suspended"', "spec.operatingMode")),),
        mend="`Auto` or `Suspended`; to put it to sleep now: `kubectl moltbot sleep NAME`.",
    ),
    Row(
        id="name-too-long",
        wrong="A name of more than 40 characters",
        name="a" * 41,
        told=(Refused(("a Moltbot's name is at most 40 characters",)),),
        mend="Choose a shorter name.",
    ),
    Row(
        id="bad-name",
        wrong="A name that begins with a digit, or has two hyphens in a row (`1ada`, `a--b`)",
        name="a--b",
        told=(Refused(("lower-case letters, digits and single hyphens, beginning with a letter",)),),
        mend="Choose another name.",
    ),
    Row(
        id="bad-model-url",
        wrong="An address without `https://` (`model.baseURL: claude.example`)",
        spec={"model": {"baseURL": "claude.example"}},
        told=(Refused(("spec.model.baseURL",)),),
        mend="Write the whole URL: `https://claude.example`.",
    ),
    Row(
        id="bad-endpoint",
        wrong="A bucket's endpoint without `https://` (`endpoint: minio:9000`)",
        spec={"persistence": {"bucket": {"s3": {"endpoint": "minio:9000"}}}},
        told=(Refused(("spec.persistence.bucket.s3.endpoint",)),),
        mend="Write the whole URL: `http://minio.minio.svc:9000`.",
    ),
    Row(
        id="bad-bucket-name",
        wrong="A bucket's name with capital letters",
        spec={"persistence": {"bucket": {"name": "Assistants", "s3": {"endpoint": "https://s3.example"}}}},
        told=(Refused(("spec.persistence.bucket.name",)),),
        mend="Write the name as the service has it: lower-case letters, digits, `-` and `.`.",
    ),
    Row(
        id="bad-host",
        wrong="A host with a scheme or a port (`exposure.host: https://bot.example`)",
        spec={"exposure": {"host": "https://bot.example"}},
        told=(Refused(("spec.exposure.host",)),),
        mend="Write the host alone: `bot.example`.",
    ),
    Row(
        id="bad-size",
        wrong="A size that is no quantity (`size: big`)",
        spec={"persistence": {"size": "big"}},
        told=(Refused(("spec.persistence.size",), by_model=False),),
        mend="Write a quantity: `1Gi`.",
    ),
    Row(
        id="bad-schedule",
        wrong="A backup schedule in words",
        spec={"persistence": {"backup": {"schedule": "every five minutes"}}},
        told=(Refused(("spec.persistence.backup.schedule",)),),
        mend="Write a cron expression: `*/5 * * * *`.",
    ),
    Row(
        id="ephemeral-and-size",
        wrong="Both `ephemeral` and a volume's `size`",
        spec={"persistence": {"ephemeral": True, "loseOnRestart": True, "size": "1Gi"}},
        told=(Refused(("ephemeral has no volume: remove size, storageClassName and existingClaim",), by_model=False),),
        mend="Keep one of them.",
    ),
    Row(
        id="ephemeral-without-bucket",
        wrong="`ephemeral` without any bucket",
        spec={"persistence": {"ephemeral": True}},
        told=(Refused(("ephemeral memory is lost at every sleep",), by_model=False),),
        mend="Name `persistence.bucket`, or accept the loss with `loseOnRestart: true`.",
    ),
    Row(
        id="lose-on-restart-with-volume",
        wrong="`loseOnRestart` with a volume",
        spec={"persistence": {"loseOnRestart": True}},
        told=(Refused(("loseOnRestart only goes with ephemeral: true",), by_model=False),),
        mend="Remove it, or write `ephemeral: true`.",
    ),
    Row(
        id="existing-claim-and-size",
        wrong="Both `existingClaim` and `size`",
        spec={"persistence": {"existingClaim": "mine", "size": "1Gi"}},
        told=(Refused(("an existing claim has its own size and class",), by_model=False),),
        mend="Remove `size`.",
    ),
    Row(
        id="r2-and-s3",
        wrong="Both `r2` and `s3`, or neither",
        spec={"persistence": {"bucket": {"r2": {"accountId": "acc1"}, "s3": {"endpoint": "https://s3.example"}}}},
        told=(Refused(("name exactly one of r2 and s3",), by_model=False),),
        mend="Keep the one that the bucket is at.",
    ),
    Row(
        id="egress-without-peer",
        wrong="An entry of `gateway.egress` that names nobody",
        spec={"gateway": {"egress": [{"ports": [{"port": 443}]}]}},
        told=(Refused(("name either a cidr, or a namespace and podLabels",), by_model=False),),
        mend="Add `cidr`, or `namespace` and `podLabels`.",
    ),
    Row(
        id="reserved-variable",
        wrong="A variable with a name that is not yours to set (`MOLTBOT_KEYS`, `PATH`)",
        spec={"gateway": {"env": [{"name": "MOLTBOT_KEYS", "value": "x"}]}},
        told=(Refused(("names that begin with MOLTBOT_, PERSON_ENV_, LD_, PYTHON are not yours to set",), by_model=False),),
        mend="Choose another name.",
    ),
    Row(
        id="job-with-two-times",
        wrong="A job with both `cron` and `every`, or with no time",
        spec={"schedule": [{"name": "brief", "prompt": "x", "cron": "0 7 * * *", "every": "1d"}]},
        told=(Refused(("name exactly one of cron, every and at",), by_model=False),),
        mend="Keep one of them.",
    ),
    Row(
        id="search-without-key",
        wrong="A search service without its key",
        spec={"gateway": {"tools": {"webSearch": {"provider": "brave"}}}},
        told=(Refused(("this provider needs a key: name apiKeySecretRef",), by_model=False),),
        mend="Add `apiKeySecretRef`.",
    ),
    Row(
        id="unserved-provider",
        wrong="A provider behind an AI Gateway by a name that is not served (`provider: groq`)",
        spec={"model": {"aiGateway": {"accountId": "acc1", "gatewayId": "gw", "provider": "groq"}}},
        told=(Refused(("spec.model.aiGateway.provider",)),),
        mend="Write `provider: compat`, and the provider in `model.name`: `groq/llama-3.3-70b-versatile`.",
    ),
)

SECRETS = (
    Row(
        id="missing-secret",
        wrong="A Secret that does not exist",
        spec=FROM_ADA,
        told=(
            *secret_wrong("SecretMissing", "Secret ada of secretsFrom does not exist", "kubectl create secret generic ada --from-env-file"),
            Says("Ready", "False", "SecretsNotReady", ("Secret ada",)),
            Shows(("Secret ada of secretsFrom does not exist",)),
        ),
        runs=True,
        remedy=Remedy(secrets={"ada": {"SANDBOX_SLEEP_AFTER": "30m"}}, then=RESOLVED),
        mend="Create it with the command of the message.",
    ),
    Row(
        id="missing-key",
        wrong="A key that is not in its Secret",
        spec={"model": {"apiKeySecretRef": {"name": "ada", "key": "API_KEY"}}},
        secrets={"ada": {"ANTHROPIC_KEY": "k"}},
        told=(
            *secret_wrong("SecretKeyMissing", "model.apiKeySecretRef", "Secret ada has no key API_KEY", "it has ANTHROPIC_KEY"),
            Says("ModelReady", "False", "SecretKeyMissing", ("API_KEY",)),
        ),
        remedy=Remedy(secrets={"ada": {"API_KEY": "k"}}, then=Says("ModelReady", "Unknown", "Configured")),
        mend="Add the key to the Secret, or name the one that it has.",
    ),
    Row(
        id="missing-bucket-key",
        wrong="A bucket's key that is not in its Secret",
        spec=ephemeral(),
        secrets={"bucket": {"AWS_ACCESS_KEY_ID": "test"}},
        told=(
            *secret_wrong("SecretKeyMissing", "persistence.bucket.credentials", "no key AWS_SECRET_ACCESS_KEY"),
            Says("Ready", "False", "SecretsNotReady", ("AWS_SECRET_ACCESS_KEY",)),
        ),
        runs=True,
        remedy=Remedy(secrets={"bucket": BUCKET_KEYS}, then=SERVES),
        mend="Add the key, or name another with `credentials.secretAccessKeyKey`. Until then it neither starts nor sleeps.",
    ),
    Row(
        id="two-of-three",
        wrong="Two of R2's three keys",
        spec={**DEMO, **FROM_ADA},
        secrets={"ada": {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "key"}},
        told=(
            *secret_wrong("GroupIncomplete", "R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY are set", "CF_ACCOUNT_ID is missing"),
            Says("BackupReady", "False", "GroupIncomplete", ("CF_ACCOUNT_ID",)),
            Says("Ready", "False", "SecretsNotReady", ("CF_ACCOUNT_ID",)),
        ),
        runs=True,
        remedy=Remedy(secrets={"ada": {"R2_ACCESS_KEY_ID": ""}}, then=SERVES),
        mend="Add the third, or remove the two. Until then it neither starts nor sleeps.",
    ),
    Row(
        id="quoted-value",
        wrong='A value in quotes (`ANTHROPIC_API_KEY="sk-…"` in an env file)',
        spec=FROM_ADA,
        secrets={"ada": {"ANTHROPIC_API_KEY": '"sk-ant-test-key"'}},
        told=(
            Says("SecretsReady", "True", "Resolved", ("quotes or white space around ANTHROPIC_API_KEY were taken off",)),
            Tells("ValueCleaned", ("ANTHROPIC_API_KEY", "kubectl keeps them from an env file"), warning=False),
            Says("ModelReady", "Unknown", "Configured"),
        ),
        mend="Nothing: the quotes are taken off.",
    ),
    Row(
        id="value-with-comment",
        wrong="A value with a comment after it (`KEY=value # mine` in an env file)",
        spec=FROM_ADA,
        secrets={"ada": {"ANTHROPIC_API_KEY": "sk-ant-test-key # mine"}},
        told=(
            *secret_wrong("ValueInvalid", "ANTHROPIC_API_KEY has a comment", "remove it from the file"),
            Says("ModelReady", "False", "ValueInvalid", ("ANTHROPIC_API_KEY has a comment",)),
        ),
        remedy=Remedy(secrets={"ada": {"ANTHROPIC_API_KEY": "sk-ant-test-key"}}, then=Says("ModelReady", "Unknown", "Configured")),
        mend="Take the comment out of the file and create the Secret again.",
    ),
    Row(
        id="unknown-key",
        wrong="A key that nobody knows (`ANTROPIC_API_KEY`)",
        spec={**DEMO, **FROM_ADA},
        secrets={"ada": {"ANTROPIC_API_KEY": "k"}},
        told=(
            Tells("KeyUnknown", ("ANTROPIC_API_KEY is not one that is known", "did you mean ANTHROPIC_API_KEY?")),
            Says("SecretsReady", "True", "Resolved", ("did you mean ANTHROPIC_API_KEY?",)),
        ),
        mend="Correct the key's name; the message has the nearest one.",
    ),
    Row(
        id="key-not-served",
        wrong="A key that this version does not serve yet (`TELEGRAM_BOT_TOKEN`)",
        spec={**DEMO, **FROM_ADA},
        secrets={"ada": {"TELEGRAM_BOT_TOKEN": "t"}},
        told=(
            Tells("KeyNotServed", ("TELEGRAM_BOT_TOKEN is known, but not served by this version yet",)),
            Says("SecretsReady", "True", "Resolved", ("TELEGRAM_BOT_TOKEN",)),
        ),
        mend="Nothing: it is not used.",
    ),
    Row(
        id="bad-sleep-after-key",
        wrong="A bad duration in `SANDBOX_SLEEP_AFTER`",
        spec={**DEMO, **FROM_ADA},
        secrets={"ada": {"SANDBOX_SLEEP_AFTER": "10 minutes"}},
        told=secret_wrong("ValueInvalid", "SANDBOX_SLEEP_AFTER is not a duration", "such as 10m"),
        remedy=Remedy(secrets={"ada": {"SANDBOX_SLEEP_AFTER": "10m"}}, then=RESOLVED),
        mend="Write `never`, or a whole number with `s`, `m` or `h`. Until then it does not sleep.",
    ),
    Row(
        id="bad-worker-url",
        wrong="A bad URL in `WORKER_URL`",
        spec={**DEMO, **FROM_ADA},
        secrets={"ada": {"WORKER_URL": "bot.example"}},
        told=secret_wrong("ValueInvalid", "WORKER_URL is not a URL", "begins with https://"),
        remedy=Remedy(secrets={"ada": {"WORKER_URL": "https://bot.example"}}, then=Says("Exposed", "True", "Routed", ("bot.example",))),
        mend="Write the whole URL. Until then its default host leads to it.",
    ),
    Row(
        id="bad-base-url-key",
        wrong="A password in `ANTHROPIC_BASE_URL`",
        spec=FROM_ADA,
        secrets={"ada": {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://me:secret@claude.example"}},
        told=(
            *secret_wrong("ValueInvalid", "ANTHROPIC_BASE_URL holds a user or password", "keys of their own"),
            Says("ModelReady", "False", "ValueInvalid", ("ANTHROPIC_BASE_URL",)),
        ),
        remedy=Remedy(secrets={"ada": {"ANTHROPIC_API_KEY": "k"}}, then=Says("ModelReady", "Unknown", "Configured")),
        mend="Take it out of the URL. Until then nothing is sent anywhere else.",
    ),
    Row(
        id="half-gateway",
        wrong="Half of an AI Gateway's keys",
        spec=FROM_ADA,
        secrets={"ada": {"CF_AI_GATEWAY_ACCOUNT_ID": "acc1", "CLOUDFLARE_AI_GATEWAY_API_KEY": "k"}},
        told=(
            *secret_wrong("GroupIncomplete", "CF_AI_GATEWAY_GATEWAY_ID is missing"),
            Says("ModelReady", "False", "GroupIncomplete", ("CF_AI_GATEWAY_GATEWAY_ID",)),
        ),
        remedy=Remedy(secrets={"ada": {"ANTHROPIC_API_KEY": "k"}}, then=Says("ModelReady", "Unknown", "Configured")),
        mend="Add what the message names.",
    ),
    Row(
        id="openai-without-key",
        wrong="A model of OpenAI, and no key of OpenAI (`model.name: openai/gpt-5`)",
        spec={**FROM_ADA, "model": {"name": "openai/gpt-5"}},
        secrets={"ada": {"ANTHROPIC_API_KEY": "k"}},
        told=(
            *secret_wrong("GroupIncomplete", "no key for it is set", "add OPENAI_API_KEY to Secret ada"),
            Says("ModelReady", "False", "GroupIncomplete", ("OPENAI_API_KEY",)),
        ),
        remedy=Remedy(secrets={"ada": {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "o"}}, then=Says("ModelReady", "Unknown", "Configured")),
        mend="Add `OPENAI_API_KEY`, or name another model.",
    ),
)

NEWS: Spec = {"name": "brief", "prompt": "What is new?"}
SEARCH: Spec = {"provider": "brave", "apiKeySecretRef": {"name": "search", "key": "key"}}


def schedule_wrong(*words: str) -> tuple[Told, ...]:
    return Says("ScheduleReady", "False", "ScheduleInvalid", words), Tells("ScheduleInvalid", words)


ON_TIME = Says("ScheduleReady", "True", "Scheduled")
ASSISTANT = (
    Row(
        id="missing-tool-key",
        wrong="A tool's key that is not there",
        spec={**DEMO, "gateway": {"tools": {"webSearch": SEARCH}}},
        told=(
            *secret_wrong("SecretMissing", "gateway.tools.webSearch.apiKeySecretRef", "Secret search", "until then web search is left out"),
            SERVES,
        ),
        runs=True,
        remedy=Remedy(secrets={"search": {"key": "k"}}, then=RESOLVED),
        mend="Create it. The assistant answers meanwhile, without that tool.",
    ),
    Row(
        id="missing-config-map",
        wrong="A ConfigMap that does not exist",
        spec={**DEMO, "workspace": {"files": [{"path": "SOUL.md", "configMapKeyRef": {"name": "texts", "key": "soul"}}]}},
        told=(*secret_wrong("ConfigMapMissing", "workspace.files: SOUL.md: ConfigMap texts", "until then it is left out"), SERVES),
        runs=True,
        remedy=Remedy(
            create=({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"soul": "Be kind."}},),
            then=RESOLVED,
        ),
        mend="Create it. The assistant answers meanwhile, without that file or skill.",
    ),
    Row(
        id="bad-cron",
        wrong="A cron expression that is none (`0 25 * * *`)",
        spec={**DEMO, "schedule": [{**NEWS, "cron": "0 25 * * *"}]},
        told=schedule_wrong("schedule: brief: '0 25 * * *': 25 is no hour: they go from 0 to 23"),
        remedy=Remedy(spec={"schedule": [{**NEWS, "cron": "0 7 * * *"}]}, then=ON_TIME),
        mend="Write five fields that there are. Other jobs run meanwhile.",
    ),
    Row(
        id="bad-time-zone",
        wrong="A time zone that nobody knows (`Europe/Berln`)",
        spec={**DEMO, "timeZone": "Europe/Berln", "schedule": [{**NEWS, "cron": "0 7 * * *"}]},
        told=schedule_wrong("timeZone: Europe/Berln is not a time zone that is known; did you mean Europe/Berlin?"),
        remedy=Remedy(spec={"timeZone": "Europe/Berlin"}, then=ON_TIME),
        mend="Write the name of the message. Until then nothing runs at a wrong hour.",
    ),
    Row(
        id="heartbeat-too-often",
        wrong="A heartbeat more often than each minute",
        spec={**DEMO, "heartbeat": {"every": "30s"}},
        told=schedule_wrong("heartbeat: every 30s is too often, 1m is the least"),
        remedy=Remedy(spec={"heartbeat": {"every": "30m"}}, then=ON_TIME),
        mend="Write `1m` or more.",
    ),
    Row(
        id="too-much-text",
        wrong="More than 100 KiB of workspace files, skills, servers and jobs",
        spec={**DEMO, "workspace": {"files": [{"path": f"{number}.md", "content": "x" * 60000} for number in range(2)]}},
        told=(
            Says("ToolsReady", "False", "AgentConfigTooLarge", ("larger than 100 KiB: left out is workspace 1.md (59 KiB)",)),
            Tells("AgentConfigTooLarge", ("shorten it",)),
        ),
        mend="Shorten it, or have the assistant write it into its workspace itself. The rest is in force meanwhile.",
    ),
)

MODELS = (
    Row(
        id="no-key",
        wrong="No model key at all",
        told=(Says("ModelReady", "False", "NoModel", ("put ANTHROPIC_API_KEY into a Secret", "model.name: demo")),),
        where=frozenset({Where.NO_STAND_IN, Where.CLUSTER}),
        mend="Put `ANTHROPIC_API_KEY` into a Secret of `secretsFrom`, or try it with `model.name: demo`.",
    ),
    Row(
        id="demo-model",
        wrong="`model.name: demo`: that is no Claude",
        spec=DEMO,
        told=(Says("ModelReady", "True", "DemoModel", ("The offline demo model answers",)),),
        mend="Set a key for Claude, and remove `model.name`.",
    ),
    Row(
        id="wrong-model-key",
        wrong="A model key that the provider does not accept",
        spec={**FROM_ADA, "gateway": {"egress": [{"cidr": "$CLAUDE_CIDR", "ports": [{"port": "$CLAUDE_PORT"}]}]}},
        secrets={"ada": {"ANTHROPIC_API_KEY": "sk-ant-somebody-elses", "ANTHROPIC_BASE_URL": "$CLAUDE"}},
        scene=Scene.ASKED,
        told=(
            Speaks(("did not accept the key", "Correct ANTHROPIC_API_KEY in the Moltbot's Secret")),
            Says("ModelReady", "False", "ModelAuthenticationFailed", ("Correct ANTHROPIC_API_KEY in the Moltbot's Secret",)),
            Tells("ModelAuthenticationFailed", ("did not accept the key",)),
            Says("Ready", "True", "Serving"),
        ),
        runs=True,
        remedy=Remedy(
            secrets={"ada": {"ANTHROPIC_API_KEY": "sk-ant-test-key", "ANTHROPIC_BASE_URL": "$CLAUDE"}},
            then=Says("ModelReady", "True", "Answered"),
        ),
        mend="Correct the key in the Secret; the pod is replaced by itself, and the question stays in the conversation.",
    ),
)

BUCKETS = (
    Row(
        id="unreachable-bucket",
        wrong="A bucket's host that does not exist",
        spec=ephemeral("http://nowhere.invalid:7070"),
        secrets={"bucket": BUCKET_KEYS},
        told=bucket_wrong("BucketUnreachable", "nowhere.invalid:7070", "check spec.persistence.bucket's endpoint"),
        runs=True,
        remedy=Remedy(spec={"persistence": {"bucket": {"s3": {"endpoint": "$S3"}}}}, then=SERVES),
        mend="Correct the endpoint.",
    ),
    Row(
        id="private-bucket",
        wrong="A bucket inside the cluster without its entry in `gateway.egress`",
        spec=ephemeral(egress=False),
        secrets={"bucket": BUCKET_KEYS},
        told=bucket_wrong("BucketUnreachable", "Add to spec.gateway.egress: {namespace: s3, podLabels:", "ports: [{port: 7070}]"),
        runs=True,
        where=frozenset({Where.CLUSTER}),
        remedy=Remedy(spec={"gateway": {"egress": [EGRESS]}}, then=SERVES),
        mend="Add the entry of the message.",
    ),
    Row(
        id="private-address",
        wrong="A bucket at a private address where nothing answers",
        spec=ephemeral("http://127.0.0.1:9", egress=False),
        secrets={"bucket": BUCKET_KEYS},
        told=bucket_wrong(
            "BucketUnreachable", "Cannot reach the bucket's endpoint 127.0.0.1:9", "{cidr: 127.0.0.1/32, ports: [{port: 9}]}"
        ),
        runs=True,
        where=LOCAL,
        mend="Correct the endpoint, or add the entry of the message to `gateway.egress`.",
    ),
    Row(
        id="missing-bucket",
        wrong="A bucket that does not exist",
        spec=ephemeral(name="unmade-$NAMESPACE"),
        secrets={"bucket": BUCKET_KEYS},
        told=bucket_wrong("BucketMissing", "There is no bucket unmade-", "aws s3api create-bucket"),
        runs=True,
        remedy=Remedy(make_bucket="unmade-$NAMESPACE", then=SERVES),
        mend="Make it with the command of the message; it is asked again by itself.",
    ),
    Row(
        id="wrong-bucket-key",
        wrong="A bucket's key that is not accepted",
        spec=ephemeral(),
        secrets={"bucket": {**BUCKET_KEYS, "AWS_SECRET_ACCESS_KEY": "somebody-elses"}},
        told=bucket_wrong("BucketCredentials", "does not accept the access key", "into the Secret that the Moltbot names"),
        runs=True,
        remedy=Remedy(secrets={"bucket": BUCKET_KEYS}, then=SERVES),
        mend="Put the right key into the Secret.",
    ),
    Row(
        id="foreign-prefix",
        wrong="A prefix of the bucket that another Moltbot writes to",
        spec=ephemeral(),
        secrets={"bucket": BUCKET_KEYS},
        scene=Scene.FOREIGN,
        told=bucket_wrong("ForeignPrefix", "Nothing was written", "another spec.persistence.bucket prefix"),
        runs=True,
        remedy=Remedy(spec={"persistence": {"bucket": {"prefix": "mine"}}}, then=SERVES),
        mend="Name another `persistence.bucket.prefix`.",
    ),
    Row(
        id="corrupt-snapshot",
        wrong="A damaged snapshot",
        spec=ephemeral(),
        secrets={"bucket": BUCKET_KEYS},
        scene=Scene.DAMAGED,
        told=bucket_wrong("SnapshotCorrupt", "Nothing was"),
        runs=True,
        remedy=Remedy(then=SERVES),
        mend="Bring the bucket's objects back, from its versions or a copy; it is asked again by itself. Nothing is overwritten meanwhile.",
    ),
)

CLUSTER = (
    Row(
        id="name-taken",
        wrong="An object of somebody else has the name of one of its own",
        spec=DEMO,
        before=(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ada-boot"}, "data": {"mine": "1"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ada-keys"}, "data": {"gateway": "bWluZQ=="}},
        ),
        told=(
            Says("NameTaken", "True", "NameTaken", ("ConfigMap ada-boot", "Secret ada-keys", "rename or remove it, or rename the Moltbot")),
            Tells("NameTaken", ("ConfigMap ada-boot",)),
            Says("Ready", "False", "NameTaken", ("ConfigMap ada-boot",)),
            Shows(("ConfigMap ada-boot",)),
        ),
        runs=True,
        remedy=Remedy(remove=(("ConfigMap", "ada-boot"), ("Secret", "ada-keys")), then=SERVES),
        mend="Rename or remove that object, or rename the Moltbot. It is not touched.",
    ),
    Row(
        id="host-conflict",
        wrong="A host that another Moltbot has",
        spec={**DEMO, "exposure": {"host": "bot.$NAMESPACE.example"}},
        before=(moltbot("zoe", {**DEMO, "operatingMode": "Suspended", "exposure": {"host": "bot.$NAMESPACE.example"}}),),
        told=(
            Says("Exposed", "False", "HostConflict", ("/zoe has had it for longer", "choose another one in spec.exposure.host")),
            Tells("HostConflict", ("bot.$NAMESPACE.example",)),
        ),
        remedy=Remedy(spec={"exposure": {"host": "other.$NAMESPACE.example"}}, then=Says("Exposed", "True", "Routed", ("other.",))),
        mend="Name another `exposure.host`. The older one keeps it.",
    ),
    Row(
        id="missing-image",
        wrong="An image that does not exist",
        spec={**DEMO, "gateway": {"image": "localhost/nobody-built-this:1", "imagePullPolicy": "IfNotPresent", "http": "token"}},
        told=(
            Says("Ready", "False", "ImagePullFailed", ("localhost/nobody-built-this:1", "Check spec.gateway.image")),
            Tells("ImagePullFailed", ("Check spec.gateway.image",)),
            Shows(("Check spec.gateway.image",)),
            Answers(503, ("ImagePullFailed", "Check spec.gateway.image"), path="/files"),
        ),
        runs=True,
        remedy=Remedy(spec={"gateway": {"image": None}}, then=SERVES),
        mend="Correct `gateway.image`, or name `gateway.imagePullSecrets`.",
    ),
    Row(
        id="claim-missing",
        wrong="An `existingClaim` that does not exist",
        spec={**DEMO, "persistence": {"existingClaim": "mine"}},
        told=(
            Says("StorageReady", "False", "ClaimMissing", ("PersistentVolumeClaim mine", "create it")),
            Tells("ClaimMissing", ("create it",)),
            Says("Ready", "False", "StorageNotReady", ("PersistentVolumeClaim mine",)),
        ),
        runs=True,
        remedy=Remedy(create=(CLAIM,), then=SERVES),
        mend="Create it, or name the right one.",
    ),
    Row(
        id="claim-in-use",
        wrong="An `existingClaim` that another Moltbot mounts",
        spec={**DEMO, "persistence": {"existingClaim": "mine"}},
        before=(CLAIM, moltbot("zoe", {**DEMO, "operatingMode": "Suspended", "persistence": {"existingClaim": "mine"}})),
        told=(
            Says("StorageReady", "False", "ClaimInUse", ("PersistentVolumeClaim mine is Moltbot zoe's", "each needs its own")),
            Tells("ClaimInUse", ("each needs its own",)),
            Says("Ready", "False", "StorageNotReady", ("zoe",)),
        ),
        runs=True,
        remedy=Remedy(spec={"persistence": {"existingClaim": None}}, then=SERVES),
        mend="Give each its own.",
    ),
    Row(
        id="ephemeral-without-keys",
        wrong="`ephemeral`, and no bucket's keys in `secretsFrom`",
        spec={**DEMO, **FROM_ADA, "persistence": {"ephemeral": True}},
        secrets={"ada": {"ANTHROPIC_API_KEY": "k"}},
        told=(
            Says("StorageReady", "False", "NoBucketForEphemeral", ("name persistence.bucket", "loseOnRestart: true")),
            Tells("NoBucketForEphemeral", ("CF_ACCOUNT_ID",)),
            Says("Ready", "False", "StorageNotReady", ("persistence.ephemeral needs a bucket",)),
        ),
        runs=True,
        remedy=Remedy(spec={"persistence": {"loseOnRestart": True}}, then=Says("StorageReady", "True", "LoseOnRestart")),
        mend="Add R2's three keys, name `persistence.bucket`, or accept the loss with `loseOnRestart: true`.",
    ),
    Row(
        id="no-storage-class",
        wrong="A cluster without a default StorageClass",
        spec=DEMO,
        told=(
            Says("StorageReady", "False", "NoStorageClass", ("no default StorageClass", "persistence.storageClassName")),
            Tells("NoStorageClass", ("kubectl get storageclass",)),
            Says("Ready", "False", "StorageNotReady", ("no default StorageClass",)),
        ),
        runs=True,
        where=frozenset({Where.NO_CLASS}),
        mend="Name `persistence.storageClassName`, or choose `ephemeral` with a bucket.",
    ),
    Row(
        id="old-kubernetes",
        wrong="Kubernetes older than 1.30",
        spec=DEMO,
        told=(
            Says("Ready", "False", "KubernetesTooOld", ("Kubernetes 1.29", "at least 1.30", "upgrade the cluster")),
            Tells("KubernetesTooOld", ("upgrade the cluster",)),
        ),
        runs=True,
        where=frozenset({Where.OLD}),
        mend="Upgrade the cluster. `helm install` refuses such a one too.",
    ),
    Row(
        id="edited-asleep",
        wrong="A mistake in a spec that is edited while it sleeps",
        spec=DEMO,
        edit=FROM_ADA,
        scene=Scene.EDITED_ASLEEP,
        told=(
            *secret_wrong("SecretMissing", "Secret ada of secretsFrom does not exist"),
            Says("Ready", "False", "SecretsNotReady", ("Secret ada of secretsFrom does not exist",)),
        ),
        runs=True,
        mend="Mend what the message names. It goes on sleeping, and wakes with its memory when it is mended.",
    ),
    Row(
        id="wrong-token",
        wrong="A wrong gateway token, or a host that nobody has",
        spec=DEMO,
        scene=Scene.ASLEEP,
        told=(Answers(401, ("That is not this assistant&#x27;s gateway token.", "moltbot token NAME"), token="wrong"),),
        runs=True,
        mend="Read the token with `kubectl moltbot token NAME` (without a cluster `moltbot token NAME`). Nothing wakes by a wrong one, and "
        "unknown hosts look the same.",
    ),
)

TABLE: tuple[Row, ...] = (*REFUSED, *SECRETS, *MODELS, *ASSISTANT, *BUCKETS, *CLUSTER)
SECTIONS: Mapping[str, tuple[Row, ...]] = {
    "Refused by the API": REFUSED,
    "Secrets": SECRETS,
    "Model": MODELS,
    "Tools, workspace, schedule": ASSISTANT,
    "Bucket": BUCKETS,
    "Cluster, names, storage, tokens": CLUSTER,
}
