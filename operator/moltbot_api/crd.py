"""CustomResourceDefinitions from the typed models: ``python -m moltbot_api.crd --write FOLDER …`` or ``--check FOLDER …``.

A structural schema is a small part of JSON Schema: references are written out, nullable unions become optional fields, titles go,
objects carry no ``additionalProperties: false`` (the API server refuses it beside ``properties``; unknown fields are pruned, or
refused by strict validation).
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from moltbot_api.names import GROUP, VERSION
from moltbot_api.resources import CATEGORY, RESOURCES, Resource

_DROPPED = {"title", "$defs", "discriminator"}


def _structural(schema: Any, definitions: dict[str, Any]) -> Any:
    """One schema node of Pydantic as a node of a structural schema."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        referred = definitions[schema["$ref"].rpartition("/")[2]]
        schema = {**referred, **{key: value for key, value in schema.items() if key != "$ref"}}
    node = {key: value for key, value in schema.items() if key not in _DROPPED}
    if node.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key != "default" or value is not None}
    if "anyOf" in node:
        options = [option for option in node.pop("anyOf") if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"a union cannot stand in a CRD: {options}")
        inner = _structural(options[0], definitions)
        # the field's own description is said of this place, the type's of all places
        node = {**inner, **node}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("default", ...) is None:
        del node["default"]
    if "properties" in node:
        node["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
        node.pop("additionalProperties", None)
    elif isinstance(node.get("additionalProperties"), dict):
        node["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "maxProperties" not in node and node.get("type") == "object" and "properties" not in node and "maxLength" in node:
        node["maxProperties"] = node.pop("maxLength")
    if "items" in node:
        node["items"] = _structural(node["items"], definitions)
    return node


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of one model."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    made: dict[str, Any] = _structural(schema, schema.get("$defs", {}))
    return made


def build_crd(resource: Resource) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    spec = structural_schema(resource.spec)
    if resource.spec_optional:
        spec["default"] = {}
    status = structural_schema(resource.status)
    root: dict[str, Any] = {
        "type": "object",
        "description": resource.description,
        "required": [] if resource.spec_optional else ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    if not root["required"]:
        del root["required"]
    if resource.rules:
        root["x-kubernetes-validations"] = list(resource.rules)
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "jsonPath": column.path,
            **({"description": column.description} if column.description else {}),
            **({"priority": column.priority} if column.priority else {}),
        }
        for column in resource.columns
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": list(resource.short_names),
                "categories": [CATEGORY],
            },
            "conversion": {"strategy": "None"},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out instead of naming them once: people read this file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render(resource: Resource) -> str:
    """The CRD as it stands in ``crds/``."""
    text: str = yaml.dump(build_crd(resource), Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)
    return f"# Generated by `make fix` from operator/moltbot_api. Do not edit.\n{text}"


def crd_file(resource: Resource) -> str:
    return f"{GROUP}_{resource.plural}.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Write the CRDs, or say which ones are stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m moltbot_api.crd", description="CRDs from the typed models")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", metavar="FOLDER", type=Path, nargs="+")
    mode.add_argument("--check", metavar="FOLDER", type=Path, nargs="+")
    chosen = parser.parse_args(arguments)
    folders: list[Path] = chosen.write or chosen.check
    stale = []
    for folder, resource in product(folders, RESOURCES):
        path, text = folder / crd_file(resource), render(resource)
        if chosen.write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run `make fix`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
