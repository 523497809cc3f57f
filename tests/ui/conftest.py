"""One Chromium for all tests of the pages, and a fake router for each. Everything shares one event loop: a browser belongs to the
loop that started it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, Playwright, async_playwright, expect

from tests.chromium import chromium_flags, find_chromium
from tests.fakes.router_ui import ROOT, FakeRouter

# A foreign name for 127.0.0.1: a page from another machine, without leaving this one.
RESOLVER_RULES = "MAP ada.example 127.0.0.1"
# Where pictures of the pages go when somebody wants to look: MOLTBOT_UI_PICTURES=/tmp/pictures make test ARGS=tests/ui
PICTURES = os.environ.get("MOLTBOT_UI_PICTURES")
WAIT_MS = 10_000
AXE_TAGS = "['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']"
AXE = ROOT / "operator/ui/node_modules/axe-core/axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here drives the browser, on the one loop and in the one worker that has it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as started:
        expect.set_options(timeout=WAIT_MS)
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    started = await playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(RESOLVER_RULES))
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def router() -> AsyncIterator[FakeRouter]:
    fake = FakeRouter()
    await fake.start()
    yield fake
    await fake.stop()
    assert fake.violations == [], "the page did what the router refuses"


class Visitor:
    """A person with a browser. Whatever the page complains about in its console fails the test, except what the test expects."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.complaints: list[str] = []
        self.expected: list[str] = ["the server responded with a status of 401", "Password forms should have"]
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)

    @property
    def log(self) -> Locator:
        """The conversation, without what is said to screen readers beside it."""
        return self.page.get_by_role("region", name="Conversation")

    def unexpected(self) -> list[str]:
        return [one for one in self.complaints if not any(part in one for part in self.expected)]

    async def picture(self, name: str) -> None:
        if PICTURES is not None:
            await asyncio.to_thread(Path(PICTURES).mkdir, parents=True, exist_ok=True)
            await self.page.screenshot(path=f"{PICTURES}/{name}.png")

    async def accessible(self, name: str) -> None:
        """axe finds nothing against WCAG 2.2 A and AA, in light and in dark."""
        await self.page.evaluate("document.querySelectorAll('*').forEach((one) => one.getAnimations().forEach((a) => a.finish?.()))")
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            if not await self.page.evaluate("'axe' in window"):
                # As an isolated evaluation, which the page's own policy does not forbid.
                await self.page.evaluate(await asyncio.to_thread(AXE.read_text))
            # Only colours differ between the two.
            rules = "{runOnly: %s}" % (AXE_TAGS if scheme == "light" else "['color-contrast']")
            found: list[dict[str, Any]] = await self.page.evaluate(f"async () => (await axe.run({rules})).violations")
            said = [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']]}" for one in found]
            assert said == [], f"{name} in {scheme}"
            await self.picture(f"{name}-{scheme}")


Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """`await visit()` is a new person on a desktop, `await visit(phone=True)` on a phone."""
    visitors: list[Visitor] = []

    async def new(*, phone: bool = False) -> Visitor:
        size: Any = {"width": 390, "height": 800} if phone else {"width": 1280, "height": 820}
        context = await browser.new_context(viewport=size, has_touch=phone, is_mobile=phone, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(WAIT_MS)
        visitor = Visitor(context, await context.new_page())
        visitors.append(visitor)
        return visitor

    yield new
    for visitor in visitors:
        await visitor.context.close()
    for visitor in visitors:
        assert visitor.unexpected() == [], "the page complained"


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(visit: Visit) -> Visitor:
    return await visit()


async def enter(router: FakeRouter, visitor: Visitor) -> str:
    """Opens the page by its link and approves the device; its id."""
    await visitor.page.goto(router.link())
    device = await router.gateway.until_pending()
    router.gateway.approve(device)
    await expect(visitor.page.get_by_label("Message to Ada")).to_be_visible()
    return device


async def say(visitor: Visitor, words: str) -> None:
    await visitor.page.get_by_label("Message to Ada").fill(words)
    await visitor.page.get_by_role("button", name="Send").click()
