"""CustomResourceDefinitions: their own rules, and the kinds that they define.

One version is served and stored (the project's definitions have one); a definition with more is refused in so many words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import cel
from .decoding import decode
from .errors import ApiError, FieldError, Shown
from .history import Change
from .metadata import dns1035, dns_subdomain
from .podspec import required, supported
from .resources import Column, Object, Resource, Strategy
from .schema import Schema, from_crd
from .validation import apply_defaults, drop_nulls, validate

if TYPE_CHECKING:
    from .store import Store

KEY = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_AGE = Column(
    "Age", "date", ".metadata.creationTimestamp", "Custom resource definition column (in JSONPath format): .metadata.creationTimestamp"
)


class Custom(Strategy):
    """The rules of a custom kind are its schema's."""

    unconditional_update = False

    def __init__(self, schema: Schema, *, status: bool) -> None:
        self._schema = schema
        self._status = status

    def default(self, item: Object) -> None:
        drop_nulls(self._schema, item)
        apply_defaults(self._schema, item)

    def prepare_create(self, item: Object) -> None:
        if self._status:
            item.pop("status", None)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        from .strategies import keep_other_door

        if self._status:
            keep_other_door(new, old, subresource)

    def validate(self, item: Object) -> list[FieldError]:
        return validate(self._schema, item)

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return validate(self._schema, new, old)


class Definition(Strategy):
    """The rules of a definition itself."""

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind") or ""
        if kind:
            names.setdefault("singular", kind.lower())
            names.setdefault("listKind", kind + "List")
        spec.setdefault("conversion", {"strategy": "None"})
        for version in spec.get("versions") or ():
            for column in version.get("additionalPrinterColumns") or ():
                if not column.get("priority"):
                    column.pop("priority", None)

    def prepare_create(self, item: Object) -> None:
        # Served at once: this process has no other server that must learn of it.
        meta = item["metadata"]
        meta["finalizers"] = [*(meta.get("finalizers") or ()), *([] if CLEANUP in (meta.get("finalizers") or ()) else [CLEANUP])]
        self._establish(item, meta.get("creationTimestamp", ""))

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        from .strategies import keep_other_door

        keep_other_door(new, old, subresource)
        if not subresource:
            new["status"] = {**old.get("status", {}), "acceptedNames": new["spec"]["names"]}

    def _establish(self, item: Object, time: str) -> None:
        spec = item["spec"]
        conditions = [
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
        item["status"] = {
            "conditions": [
                {"type": name, "status": "True", "lastTransitionTime": time, "reason": reason, "message": message}
                for name, reason, message in conditions
            ],
            "acceptedNames": spec["names"],
            "storedVersions": [version["name"] for version in spec.get("versions") or () if version.get("storage")],
        }

    def validate(self, item: Object) -> list[FieldError]:
        spec = item["spec"]
        names, group = spec.get("names") or {}, spec.get("group") or ""
        faults: list[FieldError] = []
        if not group:
            faults.append(required("spec.group"))
        else:
            faults += dns_subdomain("spec.group", group)
        wanted = f"{names.get('plural', '')}.{group}"
        if item["metadata"].get("name") != wanted:
            why = 'must be spec.names.plural+"."+spec.group'
            faults.append(FieldError("FieldValueInvalid", "metadata.name", why, item["metadata"].get("name")))
        faults += supported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
        for word in ("plural", "singular", "kind", "listKind"):
            text = names.get(word) or ""
            faults += dns1035(f"spec.names.{word}", text.lower()) if text else [required(f"spec.names.{word}")]
        return faults + self._versions(spec.get("versions") or [])

    def _versions(self, versions: list[Object]) -> list[FieldError]:
        if len(versions) != 1:
            why = "this miniature API server serves definitions with exactly one version"
            return [FieldError("FieldValueInvalid", "spec.versions", why, Shown(str([version.get("name") for version in versions])))]
        version, path = versions[0], "spec.versions[0]"
        if not (version.get("served") and version.get("storage")):
            return [
                FieldError("FieldValueInvalid", "spec.versions", "must have exactly one version marked as storage version", Shown("null"))
            ]
        node = (version.get("schema") or {}).get("openAPIV3Schema")
        if not node:
            return [required(f"{path}.schema.openAPIV3Schema", "schemas are required")]
        if node.get("type") != "object":
            return [
                FieldError("FieldValueInvalid", f"{path}.schema.openAPIV3Schema.type", "must be object at the root", node.get("type", ""))
            ]
        return _structural(node, f"{path}.schema.openAPIV3Schema")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource:
            return []
        faults = self.validate(new)
        for field in ("group", "scope"):
            if new["spec"].get(field) != old["spec"].get(field):
                faults.append(FieldError("FieldValueInvalid", f"spec.{field}", "field is immutable", new["spec"].get(field)))
        return faults


def _structural(node: Object, path: str, *, root: bool = True) -> list[FieldError]:
    """What makes a schema structural, so far as a mistake in ours would show only on a cluster."""
    faults: list[FieldError] = []
    kind = node.get("type")
    if not kind and not node.get("x-kubernetes-int-or-string") and not node.get("x-kubernetes-preserve-unknown-fields"):
        faults.append(required(f"{path}.type", "must not be empty for specified object fields" if not root else ""))
    if kind == "array" and not node.get("items"):
        faults.append(required(f"{path}.items", "must be specified"))
    if "properties" in node and node.get("additionalProperties"):
        why = "additionalProperties and properties are mutual exclusive"
        faults.append(FieldError("FieldValueForbidden", f"{path}.additionalProperties", why))
    if "pattern" in node:
        try:
            re.compile(node["pattern"])
        except re.error as error:
            faults.append(
                FieldError(
                    "FieldValueInvalid", f"{path}.pattern", f"must be a valid regular expression, but isn't: {error}", node["pattern"]
                )
            )
    if node.get("x-kubernetes-list-type") == "map":
        faults += _list_map(node, path)
    for index, rule in enumerate(node.get("x-kubernetes-validations") or ()):
        for word in ("rule", "messageExpression"):
            if rule.get(word):
                try:
                    cel.compiled(rule[word])
                except cel.BadRule as error:
                    where = f"{path}.x-kubernetes-validations[{index}].{word}"
                    faults.append(FieldError("FieldValueInvalid", where, f"compilation failed: {error}", rule[word]))
    if "default" in node and not faults:
        schema = from_crd(node)
        for fault in validate(schema, _copy(node["default"])):
            faults.append(
                FieldError("FieldValueInvalid", f"{path}.default{'.' + fault.field if fault.field else ''}", fault.detail, fault.value)
            )
    for name, child in (node.get("properties") or {}).items():
        if root and name in ("metadata", "apiVersion", "kind"):
            continue
        faults += _structural(child, f"{path}.properties[{name}]", root=False)
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), dict):
            faults += _structural(node[word], f"{path}.{word}", root=False)
    return faults


def _list_map(node: Object, path: str) -> list[FieldError]:
    keys = node.get("x-kubernetes-list-map-keys") or []
    if not keys:
        return [required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")]
    items = node.get("items") or {}
    faults = []
    for index, key in enumerate(keys):
        if key not in (items.get("properties") or {}):
            why = f'entries must all be names of item properties, and "{key}" is not'
            faults.append(FieldError("FieldValueInvalid", f"{path}.x-kubernetes-list-map-keys[{index}]", why, key))
        elif key not in (items.get("required") or ()) and "default" not in items["properties"][key]:
            where = f"{path}.items.properties[{key}].default"
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            faults.append(required(where, why))
    return faults


def _copy(value: Object) -> Object:
    import json

    copied: Object = json.loads(json.dumps(value))
    return copied


def resource_of(definition: Object) -> Resource:
    """The kind that a definition serves."""
    spec = definition["spec"]
    version, names = spec["versions"][0], spec["names"]
    subresources = version.get("subresources") or {}
    schema = from_crd(version["schema"]["openAPIV3Schema"], root=True)
    scale = subresources.get("scale")
    columns = tuple(
        Column(
            item["name"],
            item["type"],
            item["jsonPath"],
            item.get("description") or f"Custom resource definition column (in JSONPath format): {item['jsonPath']}",
            item.get("format", ""),
            int(item.get("priority") or 0),
        )
        for item in version.get("additionalPrinterColumns") or ()
    )
    fields = tuple(item["jsonPath"].lstrip(".") for item in version.get("selectableFields") or ())
    return Resource(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        status="status" in subresources,
        scale=(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath")) if scale else None,
        fields=("metadata.name", "metadata.namespace", *fields),
        columns=columns or (_AGE,),
        strategy=Custom(schema, status="status" in subresources),
        schema=schema,
        custom=True,
    )


class CustomKinds:
    """Keeps the registry equal to the stored definitions; a deleted definition takes its objects along."""

    def __init__(self, store: Store) -> None:
        self._store = store
        for entry in store.entries(KEY):
            store.registry.add(resource_of(entry.item))
        store.observers.append(self._changed)

    def _changed(self, change: Change) -> None:
        if change.key == KEY:
            item = change.entry.item
            if change.type == "DELETED":
                self._store.registry.remove(item["metadata"]["name"])
                return
            if change.before is None or change.before.item["spec"] != item["spec"]:
                self._store.registry.add(resource_of(item))
            if "deletionTimestamp" in item["metadata"]:
                self._empty(item["metadata"]["name"])
        elif change.type == "DELETED":
            definition = self._store.entry(KEY, change.key)
            if definition is not None and "deletionTimestamp" in definition.item["metadata"]:
                self._empty(change.key)

    def _empty(self, key: str) -> None:
        for entry in self._store.entries(key):
            meta = entry.item["metadata"]
            if "deletionTimestamp" not in meta:
                self._store.delete(key, meta["name"], meta.get("namespace"))
        definition = self._store.find(KEY, key)
        if self._store.entries(key) or definition is None:
            return
        kept = [word for word in definition["metadata"].get("finalizers") or () if word != CLEANUP]
        if len(kept) != len(definition["metadata"].get("finalizers") or ()):
            self._store.patch(KEY, key, None, {"metadata": {"finalizers": kept}})


def install(store: Store, definition: Object) -> None:
    """Create a definition, or bring the present one up to date (the project's own, at start)."""
    item: Object = _copy(definition)
    decode(store.registry.get(KEY), item)
    present = store.find(KEY, item["metadata"]["name"])
    if present is None:
        store.create(KEY, item, manager="moltbot")
        return
    try:
        store.patch(KEY, item["metadata"]["name"], None, lambda old: {**old, "spec": item["spec"]}, manager="moltbot")
    except ApiError as error:
        raise ApiError(error.code, f"{item['metadata']['name']}: {error.message}", reason=error.reason) from error


__all__ = ["CLEANUP", "KEY", "Custom", "CustomKinds", "Definition", "install", "resource_of"]
