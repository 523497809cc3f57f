"""Server-side apply: ownership of fields, two managers, what is taken away (rule 1, rule 2)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.client import Client
from tests.contract.conftest import without
from tests.contract.test_builtin_kinds import stateful_set
from tests.contract.test_scale import settled
from tests.contract.widgets import API_VERSION, widget


def config_map(data: Any, **metadata: Any) -> Any:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": data}


def owned(item: Any, manager: str, operation: str = "Apply", subresource: str = "") -> Any:
    """The record of one manager."""
    found = [
        record["fieldsV1"]
        for record in item["metadata"].get("managedFields", [])
        if (record["manager"], record["operation"], record.get("subresource", "")) == (manager, operation, subresource)
    ]
    assert len(found) <= 1
    return found[0] if found else None


async def test_apply_creates_and_records_what_it_named(client: Client) -> None:
    answer = await client.apply(client.core("configmaps", "c"), config_map({"a": "1"}, labels={"l": "m"}), "one")
    assert answer.code == 201
    assert owned(answer.body, "one") == {"f:metadata": {"f:labels": {"f:l": {}}}, "f:data": {"f:a": {}}}
    again = await client.apply(client.core("configmaps", "c"), config_map({"a": "1"}, labels={"l": "m"}), "one")
    assert again.code == 200
    assert again.body == answer.body


async def test_two_managers_share_an_object(client: Client) -> None:
    path = client.core("configmaps", "c")
    await client.apply(path, config_map({"a": "1"}), "one")
    both = (await client.apply(path, config_map({"b": "2"}), "two")).ok()
    assert both["data"] == {"a": "1", "b": "2"}
    assert owned(both, "one") == {"f:data": {"f:a": {}}}
    assert owned(both, "two") == {"f:data": {"f:b": {}}}
    status = (await client.apply(path, config_map({"a": "9", "b": "2"}), "two")).refused(409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert status["details"]["causes"] == [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}]
    # Equal values are owned by both.
    shared = (await client.apply(path, config_map({"a": "1", "b": "2"}), "two")).ok()
    assert owned(shared, "one") == {"f:data": {"f:a": {}}}
    assert owned(shared, "two") == {"f:data": {"f:a": {}, "f:b": {}}}
    forced = (await client.apply(path, config_map({"a": "9", "b": "2"}), "two", force="true")).ok()
    assert forced["data"] == {"a": "9", "b": "2"}
    assert owned(forced, "one") is None


async def test_what_a_manager_no_longer_names_goes_unless_another_owns_it(client: Client) -> None:
    path = client.core("configmaps", "c")
    await client.apply(path, config_map({"a": "1", "b": "2", "c": "3"}), "one")
    await client.apply(path, config_map({"b": "2"}), "two")
    await client.patch(path, {"data": {"d": "4"}}, fieldManager="three")
    left = (await client.apply(path, config_map({"a": "1"}), "one")).ok()
    assert left["data"] == {"a": "1", "b": "2", "d": "4"}
    assert owned(left, "three", "Update") == {"f:data": {"f:d": {}}}
    none = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    left = (await client.apply(path, none, "one")).ok()
    assert left["data"] == {"b": "2", "d": "4"}
    assert owned(left, "one") is None


async def test_an_update_takes_ownership_of_what_it_changes(client: Client) -> None:
    path = client.core("configmaps", "c")
    await client.apply(path, config_map({"a": "1", "b": "2"}), "one")
    patched = (await client.patch(path, {"data": {"a": "5"}}, fieldManager="hand")).ok()
    assert owned(patched, "one") == {"f:data": {"f:b": {}}}
    assert owned(patched, "hand", "Update") == {"f:data": {"f:a": {}}}
    status = (await client.apply(path, config_map({"a": "1", "b": "2"}), "one")).refused(409)
    assert status["details"]["causes"][0]["field"] == ".data.a"
    assert status["message"].startswith('Apply failed with 1 conflict: conflict with "hand" using v1')
    back = (await client.apply(path, config_map({"a": "1", "b": "2"}), "one", force="true")).ok()
    assert back["data"] == {"a": "1", "b": "2"}
    assert owned(back, "hand", "Update") is None
    removed = (await client.patch(path, {"data": {"b": None}}, fieldManager="hand")).ok()
    assert owned(removed, "one") == {"f:data": {"f:a": {}}}


async def test_lists_with_keys_merge_by_item(client: Client, widgets: str) -> None:
    path = f"{widgets}/w"

    def config(*items: Any) -> Any:
        return widget(spec={"mode": "A", "m": list(items)})

    await client.apply(path, config({"name": "a", "v": 1}, {"name": "b", "v": 2}), "one")
    both = (await client.apply(path, config({"name": "c", "v": 3}), "two")).ok()
    assert sorted(item["name"] for item in both["spec"]["m"]) == ["a", "b", "c"]
    assert owned(both, "two")["f:spec"]["f:m"] == {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:v": {}}}
    status = (await client.apply(path, config({"name": "a", "v": 9}), "two")).refused(409)
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.m[name="a"].v'
    left = (await client.apply(path, config({"name": "b", "v": 2}), "one")).ok()
    assert sorted(item["name"] for item in left["spec"]["m"]) == ["b", "c"]
    atomic = (await client.apply(path, widget(spec={"mode": "A", "l": ["x"]}), "one")).ok()
    assert owned(atomic, "one")["f:spec"] == {"f:mode": {}, "f:l": {}}
    status = (await client.apply(path, widget(spec={"mode": "A", "l": ["y"]}), "two")).refused(409)
    assert status["details"]["causes"][0]["field"] == ".spec.l"
    sets = (await client.apply(path, widget(spec={"mode": "A", "st": ["p", "q"]}), "one")).ok()
    assert owned(sets, "one")["f:spec"]["f:st"] == {'v:"p"': {}, 'v:"q"': {}}


async def test_conflicts_of_one_manager_are_told_together(client: Client, widgets: str) -> None:
    path = f"{widgets}/w"
    await client.apply(path, widget(spec={"mode": "A", "s": "abc"}), "one")
    status = (await client.apply(path, widget(spec={"mode": "B", "s": "xyz"}), "two")).refused(409)
    assert status["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.mode\n- .spec.s'


async def test_status_is_applied_by_its_own_door(client: Client, widgets: str) -> None:
    path = f"{widgets}/w"
    await client.apply(path, {**widget(), "status": {"phase": "no"}}, "one")
    assert "status" not in (await client.get(path)).ok()
    status = {"apiVersion": API_VERSION, "kind": "Widget", "metadata": {"name": "w"}, "status": {"phase": "yes"}}
    item = (await client.apply(f"{path}/status", {**status, "spec": {"mode": "B"}}, "one")).ok()
    assert (item["status"], item["spec"]["mode"], item["metadata"]["generation"]) == ({"phase": "yes"}, "A", 1)
    assert owned(item, "one", subresource="status") == {"f:status": {"f:phase": {}}}
    assert owned(item, "one") == {"f:spec": {"f:mode": {}}}
    again = (await client.apply(f"{path}/status", status, "one")).ok()
    assert again == item
    (await client.apply(f"{widgets}/none/status", {**status, "metadata": {"name": "none"}}, "one")).refused(404)


async def test_apply_refuses_what_it_cannot_do(client: Client, widgets: str) -> None:
    path = f"{widgets}/w"
    status = (await client.call("PATCH", path, widget(), content_type="application/apply-patch+yaml")).refused(422)
    assert status["message"] == 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    status = (await client.apply(path, widget(spec={"zz": 1}), "one")).refused(500)
    assert status["message"].endswith("contract.moltbot.test/v1, Kind=Widget): .spec.zz: field not declared in schema")
    status = (await client.apply(path, widget(spec={"mode": "C"}), "one")).refused(422, "Invalid")
    assert 'spec.mode: Unsupported value: "C"' in status["message"]
    fields: Any = {"managedFields": [{"manager": "x", "operation": "Apply", "apiVersion": API_VERSION, "fieldsV1": {}}]}
    status = (await client.apply(path, widget(**fields), "one")).refused(400)
    assert status["message"] == "metadata.managedFields must be nil"


async def test_an_apply_with_a_uid_makes_no_new_object(client: Client, widgets: str) -> None:
    """Rule 2: an apply carries the uid it read, so that a missing object gives 409; a resourceVersion does not prevent it."""
    status = (await client.apply(f"{widgets}/w", widget(uid="11111111-2222-3333-4444-555555555555"), "one")).refused(409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on widgets.contract.moltbot.test "w": uid mismatch: '
        "the provided object specified uid 11111111-2222-3333-4444-555555555555, and no existing object was found"
    )
    assert (await client.apply(f"{widgets}/v", widget("v", resourceVersion="5"), "one")).code == 201
    await client.create(widgets, widget())
    (await client.apply(f"{widgets}/w", widget(uid="11111111-2222-3333-4444-555555555555"), "one", force="true")).refused(422)
    (await client.apply(f"{widgets}/w", widget(resourceVersion="1"), "one", force="true")).refused(409, "Conflict")


async def test_a_skeleton_keeps_its_replicas_through_applies(client: Client) -> None:
    """Rule 2: created by POST with `replicas: 0` under a second manager; the apply never names them."""
    path = client.of("apps", "v1", "statefulsets")
    made = (await client.create(path, stateful_set(), fieldManager="skeleton")).ok()
    config = stateful_set()
    config["spec"].pop("replicas")
    config["metadata"] |= {"uid": made["metadata"]["uid"], "labels": {"x": "y"}}
    applied = (await client.apply(f"{path}/s", config, "operator", force="true")).ok()
    assert applied["spec"]["replicas"] == 0
    assert owned(applied, "skeleton", "Update")["f:spec"]["f:replicas"] == {}
    assert "f:replicas" not in owned(applied, "operator")["f:spec"]
    await settled(client, f"{path}/s")
    before = (await client.get(f"{path}/s")).ok()
    again = (await client.apply(f"{path}/s", config, "operator", force="true")).ok()
    assert without(again) == without(before)
    # Taken out of the configuration, a container's variable goes; what the API filled in stays.
    config["spec"]["template"]["spec"]["containers"][0].pop("env")
    changed = (await client.apply(f"{path}/s", config, "operator", force="true")).ok()
    container = changed["spec"]["template"]["spec"]["containers"][0]
    # The skeleton owns it too: it stays until the skeleton's record is gone.
    assert "env" in container
    bare = stateful_set("t")
    bare["spec"]["template"]["spec"]["containers"] = [{"name": "c", "image": "x"}]
    bare["spec"]["template"]["spec"]["volumes"] = []
    bare["spec"]["template"]["spec"].pop("initContainers")
    (await client.create(path, bare, fieldManager="skeleton")).ok()
    full = stateful_set("t")
    full["spec"].pop("replicas")
    (await client.apply(f"{path}/t", full, "operator", force="true")).ok()
    full["spec"]["template"]["spec"]["containers"][0].pop("env")
    left = (await client.apply(f"{path}/t", full, "operator", force="true")).ok()
    assert "env" not in left["spec"]["template"]["spec"]["containers"][0]
    assert left["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_a_foreign_field_survives_a_forced_apply(client: Client) -> None:
    """Rule 1: what another manager owns under the spec is named in condition ForeignFields, and not fought."""
    path = client.of("networking.k8s.io", "v1", "networkpolicies")
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "n"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    await client.apply(f"{path}/n", policy, "operator", force="true")
    await client.patch(f"{path}/n", {"spec": {"egress": [rule]}}, fieldManager="somebody")
    item = (await client.apply(f"{path}/n", policy, "operator", force="true")).ok()
    assert item["spec"]["egress"] == [rule]
    assert owned(item, "somebody", "Update") == {"f:spec": {"f:egress": {}}}


async def test_an_object_without_records_belongs_to_whoever_came_before(client: Client) -> None:
    path = client.core("configmaps", "c")
    await client.create(client.core("configmaps"), config_map({"a": "1", "b": "2"}), fieldManager="maker")
    cleared = (await client.patch(path, {"metadata": {"managedFields": [{}]}})).ok()
    assert "managedFields" not in cleared["metadata"]
    patched = (await client.patch(path, {"data": {"b": "3"}}, fieldManager="hand")).ok()
    assert "managedFields" not in patched["metadata"]
    status = (await client.apply(path, config_map({"a": "9"}), "one")).refused(409)
    assert "before-first-apply" in status["message"]
    applied = (await client.apply(path, config_map({"a": "1"}), "one")).ok()
    assert owned(applied, "before-first-apply", "Update")["f:data"] == {".": {}, "f:a": {}, "f:b": {}}


async def test_times_change_only_with_what_is_owned(client: Client) -> None:
    path = client.core("configmaps", "c")
    first = (await client.apply(path, config_map({"a": "1"}), "one")).ok()
    await asyncio.sleep(1.1)  # records carry whole seconds
    same = (await client.apply(path, config_map({"a": "1"}), "one")).ok()
    assert same == first
    other = (await client.apply(path, config_map({"a": "2"}), "one")).ok()
    assert other["metadata"]["managedFields"][0]["time"] > first["metadata"]["managedFields"][0]["time"]
