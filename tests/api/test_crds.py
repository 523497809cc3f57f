"""The generated CRDs: structural, documented, bounded (api.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from moltbot_api import crd
from moltbot_api.resources import RESOURCES, Resource

ROOT = Path(__file__).resolve().parents[2]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path, the root's first."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def schema_of(resource: Resource) -> dict[str, Any]:
    made: dict[str, Any] = crd.build_crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


@pytest.mark.parametrize("folder", ["crds", "charts/moltbot-operator/files/crds"])
def test_the_committed_files_are_generated(folder: str) -> None:
    assert crd.main(["--check", str(ROOT / folder)]) == 0


def test_a_stale_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crd.main(["--write", str(tmp_path)])
    victim = tmp_path / "moltbot.dev_moltbots.yaml"
    victim.write_text(victim.read_text() + "\n")
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert "moltbots.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_every_field_is_documented(resource: Resource) -> None:
    undocumented = [
        path
        for path, node in nodes(schema_of(resource))
        if path.startswith((".spec", ".status")) and not path.endswith(("[]", "{}")) and "description" not in node
    ]
    assert undocumented == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_every_list_map_and_string_of_a_spec_is_bounded(resource: Resource) -> None:
    """Without bounds the API server refuses CEL rules by their cost, and a person could store megabytes."""
    unbounded = []
    for path, node in nodes(schema_of(resource)["properties"]["spec"], ".spec"):
        kind = node.get("type")
        free_string = kind == "string" and not ({"enum", "maxLength", "format"} & node.keys())
        if free_string or (kind == "array" and "maxItems" not in node):
            unbounded.append(path)
        if kind == "object" and "additionalProperties" in node and "maxProperties" not in node:
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.kind)
def test_schemas_are_structural(resource: Resource) -> None:
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "nullable"}
    for path, node in nodes(schema_of(resource)):
        assert node.get("x-kubernetes-int-or-string") or not forbidden & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), path


def test_fields_that_a_secret_can_set_have_no_default() -> None:
    spec = schema_of(RESOURCES[0])["properties"]["spec"]["properties"]
    for path in (("sleepAfter",), ("model", "name"), ("model", "baseURL"), ("persistence", "bucket"), ("gateway", "tokenSecretRef")):
        node: dict[str, Any] = {"properties": spec}
        for step in path:
            node = node["properties"][step]
        assert "default" not in node, path


def test_the_columns_are_those_that_are_promised() -> None:
    made = yaml.safe_load((ROOT / "crds/moltbot.dev_moltbots.yaml").read_text())
    columns = [c["name"] for c in made["spec"]["versions"][0]["additionalPrinterColumns"] if not c.get("priority")]
    assert columns == ["Phase", "Ready", "URL", "Model", "Last Backup", "Idle", "Age"]
