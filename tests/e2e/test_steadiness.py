"""Nothing is written while nothing happens; what goes on while a part is down; changes of the spec (rules 1, 2, 4, 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from playwright.async_api import expect

from moltbot_kube import Resource
from moltbot_kube.resources import MOLTBOTS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tests.e2e.cluster import DEMO, Place, command, condition_of, until
from tests.e2e.people import Doors, Visitor
from tests.e2e.release import NAMESPACE, Release
from tests.e2e.test_deletion import OWNED
from tests.e2e.watching import open_watch

Visit = Callable[..., Awaitable[Visitor]]


async def versions(place: Place) -> dict[str, str]:
    """Of everything in the namespace that could be written."""
    kinds: tuple[Resource, ...] = (*OWNED, PERSISTENT_VOLUME_CLAIMS, MOLTBOTS)
    found = {}
    for resource in kinds:
        for one in (await place.person.list(resource, place.namespace)).items:
            found[f"{resource.kind} {one['metadata']['name']}"] = one["metadata"]["resourceVersion"]
    return found


async def reconciles(place: Place) -> None:
    """Makes the operator look again: a label on a child is seen, and is not its business."""
    await place.kubectl("label", "service", "ada-gateway", "seen=1", "--overwrite")


async def test_restarted_operator_writes_nothing(place: Place, release: Release) -> None:
    """Rule 1."""
    await place.moltbot("ada", DEMO)
    await place.phase("ada", "Awake")
    await place.put_to_sleep("ada")
    await place.until(MOLTBOTS, "ada", lambda found: condition_of(found, "Sleeping").get("status") == "True")
    before = await settled(place)
    await command("kubectl", "-n", NAMESPACE, "delete", "pod", "-l", "app.kubernetes.io/component=operator")
    await command("kubectl", "-n", NAMESPACE, "rollout", "status", "deploy/moltbot-operator", "--timeout=60s")
    # It holds the Lease again and answers to a change: it has looked at everything that there is.
    await place.moltbot("probe", {**DEMO, "operatingMode": "Suspended"})
    await place.phase("probe", "Suspended")
    for _ in range(10):
        await reconciles(place)
    await place.moltbot("last", {**DEMO, "operatingMode": "Suspended"})
    await place.phase("last", "Suspended")
    after = await versions(place)
    changed = {name for name, version in before.items() if after.get(name) != version}
    assert changed == {"Service ada-gateway"}, "only what the test itself labelled"


async def settled(place: Place) -> dict[str, str]:
    """The versions, once two looks in a row agree."""
    seen: dict[str, str] = {}

    async def same() -> dict[str, str] | None:
        nonlocal seen
        before, seen = seen, await versions(place)
        return seen if seen == before else None

    found: dict[str, str] = await until("nothing is written any more", same, pause=1.5)
    return found


async def test_router_wakes_while_the_operator_is_down(place: Place, release: Release, visit: Visit) -> None:
    """Rule 2."""
    await place.moltbot("ada", DEMO)
    ada = await visit(place)
    await ada.enter()
    await ada.ask("remember the blue door", "I will remember: the blue door")
    await place.put_to_sleep("ada")
    await release.scale_operator(0)
    try:
        await ada.ask("what did I say?", "remember the blue door")
    finally:
        await release.scale_operator(1)
    await place.phase("ada", "Awake")


async def test_spec_changed_asleep_applies_at_the_next_wake(place: Place) -> None:
    await place.moltbot("ada", DEMO)
    await place.phase("ada", "Awake")
    await place.put_to_sleep("ada")
    await place.patch("ada", {"gateway": {"resources": {"requests": {"memory": "140Mi"}}}})

    def memory(pod: Any) -> str:
        return str(pod["spec"]["containers"][0]["resources"]["requests"]["memory"])

    await place.until(STATEFUL_SETS, "ada-gateway", lambda found: found and memory(found["spec"]["template"]) == "140Mi")
    assert await place.pod("ada") is None
    assert (await place.phase("ada", "Asleep"))["status"]["phase"] == "Asleep"
    await place.ask("ada", "wake")
    await place.phase("ada", "Awake")
    assert memory(await place.pod("ada")) == "140Mi"


async def test_suspended_sleeps_now_and_does_not_wake(place: Place, doors: Doors) -> None:
    async with open_watch(place, "ada") as watch:
        await place.moltbot("ada", DEMO)
        await place.phase("ada", "Awake")
        token = await place.token("ada")
        await place.patch("ada", {"operatingMode": "Suspended"})
        await watch.saw("Awake", "Draining", "Suspended")
        await place.ask("ada", "wake")
        refused = await place.event("ada", "ActionRefused")
        assert "Suspended" in refused["message"]
        assert "operatingMode" in refused["message"]
        host = {"Host": f"ada--{place.namespace}.localhost", "Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{doors.public_port}/api/status", headers=host) as answer:
                assert (answer.status, (await answer.json())["phase"]) == (200, "Suspended")
        assert await place.replicas("ada") == 0
        await place.patch("ada", {"operatingMode": "Auto"})
        await watch.saw("Suspended", "Waking", "Awake")
        assert watch.lies() == []


async def test_missing_image_says_so_and_is_mended(place: Place, visit: Visit) -> None:
    await place.moltbot("ada", {**DEMO, "gateway": {"image": "localhost/nowhere:none", "imagePullPolicy": "Never"}})
    ready = await place.condition("ada", "Ready", "ImagePullFailed")
    assert "localhost/nowhere:none" in ready["message"]
    assert ready["status"] == "False"
    await place.phase("ada", "Failed")
    assert (await place.event("ada", "ImagePullFailed"))["type"] == "Warning"
    ada = await visit(place)
    await ada.open()
    pods = await place.get(PODS, "ada-gateway-0")
    assert pods is not None
    assert all(one["restartCount"] == 0 for one in pods["status"].get("containerStatuses", ()))
    await place.patch("ada", {"gateway": {"image": None, "imagePullPolicy": None}})
    await place.phase("ada", "Awake")
    await expect(ada.page.get_by_test_id("device-id")).to_be_visible()


async def test_many_requests_wake_it_once(place: Place, doors: Doors) -> None:
    """Rule 4: single-flight, and everybody is answered."""
    await place.moltbot("ada", {**DEMO, "gateway": {"http": "token"}})
    await place.phase("ada", "Awake")
    await place.put_to_sleep("ada")
    token = await place.token("ada")
    headers = {"Host": f"ada--{place.namespace}.localhost", "Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:

        async def ask() -> int:
            async with session.get(f"http://127.0.0.1:{doors.public_port}/healthz-of-the-pod", headers=headers) as answer:
                await answer.read()
                return answer.status

        answers = await asyncio.gather(*(ask() for _ in range(20)))
    assert set(answers) == {404}, "the gateway's own answer, for it has no such path"
    moltbot = await place.phase("ada", "Awake")
    assert [one["phase"] for one in moltbot["status"]["history"][:2]] == ["Awake", "Waking"]
