"""OpenAPI v3, as far as kubectl reads it: which kinds can be patched with `fieldValidation`, and what `kubectl explain` prints.

Built-in kinds are described by their shapes (names and types, no prose); custom kinds by their definitions, with their descriptions.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .resources import Object, Registry, Resource
from .schema import Schema, shape, shape_names
from .store import encode

_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "integer": {"type": "integer", "format": "int64"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "quantity": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "int-or-string": {"x-kubernetes-int-or-string": True},
    "any": {"type": "object"},
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def index(registry: Registry) -> Object:
    paths = {}
    for group, version in sorted({(resource.group, resource.version) for resource in registry}):
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        digest = hashlib.sha256(encode(document(registry, group, version) or {})).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Object | None:
    served = [resource for resource in registry if resource.group == group and resource.version == version]
    if not served:
        return None
    schemas: Object = {}
    paths: Object = {}
    if any(not resource.custom for resource in served):
        schemas = {_shape_name(name): _shape(name) for name in shape_names()}
    else:
        for name in ("ObjectMeta", "OwnerReference", "ManagedFieldsEntry"):
            schemas[_shape_name(name)] = _shape(name)
    for resource in served:
        name = schema_name(resource)
        schemas[name] = _described(resource)
        paths |= _paths(resource, name)
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def schema_name(resource: Resource) -> str:
    if resource.custom:
        return f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"
    return f"io.k8s.api.{resource.group.partition('.')[0] or 'core'}.{resource.version}.{resource.kind}"


def _shape_name(name: str) -> str:
    return _META if name == "ObjectMeta" else f"io.k8s.shape.{name}"


def _shape(name: str) -> Object:
    return _struct(shape(name))


def _struct(schema: Schema) -> Object:
    body: Object = {"type": "object"}
    if schema.properties:
        body["properties"] = {field: _node(child) for field, child in schema.properties.items()}
    if schema.required:
        body["required"] = list(schema.required)
    return body


def _node(schema: Schema) -> Object:
    match schema.type:
        case "struct":
            return {"allOf": [{"$ref": f"#/components/schemas/{_shape_name(schema.name)}"}]}
        case "map":
            return {"type": "object", "additionalProperties": _node(schema.items or Schema("any"))}
        case "list":
            body: Object = {"type": "array", "items": _node(schema.items or Schema("any"))}
            if schema.keys:
                body |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(schema.keys)}
            if schema.merge_key:
                body |= {"x-kubernetes-patch-merge-key": schema.merge_key, "x-kubernetes-patch-strategy": "merge"}
            return body
    return dict(_SCALARS[schema.type])


def _described(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    common: Object = {
        "apiVersion": {
            "type": "string",
            "description": "APIVersion defines the versioned schema of this representation of an object.",
        },
        "kind": {"type": "string", "description": "Kind is a string value representing the REST resource this object represents."},
    }
    if resource.custom and resource.schema is not None:
        body: Object = dict(resource.schema.raw)
        meta = {"description": "Standard object's metadata.", "allOf": [{"$ref": f"#/components/schemas/{_META}"}]}
        body["properties"] = {**(body.get("properties") or {}), **common, "metadata": meta}
    else:
        body = _shape(resource.kind)
        body["properties"] = {**common, **(body.get("properties") or {})}
    return {**body, "x-kubernetes-group-version-kind": [kind]}


def _paths(resource: Resource, name: str) -> Object:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if resource.namespaced:
        root += "/namespaces/{namespace}"
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    validation = {
        "name": "fieldValidation",
        "in": "query",
        "description": "what is done about unknown fields: Ignore, Warn or Strict",
        "schema": {"type": "string", "uniqueItems": True},
    }
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}

    def operation(action: str, parameters: list[Any]) -> Object:
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": parameters,
            "responses": answer,
        }

    one = {"get": operation("get", []), "put": operation("put", [validation]), "patch": operation("patch", [validation])}
    one["delete"] = operation("delete", [])
    types = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
    one["patch"]["requestBody"] = {"content": {kind: {"schema": {"type": "object"}} for kind in types}}
    every = {"get": operation("list", []), "post": operation("post", [validation])}
    return {f"{root}/{resource.plural}": every, f"{root}/{resource.plural}/{{name}}": one}
