"""From `helm install` to a conversation that outlives a sleep, with nothing but what NOTES.txt tells."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from tests.e2e.cluster import DEMO, Place
from tests.e2e.people import Visitor
from tests.e2e.release import Release
from tests.e2e.watching import open_watch

Visit = Callable[..., Awaitable[Visitor]]


async def test_installed_chatted_slept_woken_and_remembered(place: Place, release: Release, visit: Visit) -> None:
    """Rules 4 to 6 and 8 on a volume without a bucket; the phases that kubectl shows are true at every step."""
    async with open_watch(place, "ada") as watch:
        await place.moltbot("ada", DEMO)
        ada = await visit(place)
        await ada.enter()
        await ada.ask("847293 + 651824", "1499117")
        took = time.monotonic() - release.installed_at
        print(f"\nfrom `helm install` to the first answered chat: {took:.1f} s")
        assert took < 120
        await watch.saw("Waking", "Awake")
        assert watch.phases in (["Pending", "Waking", "Awake"], ["Waking", "Awake"]), "Pending is shown when there is something to wait for"

        await place.patch("ada", {"sleepAfter": "10s"})
        await watch.saw("Awake", "Draining", "Asleep")
        await expect(ada.banner).to_contain_text("Ada is asleep.")
        assert await place.replicas("ada") == 0

        await ada.ask("what did I say before?", "Earlier in this conversation you said")
        await watch.saw("Asleep", "Waking", "Awake")
        await expect(ada.log.get_by_text("1499117")).to_be_visible()

        await watch.saw("Awake", "Draining", "Asleep")
        await ada.page.reload()
        await expect(ada.log.get_by_text("1499117")).to_be_visible()
        await watch.saw("Asleep", "Waking", "Awake")
        await ada.ask("what did I say?", "what did I say before?")
        print("kubectl get moltbots -w:", *watch.lines, sep="\n  ")
        assert watch.lies() == []
