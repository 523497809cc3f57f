"""The scale subresource, which wake and sleep write (rule 2)."""

from __future__ import annotations

from typing import Any

from tests.contract.client import Client
from tests.contract.test_builtin_kinds import stateful_set


def scale(replicas: int | None = None, **metadata: Any) -> Any:
    spec = {} if replicas is None else {"replicas": replicas}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "s", **metadata}, "spec": spec}


async def test_zero_replicas_are_left_out(client: Client) -> None:
    """Rule 2: the admission policy reads an absent `replicas` as 0."""
    path = client.of("apps", "v1", "statefulsets")
    made = (await client.create(path, stateful_set())).ok()
    read = (await client.get(f"{path}/s/scale")).ok()
    assert (read["kind"], read["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert read["spec"] == {}
    assert read["status"] == {"replicas": 0, "selector": "app=x"}
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert set(read["metadata"]) == {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}
    assert made["spec"]["replicas"] == 0


async def test_a_scale_that_changes_nothing_keeps_the_resource_version(client: Client) -> None:
    """Rule 5e: a wake written 1 over 1 does not change the resourceVersion."""
    path = client.of("apps", "v1", "statefulsets")
    await client.create(path, stateful_set())
    await settled(client, f"{path}/s")
    for _ in range(5):  # the controller may still be writing its status
        before = (await client.patch(f"{path}/s/scale", {"spec": {"replicas": 0}})).ok()["metadata"]["resourceVersion"]
        again = (await client.patch(f"{path}/s/scale", {"spec": {"replicas": 0}})).ok()["metadata"]["resourceVersion"]
        if again == before:
            break
    assert again == before
    put = (await client.put(f"{path}/s/scale", scale(0, resourceVersion=before))).ok()
    assert put["metadata"]["resourceVersion"] == before
    assert (await client.get(f"{path}/s")).ok()["metadata"]["generation"] == 1


async def settled(client: Client, path: str) -> None:
    """Until the controller has said its status."""
    import asyncio

    async with asyncio.timeout(20):
        while (await client.get(path)).ok()["status"].get("observedGeneration") != 1:
            await asyncio.sleep(0.02)


async def test_a_stale_or_negative_scale_is_refused(client: Client) -> None:
    path = client.of("apps", "v1", "statefulsets")
    await client.create(path, stateful_set())
    status = (await client.put(f"{path}/s/scale", scale(0, resourceVersion="1"))).refused(409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on statefulsets.apps "s": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 0}}
    (await client.patch(f"{path}/s/scale", stale)).refused(409, "Conflict")
    status = (await client.patch(f"{path}/s/scale", {"spec": {"replicas": -1}})).refused(422, "Invalid")
    assert status["message"] == 'Scale.autoscaling "s" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    (await client.patch(f"{path}/s/scale", {"spec": {"replica": 1}}, fieldValidation="Strict")).refused(422)
    (await client.get(f"{path}/none/scale")).refused(404, "NotFound")


async def test_the_writer_of_the_scale_owns_the_replicas(client: Client) -> None:
    path = client.of("apps", "v1", "statefulsets")
    await client.create(path, stateful_set(), fieldManager="maker")
    (await client.patch(f"{path}/s/scale", {"spec": {"replicas": 2}}, fieldManager="router")).ok()
    item = (await client.get(f"{path}/s")).ok()
    assert item["spec"]["replicas"] == 2
    assert item["metadata"]["generation"] == 2
    owners = [
        (record["manager"], record["operation"], record.get("subresource", ""))
        for record in item["metadata"]["managedFields"]
        if "f:replicas" in record["fieldsV1"].get("f:spec", {})
    ]
    assert owners == [("router", "Update", "scale")]
    (await client.delete(f"{path}/s", propagationPolicy="Foreground")).ok()
