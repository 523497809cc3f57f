"""Chart, its schema and its page say the same (house style: settings, chart and docs are compared)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts/moltbot-operator"
# Objects whose inside is Kubernetes' own or the person's.
OPAQUE = {"resources", "nodeSelector", "tolerations", "annotations"}


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict) and name not in OPAQUE:
            yield from leaves(value, here)
        else:
            yield here


def schema_leaves(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, node in schema["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        resolved = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if "properties" in resolved and name not in OPAQUE:
            yield from schema_leaves(resolved, definitions, here)
        elif name != "global":
            yield here


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema_leaves(schema, schema["definitions"])) == set(leaves(values))


def test_every_value_is_documented_and_nothing_else() -> None:
    page = (ROOT / "docs/reference/chart.md").read_text(encoding="utf-8")
    named = {name for row in page.splitlines() if row.startswith("| `") for name in re.findall(r"`([A-Za-z.]+)`", row.split("|")[1])}
    assert named == set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def test_no_rule_of_the_chart_allows_everything() -> None:
    rules = (CHART / "templates/rbac.yaml").read_text()
    assert "'*'" not in rules
    assert '"*"' not in rules
    assert "[*]" not in rules


def test_secrets_are_never_listed_or_watched() -> None:
    rules = (CHART / "templates/rbac.yaml").read_text()
    for found in re.finditer(r"resources: \[([^\]]*)\]\n(?:  resourceNames: .*\n)?\s*verbs: \[([^\]]*)\]", rules):
        if "secrets" in found[1]:
            assert not {"list", "watch"} & {verb.strip() for verb in found[2].split(",")}
