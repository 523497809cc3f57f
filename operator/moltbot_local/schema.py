"""The shape of a kind: one tree, whether it comes from `shapes.txt` (built-in kinds) or from a CustomResourceDefinition.

Here are the tree and its two parsers. What is done with it: `decoding.py` (unknown fields, wrong types), `validation.py` (custom kinds),
`apply.py` (field ownership), `strategic.py` (strategic merge patch), `openapi.py` (what kubectl reads).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from .resources import Object

# Fields that are keys of a list and may be left out: the key is then this value, as Kubernetes' own schemas default them.
_KEY_DEFAULTS = {"protocol": "TCP"}


@dataclass(slots=True)
class Schema:
    """`type`: struct | map | list | string | integer | number | boolean | quantity | time | int-or-string | any."""

    type: str
    name: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    items: Schema | None = None  # of a list or a map
    required: tuple[str, ...] = ()
    # Merging: a whole that one manager owns; a list whose items are known by keys; a list that is a set.
    atomic: bool = False
    keys: tuple[str, ...] = ()
    is_set: bool = False
    # Strategic merge patch: the key of a list that is merged ("" for lists of scalars), None: replaced.
    merge_key: str | None = None
    # Unknown fields are kept.
    open: bool = False
    nullable: bool = True
    # An object with a metadata of its own, as the root is.
    embedded: bool = False
    # The node of a CRD's schema, for what only validation reads.
    raw: Object = field(default_factory=dict)

    def child(self, name: str) -> Schema | None:
        """The schema of one member of a struct or map; None for an unknown field."""
        if self.type == "map":
            return self.items
        if self.type == "any":
            return ANYTHING
        found = self.properties.get(name)
        return ANYTHING if found is None and self.open else found

    def key_of(self, item: Any) -> str:
        """How an item of a merged list is called in a path: `k:{"name":"x"}`, `v:"x"`."""
        if self.is_set:
            return "v:" + compact(item)
        fields = {}
        for key in self.keys:
            value = item.get(key) if isinstance(item, Mapping) else None
            if value is None:
                value = self._key_default(key)
            if value is not None:
                fields[key] = value
        return "k:" + compact(fields)

    def _key_default(self, key: str) -> Any:
        named = self.items.properties.get(key) if self.items else None
        if named is not None and "default" in named.raw:
            return named.raw["default"]
        return _KEY_DEFAULTS.get(key) if named is not None and not named.raw else None


ANYTHING = Schema("any", open=True)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


# Built-in kinds

_SCALARS = {
    "s": "string",
    "i": "integer",
    "n": "number",
    "b": "boolean",
    "q": "quantity",
    "t": "time",
    "io": "int-or-string",
}


@functools.cache
def shape(name: str) -> Schema:
    """The schema of a built-in type (`Pod`, `ObjectMeta` …)."""
    words = _shapes()[name].split()
    schema = Schema("struct", name=name)
    if words and words[0] == "@atomic":
        schema.atomic = True
        words = words[1:]
    required = []
    for word in words:
        named, _, kind = word.partition(":")
        if named.endswith("!"):
            named = named[:-1]
            required.append(named)
        schema.properties[named] = _type(kind)
    schema.required = tuple(required)
    return schema


@functools.cache
def _shapes() -> dict[str, str]:
    text = resources.files(__package__).joinpath("shapes.txt").read_text(encoding="utf-8")
    shapes: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        if not line.startswith(" "):
            name, _, line = line.partition(" =")
            shapes[name] = ""
        shapes[name] += line
    return shapes


def shape_names() -> list[str]:
    return list(_shapes())


def _type(text: str) -> Schema:
    text = text.removesuffix("^")
    if text in _SCALARS:
        return Schema(_SCALARS[text])
    if text == "o":
        return ANYTHING
    if text.startswith("{"):
        return Schema("map", items=_type(text[1:].removesuffix("!")[:-1]), atomic=text.endswith("!"))
    if not text.startswith("["):
        return shape(text)
    inner, tilde, merge_key = text[1:-1].partition("~")
    inner, _, keys = inner.partition("|")
    schema = Schema("list", items=_type(inner))
    if keys == "*":
        schema.is_set = True
    elif keys:
        schema.keys = tuple(keys.split(","))
        schema.merge_key = schema.keys[0]
    if tilde:
        schema.merge_key = merge_key
    schema.atomic = not schema.keys and not schema.is_set
    return schema


# Custom kinds


def from_crd(node: Object, *, root: bool = False) -> Schema:
    """The tree of a structural schema (`openAPIV3Schema`). The root's apiVersion, kind and metadata are Kubernetes' own."""
    kind = node.get("type", "")
    schema = Schema("any", raw=node, nullable=bool(node.get("nullable")))
    if node.get("x-kubernetes-int-or-string"):
        schema.type = "int-or-string"
    elif kind == "array":
        schema.type = "list"
        schema.items = from_crd(node.get("items") or {})
        listed = node.get("x-kubernetes-list-type", "atomic")
        schema.atomic = listed == "atomic"
        schema.is_set = listed == "set"
        schema.keys = tuple(node.get("x-kubernetes-list-map-keys") or ()) if listed == "map" else ()
    elif kind in ("string", "integer", "number", "boolean"):
        schema.type = kind
    elif "properties" in node or kind == "object":
        _object(schema, node)
    schema.open = schema.open or bool(node.get("x-kubernetes-preserve-unknown-fields")) or schema.type == "any"
    schema.embedded = bool(node.get("x-kubernetes-embedded-resource")) or root
    if schema.embedded:
        schema.type = "struct"
        schema.properties = {
            **schema.properties,
            "apiVersion": Schema("string", nullable=False),
            "kind": Schema("string", nullable=False),
            "metadata": shape("ObjectMeta"),
        }
    schema.required = tuple(node.get("required") or ())
    return schema


def _object(schema: Schema, node: Object) -> None:
    schema.type = "struct"
    schema.atomic = node.get("x-kubernetes-map-type") == "atomic"
    schema.properties = {name: from_crd(child) for name, child in (node.get("properties") or {}).items()}
    values = node.get("additionalProperties")
    if isinstance(values, Mapping):
        schema.type = "map"
        schema.items = from_crd(dict(values))
    elif values is True:
        schema.open = True
