"""What a person sees of sleep and wake."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.fakes.router_ui import PAGES, FakeRouter
from tests.ui.conftest import Visitor, enter, say


async def talk(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "Remember the blue door")
    await router.gateway.final(await router.gateway.until_turn(), "I shall.")
    await expect(visitor.log.get_by_text("I shall.")).to_be_visible()


async def test_asleep_the_chat_stays_and_the_next_message_wakes(router: FakeRouter, visitor: Visitor) -> None:
    """Rules 4 and 6: reading wakes nothing; a message does, and is kept."""
    await talk(router, visitor)
    router.set_phase("Draining")
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("going to sleep")
    router.set_phase("Asleep")
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Ada is asleep.")
    await expect(visitor.log.get_by_text("I shall.")).to_be_visible()
    await visitor.accessible("asleep")
    await say(visitor, "Which door?")
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Ada is waking up.")
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Starting the pod · about")
    await expect(visitor.page.get_by_role("progressbar", name="Waking up")).to_have_attribute("aria-valuenow", "0")
    await expect(visitor.page.get_by_text("Kept until it is awake")).to_be_visible()
    await visitor.accessible("waking")
    router.set_phase("Waking", "Restoring its memory", None)
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Restoring its memory")
    router.set_phase("Awake")
    router.gateway.awake.set()
    turn = await router.gateway.until_turn(2)
    assert turn.message == "Which door?"
    await router.gateway.final(turn, "The blue one.")
    await expect(visitor.log.get_by_text("The blue one.")).to_be_visible()
    await expect(visitor.page.get_by_text("Remember the blue door")).to_have_count(1)
    await expect(visitor.page.get_by_test_id("banner")).to_have_count(0)


async def test_reload_asleep_shows_what_was_said_and_reads_it_anew_after_the_wake(router: FakeRouter, visitor: Visitor) -> None:
    await talk(router, visitor)
    router.set_phase("Asleep")
    await visitor.page.reload()
    await expect(visitor.log.get_by_text("I shall.")).to_be_visible()
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Asleep")
    router.gateway.history["agent:main:main"].append({"role": "assistant", "content": "Said while you were away.", "timestamp": 1})
    router.set_phase("Waking", "Starting the pod", 3)
    router.set_phase("Awake")
    await expect(visitor.log.get_by_text("Said while you were away.")).to_be_visible()


async def test_failed_wake_says_why_and_keeps_the_message(router: FakeRouter, visitor: Visitor) -> None:
    await talk(router, visitor)
    router.set_phase("Asleep")
    await say(visitor, "Are you there?")
    await router.gateway.until_sends(2)
    router.set_phase("Failed", "The image could not be pulled.", None, "ErrImagePull")
    router.gateway.awake.set()
    await expect(visitor.page.get_by_test_id("failure")).to_contain_text("The image could not be pulled.")
    await expect(visitor.page.get_by_test_id("failure")).to_contain_text("ErrImagePull")
    await expect(visitor.log.get_by_text("Not sent: The image could not be pulled.")).to_be_visible()
    await visitor.accessible("failed")
    router.set_phase("Awake")
    await visitor.page.get_by_role("button", name="Retry").click()
    assert (await router.gateway.until_turn(2)).message == "Are you there?"


async def test_suspended_says_so_and_sends_nothing(router: FakeRouter, visitor: Visitor) -> None:
    await talk(router, visitor)
    router.set_phase("Suspended")
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Ada is suspended.")
    await visitor.page.get_by_label("Message to Ada").fill("hello?")
    await visitor.page.get_by_label("Message to Ada").press("Enter")
    await expect(visitor.page.get_by_role("button", name="Send")).to_be_disabled()
    await visitor.accessible("suspended")
    assert len(router.gateway.sends) == 1


async def test_first_start_is_told_as_such(router: FakeRouter, visitor: Visitor) -> None:
    router.set_phase("Pending", "Waiting for its volume", None, "StorageReady")
    await enter(router, visitor)
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Ada is being set up. Waiting for its volume")
    await visitor.accessible("pending")


async def test_pushed_events_that_break_off_come_back(router: FakeRouter, visitor: Visitor) -> None:
    await talk(router, visitor)
    router.events.end()
    router.phase = {"phase": "Asleep", "message": None, "estimateSeconds": None, "reason": None}
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Asleep")


async def test_waiting_page_follows_and_goes_on_when_awake(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    router.set_phase("Waking", "Starting the pod", 8)
    await visitor.page.goto(f"{router.url}/pages/waiting")
    await expect(visitor.page.get_by_role("status")).to_contain_text("Starting the pod · about")
    await expect(visitor.page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "0")
    await visitor.accessible("page-waiting")
    router.set_phase("Failed", "The previous pod is stuck on node-2.")
    await expect(visitor.page.get_by_role("status")).to_have_text("The previous pod is stuck on node-2.")
    await expect(visitor.page.get_by_role("progressbar")).to_be_hidden()
    router.set_phase("Waking", "Starting the pod", 8)
    async with visitor.page.expect_navigation():
        router.set_phase("Awake")


@pytest.mark.parametrize("kind", [kind for kind in PAGES if kind not in ("token", "waiting")])
async def test_the_routers_other_pages_are_accessible(router: FakeRouter, visitor: Visitor, kind: str) -> None:
    await visitor.page.goto(f"{router.url}/pages/{kind}")
    await expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    await visitor.accessible(f"page-{kind}")
