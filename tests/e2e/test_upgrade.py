"""What an upgrade and an uninstall of the release leave alone. Runs last: port-forwards to its router end with it."""

from __future__ import annotations

from moltbot_kube.resources import CUSTOM_RESOURCE_DEFINITIONS, MOLTBOTS, PODS
from tests.e2e.cluster import DEMO, Place, command
from tests.e2e.release import NAME, NAMESPACE, Release, install


async def test_upgrade_and_uninstall_leave_moltbots_and_their_definitions_alone(place: Place, release: Release) -> None:
    await place.moltbot("ada", DEMO)
    before = await place.phase("ada", "Awake")
    pod = await place.pod("ada") or {}

    await release.upgrade("--set", "router.holdSeconds=45")
    moltbot = await place.get(MOLTBOTS, "ada") or {}
    assert moltbot["metadata"]["uid"] == before["metadata"]["uid"]
    assert (await place.get(PODS, "ada-gateway-0") or {})["metadata"]["uid"] == pod["metadata"]["uid"]

    await command("helm", "uninstall", NAME, "-n", NAMESPACE, "--wait")
    for plural in ("moltbots", "moltbotdevices", "moltbotsnapshots"):
        assert await place.person.get(CUSTOM_RESOURCE_DEFINITIONS, f"{plural}.moltbot.dev") is not None
    kept = await place.get(MOLTBOTS, "ada") or {}
    assert (kept["metadata"]["uid"], kept["metadata"].get("deletionTimestamp")) == (before["metadata"]["uid"], None)
    assert (await place.get(PODS, "ada-gateway-0") or {})["metadata"]["uid"] == pod["metadata"]["uid"], "and it goes on"

    await install()
    await place.put_to_sleep("ada")
