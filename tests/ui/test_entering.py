"""How a person gets in: token, approval, and out again."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.ui.conftest import Visit, Visitor, enter


async def test_token_page_is_usable_and_lets_in(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.goto(router.url)
    await expect(visitor.page.get_by_role("heading", name="Gateway token")).to_be_visible()
    await visitor.accessible("page-token")
    await visitor.page.get_by_label("Gateway token").fill("wrong")
    await visitor.page.get_by_role("button", name="Continue").click()
    await expect(visitor.page.get_by_text("This token is not right.")).to_be_visible()
    await visitor.page.get_by_label("Gateway token").fill(router.token)
    await visitor.page.get_by_role("button", name="Continue").click()
    await expect(visitor.page.get_by_role("heading", name="Approve this device")).to_be_visible()


async def test_token_in_the_fragment_is_posted_and_leaves_the_location(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.goto(f"{router.url}/#token={router.token}")
    await expect(visitor.page.get_by_role("heading", name="Approve this device")).to_be_visible()
    assert router.token not in visitor.page.url
    assert router.logins == [True]


async def test_wrong_token_in_the_fragment_says_so(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.goto(f"{router.url}/#token=wrong")
    await expect(visitor.page.get_by_text("The token in this link is not right")).to_be_visible()
    assert visitor.page.url == f"{router.url}/"


async def test_page_turns_into_the_chat_when_the_device_is_approved(router: FakeRouter, visitor: Visitor) -> None:
    """Lock 3: nothing to press after the approval."""
    await visitor.page.goto(router.link())
    device = await router.gateway.until_pending()
    await expect(visitor.page.get_by_test_id("device-id")).to_have_text(f"{device[:4]}-{device[4:8]}")
    await expect(visitor.page.get_by_text(f"moltbot devices approve {device[:8]}").first).to_be_visible()
    await expect(visitor.page.get_by_role("link", name="Open the administration")).to_have_attribute("href", f"{router.url}/_admin/")
    await visitor.accessible("pairing")
    router.gateway.approve(device)
    await expect(visitor.page.get_by_role("heading", name="Hello, I'm Ada.")).to_be_visible()
    await visitor.accessible("welcome")


async def test_approval_that_overtakes_the_refusal_is_not_waited_for(router: FakeRouter, visitor: Visitor) -> None:
    """Approved between the router's refusal and its arrival: the push comes first, and the page tries again at once."""
    await visitor.page.goto(router.link())
    device = await router.gateway.until_pending()
    await expect(visitor.page.get_by_role("heading", name="Approve this device")).to_be_visible()
    release = router.gateway.hold_refusals()
    await visitor.page.reload()
    await router.gateway.until_held()
    router.gateway.approve(device)
    await expect(visitor.page.get_by_test_id("phase")).to_have_count(0)
    release()
    await expect(visitor.page.get_by_label("Message to Ada")).to_be_visible()


async def test_device_keeps_its_key_and_token_over_a_reload(router: FakeRouter, visitor: Visitor) -> None:
    device = await enter(router, visitor)
    await visitor.page.reload()
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Awake")
    assert list(router.gateway.approved) == [device]
    assert router.gateway.pending == {}


async def test_two_browsers_are_two_devices(router: FakeRouter, visit: Visit) -> None:
    one, other = await visit(), await visit(phone=True)
    first = await enter(router, one)
    second = await enter(router, other)
    assert first != second
    await other.accessible("welcome-phone")


async def test_removed_device_sees_nothing_of_the_chat_any_more(router: FakeRouter, visitor: Visitor) -> None:
    """Lock 3: removing is at once, on the page too."""
    router.gateway.history["agent:main:main"] = [{"role": "user", "content": "a secret plan", "timestamp": 1}]
    device = await enter(router, visitor)
    await expect(visitor.page.get_by_text("a secret plan")).to_be_visible()
    await router.gateway.remove(device)
    await expect(visitor.page.get_by_text("approval was removed")).to_be_visible()
    await expect(visitor.page.get_by_text("a secret plan")).to_have_count(0)
    kept = await visitor.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert "a secret plan" not in kept


async def test_revoked_device_token_is_dropped_and_the_cookie_still_counts(router: FakeRouter, visitor: Visitor) -> None:
    device = await enter(router, visitor)
    router.gateway.approved[device] = "another generation"
    await router.gateway.drop_all()
    await expect(visitor.page.get_by_test_id("phase")).to_have_text("Awake")
    await expect(visitor.page.get_by_test_id("banner")).to_have_count(0)
    async with asyncio.timeout(20):  # it comes with the next opening, which nothing in sight tells
        while await visitor.page.evaluate("JSON.parse(localStorage['moltbot.deviceToken'])") != "another generation":
            await asyncio.sleep(0.02)


async def test_rotated_token_asks_a_device_that_is_not_approved(router: FakeRouter, visitor: Visitor) -> None:
    """Lock 2: the page itself asks for the new token."""
    await visitor.page.goto(router.link())
    device = await router.gateway.until_pending()
    router.rotate_token()
    router.events.end()
    await expect(visitor.page.get_by_role("heading", name="A gateway token is needed")).to_be_visible()
    await visitor.accessible("token")
    await visitor.page.get_by_label("Gateway token").fill("no")
    await visitor.page.get_by_role("button", name="Continue").click()
    await expect(visitor.page.get_by_role("alert")).to_contain_text("not right")
    await visitor.page.get_by_label("Gateway token").fill(router.token)
    await visitor.page.get_by_role("button", name="Continue").click()
    await expect(visitor.page.get_by_role("heading", name="Approve this device")).to_be_visible()
    router.gateway.approve(device)
    await expect(visitor.page.get_by_label("Message to Ada")).to_be_visible()


async def test_plain_http_from_elsewhere_works_and_warns(router: FakeRouter, visitor: Visitor) -> None:
    """No crypto.subtle and no randomUUID off loopback; identity and idempotency keys are made all the same."""
    router.url = router.url.replace("localhost", "ada.example")
    await visitor.page.goto(router.link())
    # The router's header for pages that are let in by https; Chromium says in its console that it means nothing here.
    visitor.expected.append("Cross-Origin-Opener-Policy")
    assert await visitor.page.evaluate("isSecureContext") is False
    device = await router.gateway.until_pending()
    router.gateway.approve(device)
    await expect(visitor.page.get_by_text("This connection is not encrypted")).to_be_visible()
    await visitor.page.get_by_label("Message to Ada").fill("hello")
    await visitor.page.get_by_label("Message to Ada").press("Enter")
    assert (await router.gateway.until_turn()).message == "hello"
    await visitor.accessible("not-encrypted")


async def test_clock_that_is_off_is_told_as_such(router: FakeRouter, visitor: Visitor) -> None:
    await visitor.page.add_init_script("const real = Date.now; Date.now = () => real() - 3600_000")
    await visitor.page.goto(router.link())
    await expect(visitor.page.get_by_text("clock is off")).to_be_visible()
    await visitor.accessible("refused")
    assert router.violations
    assert all(re.search("signature expired", one) for one in router.violations)
    router.violations.clear()
