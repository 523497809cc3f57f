"""What each method does to an object: GET, POST, PUT, PATCH, DELETE as one short function each. Watches are in `watching.py`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import answers, scale
from .call import Call, object_of, parse_body, parse_document, read_body
from .errors import ApiError, FieldError, Invalid, conflict
from .patch import json_patch, merge_patch
from .protobuf import CONTENT_TYPE
from .resources import Object
from .schema import ANYTHING
from .store import Store
from .strategic import strategic_merge

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = ("application/apply-patch+yaml", "application/apply-patch+json")
# Kinds whose deletion answers with the object, not with a Status.
_RETURNED = frozenset({"pods", "services", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes", "nodes", "namespaces"})


class Verbs:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, call: Call) -> web.Response:
        item = self._store.get(call.resource.key, call.name, call.namespace)
        if call.subresource == "scale":
            return answers.respond(scale.scale_of(call.resource, item))
        return answers.one(call.request, call.resource, item, self._store.clock.epoch())

    async def list(self, call: Call) -> web.Response:
        self._fresh_enough(call)
        entries = self._store.entries(call.resource.key, call.namespace, call.selector)
        version, start = str(self._store.version), ("", "")
        if call.query.get("continue"):
            version, start = _parse_continue(call.query["continue"])
        limit = call.number("limit") or 0
        left = [entry for entry in entries if _place(entry.item) > start]
        page = left[:limit] if limit > 0 else left
        meta: Object = {"resourceVersion": version}
        if len(page) < len(left):
            meta["continue"] = _continue(version, _place(page[-1].item))
            if not call.selector:
                meta["remainingItemCount"] = len(left) - len(page)
        return answers.many(call.request, call.resource, page, meta, self._store.clock.epoch())

    def _fresh_enough(self, call: Call) -> None:
        """A list may ask for a resourceVersion: at least that one, or exactly it."""
        asked = call.number("resourceVersion")
        if not asked or call.query.get("continue"):
            return
        if asked > self._store.version:
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
            message = f"Timeout: Too large resource version: {asked}, current: {self._store.version}"
            raise ApiError(504, message, reason="Timeout", details=details)
        if call.query.get("resourceVersionMatch") == "Exact" and asked != self._store.version:
            raise ApiError(410, f"The provided resource version {asked} is too old", reason="Expired")

    async def create(self, call: Call) -> web.Response:
        item = object_of(await read_body(call), call, allow_yaml=_is_yaml(call))
        report = Report(call)
        made = self._store.create(call.resource.key, item, manager=call.manager, dry_run=call.dry_run, report=report.fields)
        return answers.one(call.request, call.resource, made, self._store.clock.epoch(), code=201, warnings=report.warnings)

    async def update(self, call: Call) -> web.Response:
        raw = await read_body(call)
        report = Report(call)
        if call.subresource == "scale":
            wanted = object_of(raw, call, allow_yaml=_is_yaml(call), kind="Scale", api_version="autoscaling/v1")
            report.fields(scale.unknown_fields(wanted))
            place = (call.name, call.namespace)
            body = scale.replace_scale(self._store, call.resource, place, wanted, manager=call.manager, dry_run=call.dry_run)
            return answers.respond(body, warnings=report.warnings)
        item = object_of(raw, call, allow_yaml=_is_yaml(call))
        kept = self._store.replace(
            call.resource.key,
            item,
            subresource=call.subresource,
            manager=call.manager,
            dry_run=call.dry_run,
            report=report.fields,
        )
        return answers.one(call.request, call.resource, kept, self._store.clock.epoch(), warnings=report.warnings)

    async def patch(self, call: Call) -> web.Response:
        kind = call.request.content_type
        if kind in APPLY:
            return await self._apply(call)
        allowed = [JSON, MERGE] if call.resource.custom else [JSON, MERGE, STRATEGIC]
        if kind not in allowed:
            told = ", ".join([*allowed, APPLY[0]])
            raise ApiError(415, f"the body of the request was in an unknown format - accepted media types include: {told}")
        raw = await read_body(call)
        try:
            patch = parse_document(raw, allow_yaml=False)
        except ApiError as error:
            raise ApiError(400, f"error decoding patch: {error.message}") from error
        if kind != JSON and not isinstance(patch, dict):
            raise ApiError(400, "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}")
        if call.subresource == "scale":
            return self._patch_scale(call, kind, patch)
        report = Report(call, patched=True)
        schema = call.resource.schema or ANYTHING
        change = _changer(kind, patch, lambda target: strategic_merge(schema, target, patch))
        item = self._store.patch(
            call.resource.key,
            call.name,
            call.namespace,
            lambda target: _same_object(call, target["metadata"]["uid"], change(target)),
            subresource=call.subresource,
            manager=call.manager,
            dry_run=call.dry_run,
            report=report.fields,
        )
        return answers.one(call.request, call.resource, item, self._store.clock.epoch(), warnings=report.warnings)

    def _patch_scale(self, call: Call, kind: str, patch: Any) -> web.Response:
        present = scale.scale_of(call.resource, self._store.get(call.resource.key, call.name, call.namespace))
        version = present["metadata"].pop("resourceVersion")
        wanted = _changer(kind, patch, lambda target: strategic_merge(ANYTHING, target, patch))(present)
        report = Report(call, patched=True)
        report.fields(scale.unknown_fields(wanted))
        # Unless the patch names one, only this very version is changed; nothing can come between, so it is no condition.
        wanted.setdefault("metadata", {}).setdefault("resourceVersion", version)
        place = (call.name, call.namespace)
        body = scale.replace_scale(self._store, call.resource, place, wanted, manager=call.manager, dry_run=call.dry_run)
        return answers.respond(body, warnings=report.warnings)

    async def _apply(self, call: Call) -> web.Response:
        if not call.query.get("fieldManager"):
            fault = FieldError("FieldValueRequired", "fieldManager", "is required for apply patch")
            raise Invalid("meta.k8s.io", "PatchOptions", "", [fault])
        raw = await read_body(call)
        force, place = call.flag("force"), (call.name, call.namespace)
        if call.subresource == "scale":
            wanted = object_of(raw, call, allow_yaml=True, kind="Scale", api_version="autoscaling/v1")
            body = scale.apply_scale(self._store, call.resource, place, wanted, manager=call.manager, force=force, dry_run=call.dry_run)
            return answers.respond(body)
        config = object_of(raw, call, allow_yaml=True)
        for word in ("apiVersion", "kind"):
            if not config.get(word):
                raise ApiError(400, f"error decoding patch: Object '{word.title()}' is missing")
        item, created = self._store.apply(
            call.resource.key, config, manager=call.manager, force=force, subresource=call.subresource, dry_run=call.dry_run
        )
        return answers.one(call.request, call.resource, item, self._store.clock.epoch(), code=201 if created else 200)

    async def delete(self, call: Call) -> web.Response:
        options = await _delete_options(call)
        deletion = _deletion(call, options)
        present = self._store.get(call.resource.key, call.name, call.namespace)
        _delete_conditions(call, present, options)
        item, gone = self._store.delete(call.resource.key, call.name, call.namespace, **deletion)
        if gone and call.resource.key not in _RETURNED:
            details = {"name": call.name, "group": call.resource.group, "kind": call.resource.plural, "uid": item["metadata"]["uid"]}
            details = {key: value for key, value in details.items() if value}
            return answers.respond({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
        return answers.respond(item)

    async def delete_collection(self, call: Call) -> web.Response:
        options = await _delete_options(call)
        deletion = _deletion(call, options)
        entries = self._store.entries(call.resource.key, call.namespace, call.selector)
        for entry in entries:
            meta = entry.item["metadata"]
            self._store.delete(call.resource.key, meta["name"], meta.get("namespace"), **deletion)
        return answers.many(call.request, call.resource, entries, {"resourceVersion": str(self._store.version)}, self._store.clock.epoch())


class Report:
    """What is done about fields that the kind does not know: refused, told or passed over, as `fieldValidation` says (default: told)."""

    def __init__(self, call: Call, *, patched: bool = False) -> None:
        self._call = call
        self._patched = patched
        self._mode = call.query.get("fieldValidation") or "Warn"
        if self._mode not in ("Strict", "Warn", "Ignore"):
            fault = FieldError("FieldValueNotSupported", "fieldValidation", 'supported values: "", "Ignore", "Strict", "Warn"', self._mode)
            raise Invalid("meta.k8s.io", "CreateOptions", "", [fault])
        self.warnings: list[str] = []

    def fields(self, unknown: list[str]) -> None:
        if not unknown or self._mode == "Ignore":
            return
        if self._mode == "Warn":
            self.warnings = unknown
            return
        why = "strict decoding error: " + ", ".join(unknown)
        resource = self._call.resource
        if self._patched:
            fault = FieldError("FieldValueInvalid", "patch", why, "")
            raise Invalid("", "", self._call.name, [fault])
        raise ApiError(400, f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def _same_object(call: Call, uid: str, item: Object) -> Object:
    """A patch may not name another uid (422, where a PUT gets 409)."""
    given = (item.get("metadata") or {}).get("uid")
    if given and given != uid:
        fault = FieldError("FieldValueInvalid", "metadata.uid", "field is immutable", given)
        raise Invalid(call.resource.group, call.resource.kind, call.name, [fault])
    return item


def _changer(kind: str, patch: Any, strategic: Callable[[Object], Any]) -> Callable[[Object], Object]:
    if kind == JSON:
        return lambda target: json_patch(target, patch)
    if kind == MERGE:
        return lambda target: merge_patch(target, patch)
    return strategic


def _is_yaml(call: Call) -> bool:
    kind = call.request.content_type
    if kind in ("application/yaml", "text/yaml", "application/x-yaml"):
        return True
    if kind not in ("application/json", "application/octet-stream", CONTENT_TYPE):
        told = f"application/json, application/yaml, {CONTENT_TYPE}"
        raise ApiError(415, f"the body of the request was in an unknown format - accepted media types include: {told}")
    return False


async def _delete_options(call: Call) -> Object:
    raw = await read_body(call)
    options: Object = {}
    if raw.strip():
        parsed = parse_body(raw, call.request, allow_yaml=True)
        if not isinstance(parsed, dict):
            raise ApiError(400, "DeleteOptions must be an object")
        options = parsed
    for name in ("propagationPolicy", "gracePeriodSeconds", "orphanDependents"):
        if name in call.query:
            options.setdefault(name, call.query[name])
    return options


def _deletion(call: Call, options: Object) -> dict[str, Any]:
    policy = options.get("propagationPolicy")
    if policy not in (None, "Background", "Foreground", "Orphan"):
        fault = FieldError(
            "FieldValueNotSupported", "propagationPolicy", 'supported values: "Foreground", "Background", "Orphan", "nil"', policy
        )
        raise Invalid("meta.k8s.io", "DeleteOptions", "", [fault])
    if policy is None and str(options.get("orphanDependents", "")).lower() == "true":
        policy = "Orphan"
    try:
        grace = None if options.get("gracePeriodSeconds") is None else int(options["gracePeriodSeconds"])
    except (TypeError, ValueError) as error:
        raise ApiError(400, "gracePeriodSeconds must be a number") from error
    dry_run = call.dry_run or options.get("dryRun") == ["All"]
    return {"grace_seconds": grace, "propagation": policy, "dry_run": dry_run}


def _delete_conditions(call: Call, present: Object, options: Object) -> None:
    asked, meta, resource = options.get("preconditions") or {}, present["metadata"], call.resource
    if asked.get("uid") and asked["uid"] != meta["uid"]:
        why = f"the UID in the precondition ({asked['uid']}) does not match the UID in record ({meta['uid']})."
        raise conflict(resource.group, resource.kind, call.name, why + " The object might have been deleted and then recreated")
    if asked.get("resourceVersion") and asked["resourceVersion"] != meta["resourceVersion"]:
        why = f"the ResourceVersion in the precondition ({asked['resourceVersion']}) does not match the ResourceVersion in record"
        raise conflict(resource.group, resource.kind, call.name, f"{why} ({meta['resourceVersion']}). The object might have been modified")


def _place(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace") or "", item["metadata"]["name"]


def _continue(version: str, place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *place]).encode()).decode()


def _parse_continue(text: str) -> tuple[str, tuple[str, str]]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error) as error:
        raise ApiError(400, "continue key is not valid") from error
    return str(version), (str(namespace), str(name))
