"""What goes back: objects, lists, tables and refusals as HTTP responses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import web

from .errors import ApiError
from .history import Entry
from .resources import Object, Resource
from .store import encode
from .table import table

_JSON = "application/json"


def wanted(request: web.Request) -> str:
    """`table`, `metadata` or `object`: what the Accept header asks for first."""
    for option in request.headers.get("Accept", "").split(","):
        text = option.replace(" ", "")
        if not text.startswith(("application/json", "*/*")):
            continue
        if "as=Table" in text and "g=meta.k8s.io" in text:
            return "table"
        if "as=PartialObjectMetadata" in text and "g=meta.k8s.io" in text:
            return "metadata"
        return "object"
    return "object"


def respond(body: bytes | Object, code: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    raw = body if isinstance(body, bytes) else encode(body)
    response = web.Response(body=raw, status=code, content_type=_JSON)
    for warning in warnings:
        response.headers.add("Warning", f"299 - {json.dumps(warning, ensure_ascii=False)}")
    return response


def refuse(error: ApiError) -> web.Response:
    response = respond(error.status(), error.code)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def metadata_only(item: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def one(
    request: web.Request, resource: Resource, item: Object, now: float, *, code: int = 200, warnings: Sequence[str] = ()
) -> web.Response:
    match wanted(request):
        case "table":
            meta = {"resourceVersion": item["metadata"].get("resourceVersion", "")}
            return respond(table(resource, [item], meta, now, request.query.get("includeObject", "Metadata")), code, warnings)
        case "metadata":
            return respond(metadata_only(item), code, warnings)
    return respond(item, code, warnings)


def many(request: web.Request, resource: Resource, entries: Sequence[Entry], meta: Object, now: float) -> web.Response:
    match wanted(request):
        case "table":
            items = [entry.item for entry in entries]
            return respond(table(resource, items, meta, now, request.query.get("includeObject", "Metadata")))
        case "metadata":
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            bodies = [encode(metadata_only(entry.item)) for entry in entries]
        case _:
            kind, version = resource.kind + "List", resource.api_version
            bodies = [entry.encoded for entry in entries]
    head = json.dumps({"kind": kind, "apiVersion": version, "metadata": meta}, separators=(",", ":"))[:-1].encode()
    return respond(head + b',"items":[' + b",".join(bodies) + b"]}")
