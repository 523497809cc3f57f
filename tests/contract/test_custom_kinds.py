"""Custom kinds: what their schemas refuse, fill in, drop; status apart from spec. Messages to the letter, for people read them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.client import MERGE, STRATEGIC, Client
from tests.contract.widgets import API_VERSION, WIDGETS, widget

NOT_CHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
# name → (spec, the faults in the order in which any server lists them for one fault, else sorted)
FAULTS: dict[str, tuple[Any, list[str]]] = {
    "required": ({}, ["spec.mode: Required value", NOT_CHECKED]),
    "enum": ({"mode": "C"}, ['spec.mode: Unsupported value: "C": supported values: "A", "B"', NOT_CHECKED]),
    "types": (
        {"mode": 3, "a": "x", "b": "true"},
        [
            'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"',
            'spec.mode: Invalid value: "integer": spec.mode in body must be of type string: "integer"',
            'spec.mode: Unsupported value: 3: supported values: "A", "B"',
            'spec.b: Invalid value: "string": spec.b in body must be of type boolean: "string"',
            NOT_CHECKED,
        ],
    ),
    "minimum": ({"mode": "A", "a": -1}, ["spec.a: Invalid value: -1: spec.a in body should be greater than or equal to 0"]),
    "maximum and rule": (
        {"mode": "A", "a": 101},
        ["spec.a: Invalid value: 101: spec.a in body should be less than or equal to 100", "spec.a: Forbidden: a is too big"],
    ),
    "rule with field": ({"mode": "A", "a": 95}, ["spec.a: Forbidden: a is too big"]),
    "too short": ({"mode": "A", "s": "a"}, ['spec.s: Invalid value: "a": spec.s in body should be at least 2 chars long']),
    "too long": ({"mode": "A", "s": "abcdef"}, ["spec.s: Too long: may not be more than 5 bytes", NOT_CHECKED]),
    "too short, and not the pattern": (
        {"mode": "A", "s": "A"},
        ['spec.s: Invalid value: "A": spec.s in body should be at least 2 chars long'],
    ),
    "pattern": ({"mode": "A", "s": "A1"}, ["spec.s: Invalid value: \"A1\": spec.s in body should match '^[a-z]+$'"]),
    "pattern and newline": ({"mode": "A", "s": "ab\n"}, ["spec.s: Invalid value: \"ab\\n\": spec.s in body should match '^[a-z]+$'"]),
    "too few": ({"mode": "A", "l": []}, ["spec.l: Invalid value: 0: spec.l in body should have at least 1 items"]),
    "too many": ({"mode": "A", "l": ["a", "b", "c"]}, ["spec.l: Too many: 3: must have at most 2 items", NOT_CHECKED]),
    "time": (
        {"mode": "A", "t": "yesterday"},
        ['spec.t: Invalid value: "yesterday": spec.t in body must be of type date-time: "yesterday"', NOT_CHECKED],
    ),
    "duplicates": (
        {"mode": "A", "m": [{"name": "a"}, {"name": "a"}], "st": ["a", "a"]},
        ['spec.m[1]: Duplicate value: {"name":"a"}', 'spec.st[1]: Duplicate value: "a"'],
    ),
    "no key": ({"mode": "A", "m": [{"v": 1}]}, ["spec.m[0].name: Required value", NOT_CHECKED]),
    "int or string": (
        {"mode": "A", "io": True},
        ['spec.io: Invalid value: "boolean": spec.io in body must be of type integer,string: "boolean"', NOT_CHECKED],
    ),
    "map too big": ({"mode": "A", "mp": {"a": "1", "b": "2"}}, ["spec.mp: Too many: 2: must have at most 1 item", NOT_CHECKED]),
    "map value": (
        {"mode": "A", "mp": {"a": 1}},
        ['spec.mp.a: Invalid value: "integer": spec.mp.a in body must be of type string: "integer"', NOT_CHECKED],
    ),
    "multiple": ({"mode": "A", "n": 3}, ["spec.n: Invalid value: 3: spec.n in body should be a multiple of 2"]),
    "null where none may be": ({"mode": None, "nl": None, "s": None}, ["spec.mode: Required value", NOT_CHECKED]),
    "rule that fails to run": (
        {"mode": "A", "e": {}},
        ['spec: Invalid value: "object": no such key: x evaluating rule: !has(self.e) || self.e.x > 1'],
    ),
    "rule of a number": ({"mode": "A", "e": {"x": 2, "y": 7}}, ["spec.e.y: Invalid value: 7: failed rule: self != 7"]),
    "spec of a wrong type": ("text", ['spec: Invalid value: "string": spec in body must be of type object: "string"', NOT_CHECKED]),
}


async def test_what_the_schema_refuses_is_told_to_the_letter(client: Client, widgets: str) -> None:
    """422 by schema; one request each, so that a difference names its case."""
    for case, (spec, expected) in FAULTS.items():
        status = (await client.create(widgets, widget(spec=spec), dryRun="All")).refused(422, "Invalid")
        told = status["message"].removeprefix('Widget.contract.moltbot.test "w" is invalid: ')
        got = sorted(f"{cause['field']}: {cause['message']}" for cause in status["details"]["causes"])
        assert got == sorted(expected), case
        assert told == (expected[0] if len(expected) == 1 else told), case
        assert status["details"]["kind"] == "Widget"
        assert status["details"]["group"] == WIDGETS.group


async def test_defaults_are_filled_in_and_nulls_count_as_left_out(client: Client, widgets: str) -> None:
    made = (await client.create(widgets, widget(spec={"mode": "A", "fixed": None, "nl": None}))).ok()
    assert made["spec"] == {"mode": "A", "fixed": "f", "nl": None, "d": {"k": "v", "j": 3}}
    other = (await client.create(widgets, widget("x", {"mode": "A", "d": {}}))).ok()
    assert other["spec"]["d"] == {"j": 3}


async def test_unknown_fields_are_dropped_told_or_refused(client: Client, widgets: str) -> None:
    item = widget(spec={"mode": "A", "zz": 1, "m": [{"name": "a", "q": 1}], "free": {"x": {"y": 1}}})
    warned = await client.create(widgets, item, dryRun="All")
    assert warned.ok()["spec"] == {"mode": "A", "fixed": "f", "d": {"k": "v", "j": 3}, "m": [{"name": "a"}], "free": {"x": {"y": 1}}}
    assert sorted(warned.warnings) == ['299 - "unknown field \\"spec.m[0].q\\""', '299 - "unknown field \\"spec.zz\\""']
    ignored = await client.create(widgets, item, dryRun="All", fieldValidation="Ignore")
    assert ignored.ok()["spec"] == warned.body["spec"]
    assert ignored.warnings == []
    strict = (await client.create(widgets, item, dryRun="All", fieldValidation="Strict")).refused(400, "BadRequest")
    assert strict["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.m[0].q", unknown field "spec.zz"'
    )
    meta = widget(lbels={"a": "b"})
    strict = (await client.create(widgets, meta, dryRun="All", fieldValidation="Strict")).refused(400)
    assert 'unknown field "metadata.lbels"' in strict["message"]
    wrong = (await client.create(widgets, widget(labels={"a": 1}))).refused(400)
    assert wrong["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: '
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


async def test_status_and_spec_have_doors_of_their_own(client: Client, widgets: str) -> None:
    """Status isolation, and which writes raise the generation."""
    made = (await client.create(widgets, {**widget(), "status": {"phase": "no"}})).ok()
    assert "status" not in made
    path = f"{widgets}/w"
    patched = (
        await client.patch(f"{path}/status", {"status": {"phase": "yes"}, "spec": {"mode": "B"}, "metadata": {"labels": {"q": "r"}}})
    ).ok()
    assert patched["status"] == {"phase": "yes"}
    assert patched["spec"]["mode"] == "A"
    assert "labels" not in patched["metadata"]
    assert patched["metadata"]["generation"] == 1
    patched = (await client.patch(path, {"status": {"phase": "no"}, "spec": {"mode": "B"}})).ok()
    assert patched["status"] == {"phase": "yes"}
    assert patched["spec"]["mode"] == "B"
    assert patched["metadata"]["generation"] == 2
    labelled = (await client.patch(path, {"metadata": {"labels": {"a": "b"}}})).ok()
    assert labelled["metadata"]["generation"] == 2
    replaced = (await client.put(f"{path}/status", {**labelled, "status": {"phase": "put"}, "spec": {"mode": "A"}})).ok()
    assert (replaced["status"], replaced["spec"]["mode"]) == ({"phase": "put"}, "B")


async def test_transition_rules_compare_with_what_was(client: Client, widgets: str) -> None:
    await client.create(widgets, widget())
    status = (await client.patch(f"{widgets}/w", {"spec": {"fixed": "g"}})).refused(422)
    assert status["message"] == 'Widget.contract.moltbot.test "w" is invalid: spec: Invalid value: fixed is immutable'
    assert status["details"]["causes"] == [{"reason": "FieldValueInvalid", "message": "Invalid value: fixed is immutable", "field": "spec"}]
    # Removing it brings the default back, which is what was.
    assert (await client.patch(f"{widgets}/w", {"spec": {"fixed": None}})).ok()["spec"]["fixed"] == "f"


async def test_what_kind_of_document_a_custom_kind_takes(client: Client, widgets: str) -> None:
    accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    await client.create(widgets, widget())
    for kind in (STRATEGIC, "text/plain"):
        status = (await client.patch(f"{widgets}/w", {"metadata": {"labels": {"a": "b"}}}, kind)).refused(415, "UnsupportedMediaType")
        assert status["message"] == f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    status = (await client.create(widgets, {**widget("y"), "apiVersion": "contract.moltbot.test/v2"})).refused(400)
    assert status["message"] == (
        "the API version in the data (contract.moltbot.test/v2) does not match the expected API version (contract.moltbot.test/v1)"
    )
    status = (await client.create(widgets, {**widget("y"), "kind": "Widgets"})).refused(422)
    assert status["message"] == 'Widgets.contract.moltbot.test "y" is invalid: kind: Invalid value: "Widgets": must be Widget'
    status = (await client.create(widgets, {"metadata": {"name": "y"}})).refused(400)
    assert "Object 'Kind' is missing in" in status["message"]
    status = (await client.create(widgets, "{")).refused(400)
    assert "unexpected end of JSON input" in status["message"]
    yaml = f"apiVersion: {API_VERSION}\nkind: Widget\nmetadata: {{name: yam}}\nspec: {{mode: A, s: abc}}\n"
    assert (await client.call("POST", widgets, yaml, content_type="application/yaml")).ok()["spec"]["s"] == "abc"


async def test_an_unconditional_put_is_refused(client: Client, widgets: str) -> None:
    await client.create(widgets, widget())
    status = (await client.put(f"{widgets}/w", widget())).refused(422)
    assert status["message"] == (
        'widgets.contract.moltbot.test "w" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
    )


async def test_old_faults_of_unchanged_parts_are_tolerated(client: Client, widgets: str) -> None:
    """Ratcheting: a tightened schema does not lock what is stored."""
    await client.create(widgets, widget(spec={"mode": "A", "a": 5}))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.contract.moltbot.test"
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/maximum"
    if not client.local:
        pytest.skip("the definition is shared with other tests on a cluster")
    (await client.patch(path, [{"op": "replace", "path": field, "value": 3}], "application/json-patch+json")).ok()
    assert (await client.patch(f"{widgets}/w", {"spec": {"mode": "B"}})).ok()["spec"]["a"] == 5
    (await client.patch(f"{widgets}/w", {"spec": {"a": 4}}, MERGE)).refused(422)
    assert (await client.patch(f"{widgets}/w", {"spec": {"a": 2}})).ok()["spec"]["a"] == 2


async def test_a_definition_with_a_mistake_is_refused(client: Client) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    from tests.contract.widgets import definition

    base = definition()
    base["spec"]["group"] = "other.moltbot.test"
    base["metadata"]["name"] = "widgets.other.moltbot.test"
    spec = base["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    async def refused(word: str) -> None:
        status = (await client.create(path, base, dryRun="All")).refused(422, "Invalid")
        assert word in status["message"], status["message"]

    spec["x-kubernetes-validations"] = [{"rule": "self.mode =="}]
    await refused("x-kubernetes-validations[0].rule")
    spec.pop("x-kubernetes-validations")
    spec["properties"]["mode"]["default"] = "Z"
    await refused("properties[mode].default")
    spec["properties"]["mode"].pop("default")
    spec["properties"]["m"]["items"].pop("required")
    await refused("x-kubernetes-list-map-keys")
    spec["properties"]["m"]["items"]["required"] = ["name"]
    spec["properties"]["untyped"] = {"description": "no type"}
    await refused("properties[untyped].type")
    spec["properties"].pop("untyped")
    (await client.create(path, base, dryRun="All")).ok()
