"""What deleting removes, what it keeps, and that it never hangs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from moltbot_kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    MOLTBOT_DEVICES,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
)
from tests.e2e.bucket import Buckets, ephemeral, give_keys
from tests.e2e.cluster import DEMO, Place, open_place, until
from tests.e2e.people import Visitor
from tests.e2e.release import Release

Visit = Callable[..., Awaitable[Visitor]]
OWNED = (CONFIG_MAPS, CRON_JOBS, MOLTBOT_DEVICES, NETWORK_POLICIES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES, STATEFUL_SETS)


async def children(place: Place, name: str) -> list[str]:
    """Everything of the Moltbot that is there, by its label or name."""
    found = []
    for resource in OWNED:
        for one in (await place.person.list(resource, place.namespace)).items:
            if one["metadata"]["name"].startswith(f"{name}-") and not one["metadata"].get("deletionTimestamp"):
                found.append(f"{resource.kind} {one['metadata']['name']}")
    return found


async def none_left(place: Place, name: str) -> None:
    async def gone() -> bool:
        return not await children(place, name)

    await until(f"every child of {name} is gone", gone, 90)


async def test_deleted_leaves_only_its_memory_which_its_successor_takes_over(place: Place, visit: Visit) -> None:
    await place.moltbot("ada", DEMO)
    first = await visit(place)
    await first.enter()
    await first.ask("remember the blue door", "I will remember: the blue door")
    # An open page of an assistant that is deleted loses its connection, and its cookie opens nothing any more.
    first.expected += ["status of 401", "WebSocket is already in CLOSING or CLOSED state", "WebSocket connection to"]
    claim = await place.until(PERSISTENT_VOLUME_CLAIMS, "ada-state", bool)
    assert len(await children(place, "ada")) > 8

    await place.kubectl("delete", "moltbot", "ada", "--timeout=60s")
    await none_left(place, "ada")
    kept = await place.get(PERSISTENT_VOLUME_CLAIMS, "ada-state")
    assert kept is not None
    assert (kept["metadata"]["uid"], kept["metadata"].get("deletionTimestamp")) == (claim["metadata"]["uid"], None)

    await place.moltbot("ada", DEMO)
    assert (await place.event("ada", "ClaimAdopted"))["type"] == "Normal"
    second = await visit(place)
    await second.enter()
    await expect(second.log.get_by_text("I will remember: the blue door")).to_be_visible()


async def test_deletion_policy_delete_takes_the_memory_along(place: Place) -> None:
    await place.moltbot("ada", {**DEMO, "persistence": {"deletionPolicy": "Delete"}})
    await place.phase("ada", "Awake")
    await place.kubectl("delete", "moltbot", "ada", "--timeout=60s")
    await none_left(place, "ada")
    await place.until(PERSISTENT_VOLUME_CLAIMS, "ada-state", lambda found: found is None)


async def gone(place: Place) -> None:
    async def absent() -> bool:
        return await place.person.get(NAMESPACES, place.namespace) is None

    await until(f"namespace {place.namespace} is gone", absent, 120, pause=0.5)


async def test_namespaces_go_with_their_moltbots(release: Release, buckets: Buckets) -> None:
    """Deleted with everything in it, awake or asleep, with a bucket, after its Moltbot, and with nobody there to release a finalizer."""
    person = release.person
    async with open_place(person) as awake, open_place(person) as after, open_place(person) as abandoned:
        policy = {"deletionPolicy": "Delete"}
        await give_keys(awake)
        await awake.moltbot("ada", {**DEMO, "persistence": policy})
        await awake.moltbot("bob", ephemeral(await buckets.make()))
        await after.moltbot("ada", {**DEMO, "persistence": policy})
        await abandoned.moltbot("ada", {**DEMO, "persistence": policy})
        await abandoned.moltbot("bob", {**DEMO, "operatingMode": "Suspended"})
        for place, name in ((awake, "ada"), (awake, "bob"), (after, "ada"), (abandoned, "ada")):
            await place.phase(name, "Awake")

        await awake.kubectl("delete", "namespace", awake.namespace, "--wait=false")
        await after.kubectl("delete", "moltbot", "ada", "--wait=false")
        await after.kubectl("delete", "namespace", after.namespace, "--wait=false")
        await gone(awake)
        await gone(after)

        await release.scale_operator(0)
        try:
            await abandoned.kubectl("delete", "namespace", abandoned.namespace, "--wait=false")
            # No finalizer of ours waits for it: owner references alone remove what is to be removed.
            await gone(abandoned)
        finally:
            await release.scale_operator(1)
