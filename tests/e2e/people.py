"""A person with a browser: opens the link, is approved in the administration, chats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.cluster import Place

WAIT_MS = 40_000


# Chromium says so whenever a pod's interface comes or goes on this machine, and asks again by itself.
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"


@dataclass
class Doors:
    """Where the router is reached from here: by port-forward, as NOTES.txt tells."""

    browser: Browser
    public_port: int
    admin_port: int
    admin_key: str

    def url(self, place: Place, name: str) -> str:
        return f"http://{name}--{place.namespace}.localhost:{self.public_port}"


@dataclass
class Visitor:
    """What the page complains about in its console is kept; `expected` are the parts that a test expects."""

    doors: Doors
    context: BrowserContext
    page: Page
    place: Place
    name: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=lambda: ["Password forms should have", NETWORK_CHANGED])

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)

    @property
    def log(self) -> Locator:
        """The conversation."""
        return self.page.get_by_role("region", name="Conversation")

    @property
    def box(self) -> Locator:
        return self.page.get_by_label(f"Message to {self.name.capitalize()}")

    @property
    def banner(self) -> Locator:
        return self.page.get_by_test_id("banner")

    async def open(self) -> None:
        """The link with the gateway token (lock 2); the token is gone from the address afterwards."""
        token = await self.place.token(self.name)
        url = self.doors.url(self.place, self.name)
        await self.page.goto(f"{url}/?token={token}")
        await expect(self.page).to_have_url(f"{url}/")

    async def enter(self) -> None:
        """The link, then approval of this browser in the administration (lock 3), until the chat is there."""
        await self.open()
        shown = self.page.get_by_test_id("device-id")
        await expect(shown).to_be_visible()
        device = ((await shown.get_attribute("title")) or "")[:8]
        async with administration(self.doors, self.place, self.name) as admin:
            await expect(admin.get_by_text(device[:4], exact=False).first).to_be_visible()
            await admin.get_by_role("button", name="Approve").first.click()
            await expect(self.box).to_be_visible()

    async def say(self, words: str) -> None:
        await self.box.fill(words)
        await self.page.get_by_role("button", name="Send").click()

    async def ask(self, words: str, answer: str) -> None:
        """Says something, until the answer has that in it, and has ended."""
        await self.say(words)
        await expect(self.log.get_by_text(answer).last).to_be_visible()
        await expect(self.page.get_by_test_id("running")).to_have_count(0)

    def unexpected(self) -> list[str]:
        return [one for one in self.complaints if not any(part in one for part in self.expected)]


@asynccontextmanager
async def open_visitor(doors: Doors, place: Place, name: str) -> AsyncIterator[Visitor]:
    """A new browser profile: a new device."""
    context = await doors.browser.new_context(viewport={"width": 1280, "height": 820}, locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    visitor = Visitor(doors, context, await context.new_page(), place, name)
    try:
        yield visitor
    finally:
        await context.close()
    assert visitor.unexpected() == [], f"the page complained: {visitor.unexpected()}"


@asynccontextmanager
async def administration(doors: Doors, place: Place, name: str) -> AsyncIterator[Page]:
    """That Moltbot in the administration."""
    context = await doors.browser.new_context(viewport={"width": 1280, "height": 1000}, locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    try:
        page = await context.new_page()
        await page.goto(f"http://localhost:{doors.admin_port}/_admin/#key={doors.admin_key}")
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        await page.goto(f"http://localhost:{doors.admin_port}/_admin/#/{place.namespace}/{name}")
        await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        yield page
    finally:
        await context.close()
