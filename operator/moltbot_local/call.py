"""A request understood: which kind, which object, with which options. No I/O but reading the body."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from . import protobuf
from .errors import ApiError, FieldError, Invalid
from .resources import Object, Registry, Resource
from .selectors import EVERYTHING, Selector, parse_selector
from .users import User
from .yaml_documents import load_document

_SUBRESOURCES = frozenset({"status", "scale", "log", "finalize"})
# Words before the version that kubectl and client-go put into their User-Agent.
_AGENT = re.compile(r"[^/ ]+")
MANAGER_LENGTH = 128


@dataclass(frozen=True)
class Call:
    request: web.Request
    user: User
    resource: Resource
    namespace: str | None  # None: of all namespaces, or a cluster-wide kind
    name: str
    subresource: str

    @property
    def query(self) -> Any:
        return self.request.query

    def flag(self, name: str) -> bool:
        """A boolean option; malformed text is refused as Go's parser refuses it."""
        text = self.request.query.get(name, "")
        if text.lower() in ("1", "t", "true"):
            return True
        if text.lower() in ("", "0", "f", "false"):
            return False
        raise ApiError(400, f'strconv.ParseBool: parsing "{text}": invalid syntax')

    def number(self, name: str) -> int | None:
        text = self.request.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise ApiError(400, f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    @property
    def dry_run(self) -> bool:
        value = self.request.query.get("dryRun", "")
        if value not in ("", "All"):
            fault = FieldError("FieldValueNotSupported", "dryRun", 'supported values: "All"', value)
            raise Invalid("meta.k8s.io", "CreateOptions", "", [fault])
        return value == "All"

    @property
    def manager(self) -> str:
        """The field manager: the caller's word, else its User-Agent up to the version."""
        named = self.request.query.get("fieldManager", "")
        if len(named) > MANAGER_LENGTH:
            fault = FieldError("FieldValueTooLong", "fieldManager", f"may not be more than {MANAGER_LENGTH} bytes", named)
            raise Invalid("meta.k8s.io", "PatchOptions", "", [fault])
        if named:
            return named
        agent = _AGENT.match(self.request.headers.get("User-Agent", ""))
        return agent[0][:MANAGER_LENGTH] if agent else "unknown"

    @property
    def selector(self) -> Selector:
        labels, fields = self.request.query.get("labelSelector", ""), self.request.query.get("fieldSelector", "")
        chosen = parse_selector(labels, fields, self.resource.fields, custom=self.resource.custom) if labels or fields else EVERYTHING
        if not self.name:
            return chosen
        # A watch or list of one object by its path.
        return Selector(chosen.labels, (*chosen.fields, ("metadata.name", True, self.name)))


def find_resource(registry: Registry, group: str, version: str, plural: str) -> Resource | None:
    resource = registry.find(f"{plural}.{group}" if group else plural)
    return resource if resource is not None and resource.version == version else None


def parse_path(registry: Registry, path: str) -> tuple[Resource, str | None, str, str] | None:
    """(kind, namespace, name, subresource) of a path below /api or /apis; None when there is no such thing."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in _SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    resource = find_resource(registry, group, version, rest[0])
    if resource is None or len(rest) > 3 or (namespace is not None and not resource.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if name and resource.namespaced and namespace is None:
        return None
    if subresource and not has_subresource(resource, subresource):
        return None
    return resource, namespace, name, subresource


def has_subresource(resource: Resource, name: str) -> bool:
    match name:
        case "status":
            return resource.status
        case "scale":
            return resource.scale is not None
        case "log":
            return resource.key == "pods"
        case "finalize":
            return resource.key == "namespaces"
    return False


def parse_document(raw: bytes, *, allow_yaml: bool) -> Any:
    """JSON, or YAML where the content type says so. Raises ApiError 400."""
    try:
        return json.loads(raw, parse_constant=_not_a_number)
    except ValueError as error:
        if not allow_yaml:
            text = raw.decode(errors="replace")
            why = "unexpected end of JSON input" if not text.strip() or text.strip() in "{[" else str(error)
            raise ApiError(400, f"couldn't get version/kind; json parse error: {why}") from error
    try:
        loaded = load_document(raw)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ApiError(400, f"error decoding YAML: {error}") from error
    return _json_only(loaded)


def _not_a_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _json_only(value: Any) -> Any:
    match value:
        case dict():
            if not all(isinstance(key, (str, int, bool, float)) for key in value):
                raise ApiError(400, "error decoding YAML: a key is not a string")
            return {key if isinstance(key, str) else json.dumps(key): _json_only(item) for key, item in value.items()}
        case list():
            return [_json_only(item) for item in value]
        case float() if not math.isfinite(value):
            raise ApiError(400, "error decoding YAML: a number is not finite")
        case None | bool() | int() | float() | str():
            return value
    raise ApiError(400, f"error decoding YAML: {type(value).__name__} is not JSON")


async def read_body(call: Call) -> bytes:
    return await call.request.read()


def parse_body(raw: bytes, request: web.Request, *, allow_yaml: bool) -> Any:
    """The document of a request in whatever form it came. Raises ApiError 400."""
    if request.content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode(raw)
    return parse_document(raw, allow_yaml=allow_yaml)


def object_of(raw: bytes, call: Call, *, allow_yaml: bool, kind: str = "", api_version: str = "") -> Object:
    """The object that a request carries, its kind and place checked against the path."""
    resource = call.resource
    wanted_kind, wanted_version = kind or resource.kind, api_version or resource.api_version
    custom = resource.custom and not kind
    try:
        item = parse_body(raw, call.request, allow_yaml=allow_yaml)
    except ApiError as error:
        raise _unrecognized(wanted_kind, raw, error.message) if custom and error.code == 400 else error from error
    if not isinstance(item, dict):
        raise ApiError(400, f"the object provided is unrecognized (must be of type {wanted_kind}): not an object")
    if custom and not item.get("kind"):
        raise _unrecognized(wanted_kind, raw, f"Object 'Kind' is missing in '{raw.decode(errors='replace')}'")
    if item.get("apiVersion", wanted_version) != wanted_version:
        why = f"the API version in the data ({item['apiVersion']}) does not match the expected API version ({wanted_version})"
        raise ApiError(400, why)
    if item.get("kind", wanted_kind) != wanted_kind:
        if custom:
            fault = FieldError("FieldValueInvalid", "kind", f"must be {wanted_kind}", item["kind"])
            raise Invalid(resource.group, str(item["kind"]), str((item.get("metadata") or {}).get("name", "")), [fault])
        version = resource.version
        why = f'no kind "{item["kind"]}" is registered for version "{wanted_version}"'
        raise ApiError(400, f'{wanted_kind} in version "{version}" cannot be handled as a {wanted_kind}: {why}')
    meta = item.setdefault("metadata", {}) or {}
    if not isinstance(meta, dict):
        raise ApiError(
            400, f'{wanted_kind} in version "{resource.version}" cannot be handled as a {wanted_kind}: metadata is not an object'
        )
    item["metadata"] = meta
    if resource.namespaced:
        if meta.get("namespace") not in (None, "", call.namespace):
            raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")
        meta["namespace"] = call.namespace
    if call.name and meta.get("name") not in (None, "", call.name):
        raise ApiError(400, f"the name of the object ({meta['name']}) does not match the name on the URL ({call.name})")
    if call.name:
        meta["name"] = call.name
    return item


def _unrecognized(kind: str, raw: bytes, why: str) -> ApiError:
    text = raw.decode(errors="replace")
    shown = text if len(text) < 30 else text[:30] + " ..."
    return ApiError(400, f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})")
