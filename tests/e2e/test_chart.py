"""The chart itself: what helm renders and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.e2e.cluster import CommandError, Place, command
from tests.e2e.release import CHART, NAME, NAMESPACE

VALUES: dict[str, Any] = yaml.safe_load((Path(CHART) / "values.yaml").read_text())
# Another value of each kind, so that every setting is rendered with something that is not its default.
OTHER = {
    "crds.keep": "false",
    "images.pullSecrets": "{mine}",
    "baseDomain": "moltbots.example.org",
    "publicPort": "443",
    "watchNamespaces": "{one,two}",
    "operator.resources.limits.memory": "1Gi",
    "operator.nodeSelector.disk": "ssd",
    "operator.tolerations[0].key": "x",
    "router.replicas": "2",
    "router.nodeSelector.disk": "ssd",
    "router.tolerations[0].key": "x",
    "router.service.type": "NodePort",
    "router.service.port": "80",
    "router.service.annotations.a": "b",
    "router.trustedProxies": "{10.0.0.0/8}",
    "router.holdSeconds": "40",
    "network.deniedCIDRs": "{100.0.0.0/8}",
    "network.dns.namespace": "dns",
    "network.dns.labels": "a=b",
    "metrics.enabled": "true",
    "metrics.from[0].podSelector.matchLabels.a": "b",
    "log.level": "debug",
    "log.format": "text",
    "admissionPolicies.enabled": "false",
    "aggregatedRoles.enabled": "false",
    "crds.install": "false",
}


async def template(*values: str) -> list[dict[str, Any]]:
    text = await command("helm", "template", NAME, CHART, "-n", NAMESPACE, "--kube-version", "1.30.0", *values)
    return [one for one in yaml.safe_load_all(text) if one]


def leaves(values: Any, path: str = "") -> list[str]:
    if isinstance(values, dict) and values:
        return [leaf for key, value in values.items() for leaf in leaves(value, f"{path}.{key}" if path else key)]
    return [path]


def rendered(objects: list[dict[str, Any]]) -> list[Any]:
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


DEFAULTS: list[Any] = []


@pytest.mark.parametrize("value", OTHER.items(), ids=OTHER)
async def test_every_value_changes_what_is_rendered(value: tuple[str, str]) -> None:
    key, other = value
    DEFAULTS[:] = DEFAULTS or rendered(await template())
    flag = "--set-string" if key.endswith(("memory", "disk", ".a", ".key")) else "--set"
    switch = ["--set", "metrics.enabled=true"] if key.startswith("metrics.from") else []
    assert rendered(await template(*switch, flag, f"{key}={other}")) != (rendered(await template(*switch)) if switch else DEFAULTS)


async def test_every_value_is_known_to_the_schema_and_no_other() -> None:
    schema = Draft7Validator(json.loads((Path(CHART) / "values.schema.json").read_text()))
    assert list(schema.iter_errors(VALUES)) == []
    for leaf in leaves(VALUES):
        *branch, last = leaf.split(".")
        if branch[-1:] in (["requests"], ["limits"]):
            continue  # quantities of any resource
        misspelt: Any = {last + "x": 1}
        for key in reversed(branch):
            misspelt = {key: misspelt}
        assert [error.validator for error in schema.iter_errors(misspelt)] != [], leaf


async def test_helm_refuses_what_the_schema_does_not_know() -> None:
    with pytest.raises(CommandError, match="holdSecond"):
        await template("--set", "router.holdSecond=5")


async def test_no_right_is_a_wildcard() -> None:
    for one in await template():
        for rule in one.get("rules") or ():
            assert "*" not in [word for words in rule.values() for word in words], one["metadata"]["name"]


async def test_definitions_explain_themselves(place: Place) -> None:
    said = await command("kubectl", "explain", "moltbot.spec.persistence")
    assert "GROUP:      moltbot.dev" in said
    assert "Absent means a claim of the default StorageClass, 1Gi" in " ".join(said.split())
    fields = said.partition("FIELDS:")[2].split("\n\n")
    assert len([one for one in fields if one.strip()]) >= 7
    said = await command("kubectl", "explain", "moltbot.spec", "--recursive")
    assert "loseOnRestart" in said
