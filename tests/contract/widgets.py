"""A custom kind with everything that the project's definitions use: defaults, patterns, int-or-string, list maps, rules with oldSelf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    group: str
    kind: str


WIDGETS = Kind("contract.moltbot.test", "Widget")
API_VERSION = f"{WIDGETS.group}/v1"


def widget(name: str = "w", spec: Any = None, **metadata: Any) -> Any:
    return {
        "apiVersion": API_VERSION,
        "kind": "Widget",
        "metadata": {"name": name, **metadata},
        "spec": {"mode": "A"} if spec is None else spec,
    }


def definition() -> Any:
    text = {"type": "string"}
    number = {"type": "integer"}
    spec: Any = {
        "type": "object",
        "description": "What is wanted of a widget.",
        "required": ["mode"],
        "x-kubernetes-validations": [
            {"rule": "self.fixed == oldSelf.fixed", "message": "fixed is immutable"},
            {"rule": "!has(self.a) || self.a < 90", "message": "a is too big", "reason": "FieldValueForbidden", "fieldPath": ".a"},
            {"rule": "!has(self.e) || self.e.x > 1"},
        ],
        "properties": {
            "mode": {"type": "string", "enum": ["A", "B"], "description": "How it works."},
            "fixed": {"type": "string", "default": "f", "maxLength": 20},
            "a": {"type": "integer", "minimum": 0, "maximum": 100},
            "e": {"type": "object", "properties": {"x": number, "y": {**number, "x-kubernetes-validations": [{"rule": "self != 7"}]}}},
            "s": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
            "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": text},
            "t": {"type": "string", "format": "date-time"},
            "m": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": text, "v": number}},
            },
            "st": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
            "io": {"x-kubernetes-int-or-string": True},
            "mp": {"type": "object", "maxProperties": 1, "additionalProperties": text},
            "n": {"type": "number", "multipleOf": 2},
            "b": {"type": "boolean"},
            "nl": {"type": "string", "nullable": True},
            "d": {"type": "object", "default": {"k": "v"}, "properties": {"k": text, "j": {**number, "default": 3}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    status = {
        "type": "object",
        "properties": {
            "phase": text,
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "required": ["type"], "properties": {"type": text, "status": text}},
            },
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
            {"name": "Secret", "type": "integer", "jsonPath": ".spec.a", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}},
    }
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget", "shortNames": ["wd"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{WIDGETS.group}"},
        "spec": {"group": WIDGETS.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
