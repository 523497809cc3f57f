"""The shapes of built-in kinds, compared with the OpenAPI documents of a real API server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from moltbot_local.schema import Schema, shape, shape_names
from tests.contract.client import from_kubeconfig

pytestmark = pytest.mark.cluster
GROUPS: tuple[str, ...] = (
    "api/v1",
    "apis/apps/v1",
    "apis/batch/v1",
    "apis/networking.k8s.io/v1",
    "apis/storage.k8s.io/v1",
    "apis/coordination.k8s.io/v1",
)
GROUPS += ("apis/events.k8s.io/v1", "apis/apiextensions.k8s.io/v1")
RENAMED = {"EventsEvent": "io.k8s.api.events.v1.Event", "EventsEventSeries": "io.k8s.api.events.v1.EventSeries"}
SCALARS = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


async def test_every_shape_is_that_of_a_real_server() -> None:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    real: dict[str, Any] = {}
    async with from_kubeconfig(Path(os.environ["KUBECONFIG"])) as client:
        for group in GROUPS:
            real |= (await client.get(f"/openapi/v3/{group}")).ok()["components"]["schemas"]
    wrong: list[str] = []
    for name in shape_names():
        full = RENAMED.get(name) or next((key for key in real if key.rsplit(".", 1)[1] == name and "events.v1" not in key), "")
        if not full:
            wrong.append(f"{name}: no such type")
            continue
        wrong += compare(name, shape(name), real[full])
    assert wrong == []


def compare(name: str, ours: Schema, theirs: Any) -> list[str]:
    found = []
    fields = {key for key in theirs.get("properties", {}) if not (key in ("apiVersion", "kind") and "metadata" in theirs["properties"])}
    if missing := fields - set(ours.properties):
        found.append(f"{name}: without {sorted(missing)}")
    if extra := set(ours.properties) - fields:
        found.append(f"{name}: with {sorted(extra)}")
    if ours.atomic != (theirs.get("x-kubernetes-map-type") == "atomic"):
        found.append(f"{name}: atomic {ours.atomic}")
    for key in fields & set(ours.properties):
        if problem := difference(ours.properties[key], theirs["properties"][key]):
            found.append(f"{name}.{key}: {problem}")
    return found


def difference(ours: Schema, theirs: Any) -> str:
    if ours.type == "any":
        return ""
    reference = (theirs.get("allOf") or [theirs])[0].get("$ref", "").rsplit(".", 1)[-1]
    if reference:
        expected = {"Quantity": "quantity", "IntOrString": "int-or-string", "Time": "time", "MicroTime": "time"}.get(reference, "struct")
        return "" if ours.type == expected else f"{ours.type} is {reference}"
    if ours.type == "list":
        kind = theirs.get("x-kubernetes-list-type", "atomic")
        ours_kind = "map" if ours.keys else "set" if ours.is_set else "atomic"
        if theirs.get("type") != "array" or kind != ours_kind:
            return f"a list of kind {ours_kind} is {theirs.get('type')} {kind}"
        keys = tuple(theirs.get("x-kubernetes-list-map-keys", ()))
        return "" if keys == ours.keys else f"keys {ours.keys} are {keys}"
    if ours.type == "map":
        return "" if theirs.get("type") == "object" else f"a map is {theirs.get('type')}"
    if ours.type in SCALARS:
        return "" if theirs.get("type") == SCALARS[ours.type] else f"{ours.type} is {theirs.get('type')}"
    return ""
