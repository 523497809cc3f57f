"""Owner references and the garbage collector."""

from __future__ import annotations

from typing import Any

from tests.contract.client import Client
from tests.contract.conftest import until
from tests.contract.widgets import API_VERSION, widget


def child(owner: Any, name: str = "child", *, block: bool = False) -> Any:
    reference = {"apiVersion": API_VERSION, "kind": "Widget", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    reference |= {"controller": True, "blockOwnerDeletion": block}
    return {"metadata": {"name": name, "ownerReferences": [reference]}, "data": {}}


async def gone(client: Client, path: str) -> None:
    async def holds() -> bool:
        return (await client.get(path)).code == 404

    await until(holds)


async def test_children_go_with_their_owner(client: Client, widgets: str) -> None:
    owner = (await client.create(widgets, widget())).ok()
    (await client.create(client.core("configmaps"), child(owner))).ok()
    (await client.create(client.core("configmaps"), {"metadata": {"name": "free"}})).ok()
    (await client.delete(f"{widgets}/w", propagationPolicy="Background")).ok()
    (await client.get(f"{widgets}/w")).refused(404)
    await gone(client, client.core("configmaps", "child"))
    (await client.get(client.core("configmaps", "free"))).ok()


async def test_a_foreground_deletion_waits_for_the_children(client: Client, widgets: str) -> None:
    owner = (await client.create(widgets, widget())).ok()
    held = child(owner, block=True)
    held["metadata"]["finalizers"] = ["moltbot.test/hold"]
    (await client.create(client.core("configmaps"), held)).ok()
    (await client.delete(f"{widgets}/w", propagationPolicy="Foreground")).ok()

    async def ending() -> bool:
        return "deletionTimestamp" in (await client.get(client.core("configmaps", "child"))).ok()["metadata"]

    await until(ending)
    assert (await client.get(f"{widgets}/w")).ok()["metadata"]["finalizers"] == ["foregroundDeletion"]
    (await client.patch(client.core("configmaps", "child"), {"metadata": {"finalizers": None}})).ok()
    await gone(client, f"{widgets}/w")


async def test_orphans_lose_their_reference_and_stay(client: Client, widgets: str) -> None:
    owner = (await client.create(widgets, widget())).ok()
    (await client.create(client.core("configmaps"), child(owner))).ok()
    (await client.delete(f"{widgets}/w", propagationPolicy="Orphan")).ok()
    await gone(client, f"{widgets}/w")
    assert "ownerReferences" not in (await client.get(client.core("configmaps", "child"))).ok()["metadata"]


async def test_a_child_of_an_owner_that_is_no_more_goes(client: Client, widgets: str) -> None:
    """Another object of that name is not the owner: uids count."""
    first = (await client.create(widgets, widget())).ok()
    (await client.delete(f"{widgets}/w", propagationPolicy="Background")).ok()
    await gone(client, f"{widgets}/w")
    (await client.create(widgets, widget())).ok()
    (await client.create(client.core("configmaps"), child(first))).ok()
    await gone(client, client.core("configmaps", "child"))


async def test_a_reference_must_be_complete(client: Client, widgets: str) -> None:
    owner = (await client.create(widgets, widget())).ok()
    bad = child(owner)
    bad["metadata"]["ownerReferences"][0]["uid"] = ""
    status = (await client.create(client.core("configmaps"), bad)).refused(422)
    assert 'metadata.ownerReferences.uid: Invalid value: "": must not be empty' in status["message"]
