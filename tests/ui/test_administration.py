"""The administration: its lock, what it shows at once, and what a person can do there."""

from __future__ import annotations

from typing import Any

import pytest_asyncio
from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.ui import samples
from tests.ui.conftest import Visit, Visitor

Document = dict[str, Any]


@pytest_asyncio.fixture(loop_scope="session")
async def ada(router: FakeRouter) -> Document:
    document = samples.ada()
    router.admin.moltbots["default/ada"] = document
    return document


async def enter(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.goto(router.admin.link())
    await expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("ada")


async def test_key_in_the_link_opens_and_leaves_the_location(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    """Lock 1 on loopback; with one Moltbot, straight to it."""
    await enter(router, visitor)
    assert visitor.page.url == f"{router.url}/_admin/"
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Awake")
    await visitor.accessible("admin")
    await visitor.page.reload()
    await expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("ada")


async def test_wrong_key_is_told_and_the_right_one_can_be_given(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await visitor.page.goto(f"{router.url}/_admin/#key=wrong")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("That key is not right.")
    assert "wrong" not in visitor.page.url
    await visitor.accessible("admin-locked")
    await visitor.page.get_by_label("Administration key").fill(router.admin_key)
    await visitor.page.get_by_role("button", name="Open").click()
    await expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("ada")
    await visitor.page.get_by_role("button", name="Sign out").click()
    await expect(visitor.page.get_by_label("Administration key")).to_be_visible()
    await visitor.page.reload()
    await expect(visitor.page.get_by_label("Administration key")).to_be_visible()


async def test_session_that_ends_locks_the_page(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    router.admin.end_sessions()
    await expect(visitor.page.get_by_label("Administration key")).to_be_visible()


async def test_changes_are_pushed(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    ada["status"]["phase"] = "Draining"
    ada["status"]["history"].insert(0, {"phase": "Draining", "time": samples.ago(1), "reason": "Idle"})
    router.admin.push()
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Going to sleep")
    await expect(visitor.page.get_by_role("list", name="Phases").locator("li").first).to_contain_text("Going to sleep")


async def test_device_that_asks_appears_and_is_approved(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    """Lock 3: what is shown beside the button is what is approved, by the request that was shown."""
    await enter(router, visitor)
    device = samples.pending("Chrome on Windows", "Windows")
    ada["devices"].append(device)
    router.admin.push()
    await expect(visitor.page.get_by_role("heading", name="A device waits for approval")).to_be_visible()
    await visitor.accessible("admin-pending")
    asked = f"approve {device['deviceId']} {device['request']['id']}"
    await visitor.page.get_by_role("button", name="Approve Chrome on Windows").click()
    await router.admin.until_call(asked)
    await expect(visitor.page.get_by_text("Chrome on Windows is approved.")).to_be_visible()
    await expect(visitor.page.get_by_role("heading", name="A device waits for approval")).to_have_count(0)
    await expect(visitor.page.get_by_role("button", name="Remove Chrome on Windows")).to_be_visible()


async def test_all_are_approved_at_once(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    ada["devices"] += [samples.pending("one"), samples.pending("two", "Android"), samples.pending("three", "Linux", "cli")]
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Approve all (3)").click()
    await expect(visitor.page.get_by_role("heading", name="wait for approval")).to_have_count(0)
    assert router.admin.calls == ["approve-all"]


async def test_approved_device_that_asks_for_more_is_shown_twice(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    ada["devices"] = [samples.paired("Laptop") | {"request": samples.pending("Laptop")["request"]}]
    await enter(router, visitor)
    await expect(visitor.page.get_by_text("approved for less so far")).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="Remove Laptop")).to_be_visible()


async def test_removing_asks_first(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Remove Safari on macOS").click()
    await visitor.accessible("admin-remove")
    await visitor.page.get_by_role("button", name="Cancel").click()
    assert router.admin.calls == []
    await visitor.page.get_by_role("button", name="Remove Safari on macOS").click()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(visitor.page.get_by_role("button", name="Remove Safari on macOS")).to_have_count(0)
    assert router.admin.calls == [f"remove {samples.device_id('Safari on macOS')}"]


async def test_actions_are_asked_for_and_said(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Sleep").click()
    await expect(visitor.page.get_by_text("Asked to sleep")).to_be_visible()
    await visitor.page.get_by_role("button", name="Restart").click()
    await expect(visitor.page.get_by_text("Asked to restart.")).to_be_visible()
    await visitor.page.get_by_role("button", name="Backup now").click()
    await expect(visitor.page.get_by_text("Asked for a backup.")).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="Wake")).to_be_disabled()
    ada["status"]["phase"] = "Asleep"
    router.admin.push()
    await visitor.page.get_by_role("button", name="Wake").click()
    await expect(visitor.page.get_by_text("Asked to wake.")).to_be_visible()
    assert router.admin.calls == ["action sleep", "action restart", "backup", "action wake"]


async def test_refused_action_says_what_to_do(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    router.admin.failure = (409, "suspended", "It is suspended. Set operatingMode: Auto first.")
    visitor.expected.append("status of 409")
    await visitor.page.get_by_role("button", name="Restart").click()
    await expect(visitor.page.get_by_text("Set operatingMode: Auto first.")).to_be_visible()
    await visitor.accessible("admin-error")


async def test_memory_without_a_bucket_is_a_note_and_no_problem(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    del ada["status"]["lastBackup"]
    ada["status"]["conditions"][-1] = samples.condition("BackupReady", "False", "NotConfigured", "No bucket is set.")
    ada["snapshots"] = []
    await enter(router, visitor)
    backups = visitor.page.get_by_role("region", name="Conditions").get_by_role("listitem").filter(has_text="Backups")
    await expect(backups).to_have_class("calm")
    await expect(backups).to_contain_text("Note: Backups")
    await expect(visitor.page.get_by_test_id("last-backup")).to_contain_text("No bucket is set, so nothing is backed up.")
    button = visitor.page.get_by_role("button", name="Backup now")
    await expect(button).to_be_disabled()
    await expect(button).to_have_attribute("title", "There is no bucket to back up to: name one in persistence.bucket.")
    await visitor.accessible("admin-no-bucket")


async def test_a_bucket_that_was_taken_out_is_backed_up_to_no_more(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    """What is told of the last backup stays."""
    ada["status"]["conditions"][-1] = samples.condition("BackupReady", "False", "NotConfigured", "No bucket is set.")
    await enter(router, visitor)
    await expect(visitor.page.get_by_test_id("last-backup")).to_contain_text("No bucket is set any more, so nothing is backed up.")
    await expect(visitor.page.get_by_role("button", name="Backup now")).to_be_disabled()


async def test_bad_conditions_come_first_with_reason_and_remedy(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    ada["status"]["phase"] = "Failed"
    ada["status"]["conditions"] += [samples.condition("Exposed", "False", "HostConflict", "Another Moltbot, work/ada, has this host.")]
    ada["snapshots"][0] |= {"phase": "Failed", "message": "The bucket refused the credentials."}
    await enter(router, visitor)
    first = visitor.page.get_by_role("region", name="Conditions").get_by_role("listitem").first
    await expect(first).to_contain_text("Problem: AddressHost conflict")
    await expect(first).to_contain_text("Another Moltbot, work/ada, has this host.")
    await expect(visitor.page.get_by_text("The bucket refused the credentials.")).to_be_visible()
    await visitor.accessible("admin-failed")


async def test_fresh_one_says_what_is_not_there_yet(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    ada["status"], ada["devices"], ada["snapshots"] = {}, [], []
    await enter(router, visitor)
    await expect(visitor.page.get_by_test_id("last-backup")).to_contain_text("Never")
    await expect(visitor.page.get_by_text("The operator has not looked at this Moltbot yet.")).to_be_visible()
    await visitor.accessible("admin-fresh")


async def test_last_wake_is_shown_by_its_parts(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    wake = visitor.page.get_by_role("region", name="Last wake")
    await expect(wake).to_contain_text("1.62 s")
    await expect(wake).to_contain_text("woken by a message")
    # The gateway's milliseconds are each since its own start; what nobody measured is the containers' start.
    await expect(wake.locator("dl > div")).to_have_text(
        [
            "Got a pod90 ms",
            "Got an address400 ms",
            "Started its containers290 ms",
            "Started the gateway310 ms",
            "Restored the memory480 ms",
            "Opened the memory50 ms",
        ]
    )


async def test_several_are_listed_and_chosen(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    router.admin.moltbots["work/grace"] = samples.ada(phase="Asleep") | {"namespace": "work", "name": "grace"}
    await visitor.page.goto(router.admin.link())
    await expect(visitor.page.get_by_role("heading", name="Moltbots")).to_be_visible()
    await visitor.accessible("admin-list")
    await visitor.page.get_by_role("link", name="grace").click()
    await expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("grace")
    await visitor.page.get_by_role("link", name="All Moltbots").click()
    await visitor.page.get_by_role("link", name="ada").click()
    await expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("ada")


async def test_none_yet_says_how_to_make_one(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.goto(router.admin.link())
    await expect(visitor.page.get_by_text("kubectl apply -f")).to_be_visible()
    await visitor.accessible("admin-none")


async def test_lost_stream_is_told_until_it_is_back(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    await enter(router, visitor)
    visitor.expected.append("ERR_INTERNET_DISCONNECTED")
    await visitor.context.set_offline(True)
    router.admin.pushes.end()
    await expect(visitor.page.get_by_text("The connection to the router is lost")).to_be_visible()
    await visitor.context.set_offline(False)
    await expect(visitor.page.get_by_text("The connection to the router is lost")).to_have_count(0)


async def test_what_a_device_says_of_itself_stays_text(router: FakeRouter, visitor: Visitor, ada: Document) -> None:
    """Rule 12."""
    ada["devices"] = [samples.pending("<img src=x onerror=window.hit=1>", "<b>Linux</b>")]
    await enter(router, visitor)
    await expect(visitor.page.get_by_text("<img src=x onerror=window.hit=1>")).to_be_visible()
    assert await visitor.page.evaluate("window.hit") is None


async def test_phone_shows_all_without_scrolling_sideways(router: FakeRouter, visit: Visit, ada: Document) -> None:
    ada["devices"] += [samples.pending("Firefox on Android", "Android"), samples.pending("Chrome on Windows", "Windows")]
    visitor = await visit(phone=True)
    await enter(router, visitor)
    assert await visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await visitor.accessible("admin-phone")
