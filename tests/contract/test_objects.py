"""What every kind has: names, versions, conflicts, selectors, deletion, namespaces."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.contract.client import JSON_PATCH, Client
from tests.contract.conftest import without
from tests.contract.widgets import widget


def config_map(name: str = "c", data: Any = None, **metadata: Any) -> Any:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"} if data is None else data}


async def test_a_created_object_has_what_the_system_gives(client: Client) -> None:
    made = (await client.create(client.core("configmaps"), config_map())).ok()
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    meta = made["metadata"]
    assert meta["namespace"] == client.namespace
    assert meta["uid"]
    assert int(meta["resourceVersion"]) > 0
    assert len(meta["creationTimestamp"]) == len("2026-11-24T08:00:00Z")
    assert "generation" not in meta
    assert (await client.get(client.core("configmaps", "c"))).ok() == made


async def test_a_second_object_of_that_name_is_refused(client: Client) -> None:
    await client.create(client.core("configmaps"), config_map())
    status = (await client.create(client.core("configmaps"), config_map())).refused(409, "AlreadyExists")
    assert status["message"] == 'configmaps "c" already exists'
    assert status["details"] == {"name": "c", "kind": "configmaps"}


async def test_what_is_not_there_is_told(client: Client, widgets: str) -> None:
    status = (await client.get(client.core("configmaps", "nope"))).refused(404, "NotFound")
    assert status["message"] == 'configmaps "nope" not found'
    assert status["details"] == {"name": "nope", "kind": "configmaps"}
    status = (await client.delete(f"{widgets}/nope")).refused(404, "NotFound")
    assert status["message"] == 'widgets.contract.moltbot.test "nope" not found'
    status = (await client.create(client.core("configmaps", namespace="no-such"), config_map())).refused(404, "NotFound")
    assert status["message"] == 'namespaces "no-such" not found'
    assert (await client.get("/apis/no.such.group/v1/things")).code == 404
    (await client.get("/api/v1/nokinds")).refused(404, "NotFound")


async def test_a_write_that_changes_nothing_keeps_the_resource_version(client: Client, widgets: str) -> None:
    """Rule 1: ten reconciles write nothing."""
    made = (await client.create(client.core("configmaps"), config_map())).ok()
    path = client.core("configmaps", "c")
    version = made["metadata"]["resourceVersion"]
    assert (await client.put(path, made)).ok() == made
    assert (await client.patch(path, {"data": {"a": "1"}})).ok() == made
    assert (await client.patch(path, [{"op": "replace", "path": "/data/a", "value": "1"}], JSON_PATCH)).ok() == made
    assert (await client.get(path)).ok()["metadata"]["resourceVersion"] == version
    own = (await client.create(widgets, widget())).ok()
    assert (await client.put(f"{widgets}/w", own)).ok() == own
    (await client.patch(f"{widgets}/w/status", {"status": {"phase": "x"}})).ok()
    before = (await client.get(f"{widgets}/w")).ok()
    assert (await client.patch(f"{widgets}/w/status", {"status": {"phase": "x"}})).ok() == before


async def test_a_stale_version_conflicts(client: Client) -> None:
    path = client.core("configmaps", "c")
    first = (await client.create(client.core("configmaps"), config_map())).ok()
    second = (await client.patch(path, {"data": {"b": "2"}})).ok()
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    words = 'Operation cannot be fulfilled on configmaps "c": '
    words += "the object has been modified; please apply your changes to the latest version and try again"
    assert (await client.put(path, first)).refused(409, "Conflict")["message"] == words
    stale = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    assert (await client.patch(path, stale)).refused(409, "Conflict")["message"] == words
    other = {**second, "metadata": {**second["metadata"], "uid": "11111111-2222-3333-4444-555555555555"}}
    status = (await client.put(path, other)).refused(409, "Conflict")
    assert "Precondition failed: UID in precondition: 11111111-2222-3333-4444-555555555555, UID in object meta: " in status["message"]
    # Without a version a PUT of this kind is unconditional.
    assert (await client.put(path, config_map(data={"z": "9"}))).ok()["data"] == {"z": "9"}


async def test_identity_cannot_be_patched(client: Client, widgets: str) -> None:
    await client.create(widgets, widget())
    status = (await client.patch(f"{widgets}/w", {"metadata": {"uid": "abc"}})).refused(422)
    assert 'metadata.uid: Invalid value: "abc": field is immutable' in status["message"]
    status = (await client.patch(f"{widgets}/w", {"metadata": {"name": "z"}})).refused(400)
    assert status["message"] == "the name of the object (z) does not match the name on the URL (w)"
    status = (await client.put(f"{widgets}/w", widget("y"))).refused(400)
    assert status["message"] == "the name of the object (y) does not match the name on the URL (w)"
    status = (await client.create(widgets, widget("x", namespace="other"))).refused(400)
    assert status["message"] == "the namespace of the provided object does not match the namespace sent on the request"
    kept = (await client.patch(f"{widgets}/w", {"metadata": {"creationTimestamp": None, "generation": 17}})).ok()
    assert kept["metadata"]["creationTimestamp"]
    assert kept["metadata"]["generation"] == 1


async def test_names_and_labels_are_checked(client: Client, widgets: str) -> None:
    status = (await client.create(widgets, widget("X_"))).refused(422)
    assert status["message"].startswith(
        'Widget.contract.moltbot.test "X_" is invalid: metadata.name: Invalid value: "X_": a lowercase RFC 1123 subdomain must consist of '
        "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex"
    )
    status = (await client.create("/api/v1/namespaces", {"metadata": {"name": "A"}})).refused(422)
    assert "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'" in status["message"]
    status = (await client.create(client.core("configmaps"), config_map(labels={"a b": "x"}))).refused(422)
    assert 'metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters' in status["message"]
    status = (await client.create(client.core("configmaps"), config_map(labels={"a": "x y"}))).refused(422)
    assert 'metadata.labels: Invalid value: "x y": a valid label must be an empty string or consist of' in status["message"]
    status = (await client.create(client.core("configmaps"), {"data": {}})).refused(422)
    assert "metadata.name: Required value: name or generateName is required" in status["message"]


async def test_names_are_generated(client: Client) -> None:
    names = set()
    for _ in range(3):
        made = (await client.create(client.core("configmaps"), {"metadata": {"generateName": "g-"}})).ok()
        names.add(made["metadata"]["name"])
        assert made["metadata"]["generateName"] == "g-"
    assert len(names) == 3
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_a_dry_run_leaves_nothing(client: Client) -> None:
    path = client.core("configmaps")
    assert (await client.create(path, config_map(), dryRun="All")).ok()["metadata"]["uid"]
    (await client.get(client.core("configmaps", "c"))).refused(404)
    await client.create(path, config_map())
    assert (await client.patch(client.core("configmaps", "c"), {"data": {"a": "9"}}, dryRun="All")).ok()["data"] == {"a": "9"}
    (await client.delete(client.core("configmaps", "c"), dryRun="All")).ok()
    assert (await client.get(client.core("configmaps", "c"))).ok()["data"] == {"a": "1"}


async def test_lists_are_selected_and_come_in_pages(client: Client) -> None:
    path = client.core("configmaps")
    for index in range(5):
        await client.create(path, config_map(f"c{index}", labels={"n": str(index), "even": str(index % 2 == 0).lower(), "mine": "yes"}))

    async def names(**query: str) -> list[str]:
        query.setdefault("labelSelector", "mine")
        return [item["metadata"]["name"] for item in (await client.get(path, **query)).ok()["items"]]

    assert await names() == ["c0", "c1", "c2", "c3", "c4"]
    assert await names(labelSelector="even=true") == ["c0", "c2", "c4"]
    assert await names(labelSelector="mine,even!=true") == ["c1", "c3"]
    assert await names(labelSelector="n in (1,2),even") == ["c1", "c2"]
    assert await names(labelSelector="mine,n notin (1,2)") == ["c0", "c3", "c4"]
    assert await names(labelSelector="!mine,n") == []
    assert await names(fieldSelector="metadata.name=c3") == ["c3"]
    assert await names(fieldSelector="metadata.name!=c3,metadata.namespace=" + client.namespace) == ["c0", "c1", "c2", "c4"]
    status = (await client.get(path, fieldSelector="data.a=1")).refused(400, "BadRequest")
    assert status["message"] == '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    status = (await client.get(client.core("pods"), fieldSelector="spec.what=1")).refused(400, "BadRequest")
    assert status["message"] == "field label not supported: spec.what"
    (await client.get(path, labelSelector="a=b=c")).refused(400, "BadRequest")
    first = (await client.get(path, labelSelector="mine", limit="2")).ok()
    assert [item["metadata"]["name"] for item in first["items"]] == ["c0", "c1"]
    second = (await client.get(path, labelSelector="mine", limit="3", **{"continue": first["metadata"]["continue"]})).ok()
    assert [item["metadata"]["name"] for item in second["items"]] == ["c2", "c3", "c4"]
    # A real server may hand out one more page, an empty one, when others' objects follow.
    if more := second["metadata"].get("continue"):
        assert (await client.get(path, labelSelector="mine", limit="3", **{"continue": more})).ok()["items"] == []
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_deletion_answers_and_obeys_preconditions(client: Client, widgets: str) -> None:
    made = (await client.create(client.core("configmaps"), config_map())).ok()
    path = client.core("configmaps", "c")
    status = (await client.delete(path, {"preconditions": {"uid": "abc"}})).refused(409, "Conflict")
    assert f"the UID in the precondition (abc) does not match the UID in record ({made['metadata']['uid']})" in status["message"]
    status = (await client.delete(path, {"preconditions": {"resourceVersion": "1"}})).refused(409, "Conflict")
    assert "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record" in status["message"]
    answer = (await client.delete(path, {"preconditions": {"uid": made["metadata"]["uid"]}})).ok()
    details = {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert answer == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    (await client.get(path)).refused(404)
    account = (await client.create(client.core("serviceaccounts"), {"metadata": {"name": "sa"}})).ok()
    gone = (await client.delete(client.core("serviceaccounts", "sa"))).ok()
    assert gone["metadata"]["uid"] == account["metadata"]["uid"]
    (await client.delete(f"{widgets}/x", propagationPolicy="Sideways")).refused(422)


async def test_a_collection_is_deleted_by_selector(client: Client) -> None:
    path = client.core("secrets")
    for index in range(3):
        await client.create(path, {"metadata": {"name": f"s{index}", "labels": {"n": str(index % 2)}}})
    answer = (await client.delete(path, labelSelector="n=0")).ok()
    assert sorted(item["metadata"]["name"] for item in answer["items"]) == ["s0", "s2"]
    assert [item["metadata"]["name"] for item in (await client.get(path, labelSelector="n")).ok()["items"]] == ["s1"]


async def test_finalizers_hold_an_object_until_the_last_is_gone(client: Client, widgets: str) -> None:
    path = f"{widgets}/w"
    await client.create(widgets, widget(finalizers=["moltbot.test/a", "moltbot.test/b"]))
    ending = (await client.delete(path)).ok()
    meta = ending["metadata"]
    assert meta["deletionTimestamp"]
    assert meta["deletionGracePeriodSeconds"] == 0
    assert meta["generation"] == 2
    again = (await client.delete(path)).ok()
    assert again == ending
    status = (await client.patch(path, {"metadata": {"finalizers": ["moltbot.test/a", "moltbot.test/b", "moltbot.test/c"]}})).refused(422)
    words = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
    assert words + 'found new finalizers []string{"moltbot.test/c"}' in status["message"]
    one = (await client.patch(path, {"metadata": {"finalizers": ["moltbot.test/b"]}})).ok()
    assert one["metadata"]["deletionTimestamp"] == meta["deletionTimestamp"]
    # It can still be changed, but not revived.
    (await client.patch(path, {"spec": {"mode": "B"}, "metadata": {"deletionTimestamp": None}})).ok()
    assert (await client.get(path)).ok()["metadata"]["deletionTimestamp"] == meta["deletionTimestamp"]
    last = (await client.patch(path, {"metadata": {"finalizers": None}})).ok()
    assert "finalizers" not in last["metadata"]
    (await client.get(path)).refused(404)


async def test_foreground_and_orphan_leave_a_finalizer_of_their_own(client: Client, widgets: str) -> None:
    await client.create(widgets, widget(finalizers=["moltbot.test/hold"]))
    ending = (await client.delete(f"{widgets}/w", {"propagationPolicy": "Foreground"})).ok()
    assert ending["metadata"]["finalizers"] == ["moltbot.test/hold", "foregroundDeletion"]
    await client.create(widgets, widget("x", finalizers=["moltbot.test/hold"]))
    ending = (await client.delete(f"{widgets}/x", propagationPolicy="Orphan")).ok()
    assert ending["metadata"]["finalizers"] == ["moltbot.test/hold", "orphan"]


async def test_nothing_new_in_a_namespace_that_ends(client: Client) -> None:
    name = client.namespace + "-b"
    made = (await client.create("/api/v1/namespaces", {"metadata": {"name": name}})).ok()
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    held = config_map(finalizers=["moltbot.test/hold"])
    (await client.create(client.core("configmaps", namespace=name), held)).ok()
    ending = (await client.delete(f"/api/v1/namespaces/{name}")).ok()
    assert ending["status"]["phase"] == "Terminating"
    status = (await client.create(client.core("configmaps", namespace=name), config_map("d"))).refused(403, "Forbidden")
    assert (
        status["message"] == f'configmaps "d" is forbidden: unable to create new content in namespace {name} because it is being terminated'
    )
    causes = [{"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated", "field": "metadata.namespace"}]
    assert status["details"]["causes"] == causes
    (await client.patch(client.core("configmaps", "c", namespace=name), {"metadata": {"finalizers": None}})).ok()
    async with asyncio.timeout(30):
        while (await client.get(f"/api/v1/namespaces/{name}")).code != 404:
            await asyncio.sleep(0.05)


async def test_json_patch_says_only_that_it_failed(client: Client) -> None:
    await client.create(client.core("configmaps"), config_map())
    path = client.core("configmaps", "c")
    for step in ({"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/nope"}):
        status = (await client.patch(path, [step], JSON_PATCH)).refused(422, "Invalid")
        assert status["message"].startswith("the server rejected our request due to an error in our request")
    steps: list[Any] = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/x~1y", "value": "v"},
        {"op": "add", "path": "/metadata/labels", "value": {"k": "v"}},
    ]
    (await client.patch(path, steps, JSON_PATCH)).refused(422)  # a slash is no key of a ConfigMap
    steps[1]["path"] = "/data/x"
    patched = (await client.patch(path, steps, JSON_PATCH)).ok()
    assert patched["data"] == {"a": "1", "x": "v"}
    moved = (await client.patch(path, [{"op": "move", "from": "/data/x", "path": "/data/y"}], JSON_PATCH)).ok()
    assert without(moved, "resourceVersion", "managedFields")["data"] == {"a": "1", "y": "v"}


async def test_a_method_that_is_not_there_is_refused(client: Client) -> None:
    (await client.put(client.core("configmaps"), config_map())).refused(405, "MethodNotAllowed")
    (await client.call("POST", client.core("configmaps", "c"), config_map())).refused(405, "MethodNotAllowed")
