"""Plans for the golden manifests: each is a whole Moltbot that a person could write."""

from __future__ import annotations

from typing import Any

from moltbot_api.spec import MoltbotSpec
from moltbot_operator.effective import ConfigMapValues, SecretValues
from moltbot_operator.manifests.plan import Installation, KeyRings, Plan, RecordedState
from moltbot_operator.secrets_from import resolve
from moltbot_operator.sources import Place

INSTALLATION = Installation(
    namespace="moltbot",
    image="registry.example/moltbot-gateway:1",
    pull_policy="IfNotPresent",
    router_labels={"app.kubernetes.io/component": "router"},
    operator_labels={"app.kubernetes.io/component": "operator"},
    dns_namespace="kube-system",
    dns_labels={"k8s-app": "kube-dns"},
)
R2 = {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "sk", "CF_ACCOUNT_ID": "acc1", "ANTHROPIC_API_KEY": "sk-1"}
# Everything that can be said of the assistant itself.
ASSISTANT: dict[str, Any] = {
    "secretsFrom": [{"name": "ada"}],
    "timeZone": "Europe/Berlin",
    "model": {
        "name": "claude-x",
        "fallbacks": ["anthropic/claude-y", "openai/gpt-5-mini"],
        "thinking": "low",
        "limits": {"tokensPerDay": 2000000, "dollarsPerDay": "5.00"},
    },
    "gateway": {
        "confinement": "pod",
        "env": [
            {"name": "GITHUB_USER", "value": "ada$(MOLTBOT_KEYS)"},
            {"name": "GITHUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "github"}}},
        ],
        "tools": {
            "programs": "allow",
            "allowed": ["git *"],
            "denied": ["web_fetch"],
            "webSearch": {"provider": "brave", "apiKeySecretRef": {"name": "keys", "key": "brave"}},
        },
    },
    "workspace": {
        "files": [
            {"path": "SOUL.md", "content": "Be brief."},
            {"path": "notes/home.md", "configMapKeyRef": {"name": "texts", "key": "home"}, "policy": "Always"},
        ]
    },
    "skills": [
        {
            "name": "weather",
            "configMapKeyRef": {"name": "texts", "key": "weather"},
            "env": [{"name": "WEATHER_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "weather"}}}],
        },
        {"name": "bundled", "enabled": False},
    ],
    "mcpServers": [
        {"name": "notes", "command": ["npx", "-y", "notes"], "env": [{"name": "NOTES", "value": "here"}]},
        {
            "name": "search",
            "url": "https://mcp.example/mcp",
            "headers": [{"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "search"}}}],
            "tools": ["find"],
        },
    ],
    "schedule": [
        {"name": "brief", "cron": "0 7 * * mon-fri", "prompt": "What is on today?"},
        {"name": "tidy", "every": "6h", "prompt": "Tidy up.", "session": "Main", "missed": "Skip", "model": "anthropic/claude-y"},
        {"name": "party", "at": "2030-06-01T09:00", "prompt": "Wish luck.", "suspend": True},
    ],
    "heartbeat": {"every": "30m", "activeHours": {"from": "08:00", "to": "23:00"}},
}
KEYS = {"github": "gh-1", "brave": "br-1", "weather": "we-1", "search": "Bearer se-1"}
CONFIG_MAPS = {"texts": {"home": "A flat.", "weather": "---\nname: weather\n---\nAsk the sky."}}


def make_plan(
    spec: dict[str, Any],
    secrets: dict[str, dict[str, str]] | None = None,
    config_maps: dict[str, dict[str, str]] | None = None,
    **changes: Any,
) -> Plan:
    model = MoltbotSpec.model_validate(spec)
    found = {name: {key: value.encode() for key, value in data.items()} for name, data in (secrets or {}).items()}
    effective, _ = resolve(model, SecretValues(found), Place("team", "ada"), ConfigMapValues(config_maps or {}))
    values: dict[str, Any] = {
        "namespace": "team",
        "name": "ada",
        "uid": "5e1f3a52-0000-4000-8000-000000000001",
        "spec": model,
        "installation": INSTALLATION,
        "model": effective.model,
        "bucket": effective.bucket,
        "agent": effective.agent,
        "keys": KeyRings('{"gateway":1}', '{"state":1}', '{"backup":1}'),
        "fingerprint": "f" * 64,
        "secrets_hash": "5" * 64,
        "inputs_hash": "1" * 64,
        "model_hash": "e" * 16,
        "bucket_revision": "b" * 16 if effective.bucket else "",
    }
    return Plan(**(values | changes))


def plans() -> dict[str, Plan]:
    """Name of the golden file → plan."""
    full = {
        "secretsFrom": [{"name": "ada"}],
        "model": {"name": "claude-x", "baseURL": "https://own.example"},
        "gateway": {
            "image": "own/gateway:2",
            "imagePullPolicy": "Always",
            "imagePullSecrets": [{"name": "pull"}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "runtimeClassName": "gvisor",
            "egress": [
                {"cidr": "10.20.0.0/16", "ports": [{"port": 443}]},
                {"namespace": "s3", "podLabels": {"app": "s3"}, "ports": [{"port": 9000}]},
                {"podLabels": {"app": "proxy"}, "ports": [{"port": 53, "protocol": "UDP"}]},
            ],
        },
        "persistence": {
            "size": "5Gi",
            "storageClassName": "fast",
            "deletionPolicy": "Delete",
            "backup": {"schedule": "0 * * * *"},
            "bucket": {"s3": {"endpoint": "https://s3.example", "region": "eu-1"}, "name": "bucket-1", "prefix": "p"},
        },
    }
    return {
        "smallest": make_plan({}),
        "r2-ephemeral": make_plan(
            {"secretsFrom": [{"name": "ada"}], "persistence": {"ephemeral": True}},
            {"ada": R2},
            recorded=RecordedState("lin-1", 7),
            awake=True,
        ),
        "everything": make_plan(
            full,
            {"ada": R2},
            installation=Installation(
                **{
                    name: getattr(INSTALLATION, name)
                    for name in ("namespace", "image", "pull_policy", "router_labels", "operator_labels", "dns_namespace", "dns_labels")
                },
                denied_cidrs=("198.51.0.0/16", "2a00::/16"),
                metrics=True,
                metrics_from=({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},),
            ),
        ),
        "existing-claim": make_plan({"persistence": {"existingClaim": "mine"}}),
        "assistant": make_plan(ASSISTANT, {"ada": {"ANTHROPIC_API_KEY": "sk-1", "OPENAI_API_KEY": "sk-2"}, "keys": KEYS}, CONFIG_MAPS),
    }
