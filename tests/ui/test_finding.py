"""The list of conversations: search, groups, marks."""

from __future__ import annotations

from playwright.async_api import expect

from moltbot_protocol.hello import MAIN_SESSION
from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_chat import now_ms
from tests.ui.conftest import Visit, Visitor, enter

DAY_MS = 86_400_000


def put(router: FakeRouter, key: str, title: str, *, days: float = 0, **row: object) -> None:
    """A conversation of some days ago."""
    router.gateway.history.setdefault(key, [])
    router.gateway.settings[key] = {"label": title, "updatedAt": now_ms() - int(days * DAY_MS), **row}


async def test_conversations_stand_in_groups_by_time_with_their_kind(router: FakeRouter, visitor: Visitor) -> None:
    put(router, "agent:main:web-1", "Sunday soup", days=1.0)
    put(router, "agent:main:cron:brief", "Morning brief", days=3, kind="cron")
    put(router, "agent:main:sub-1", "Look up trains", days=60, kind="subagent")
    await enter(router, visitor)
    chats = visitor.page.get_by_role("navigation", name="Chats")
    await expect(chats.get_by_role("heading")).to_have_text(["Yesterday", "Last 7 days", "Older"])
    await expect(chats.get_by_role("button", name="Scheduled: Morning brief")).to_be_visible()
    await expect(chats.get_by_role("button", name="Subagent: Look up trains")).to_be_visible()
    await visitor.accessible("groups")


async def test_what_goes_on_and_what_is_new_is_marked(router: FakeRouter, visitor: Visitor) -> None:
    put(router, "agent:main:web-1", "Sunday soup", days=1)
    put(router, "agent:main:web-2", "Trains", days=2)
    await enter(router, visitor)
    chats = visitor.page.get_by_role("navigation", name="Chats")
    await expect(chats.get_by_text("Trains")).to_be_visible()
    router.gateway.settings["agent:main:web-1"]["hasActiveRun"] = True
    router.gateway.settings["agent:main:web-2"]["updatedAt"] = now_ms() + 1000
    await router.gateway.broadcast("sessions.changed", {"sessionKey": "agent:main:web-2", "reason": "message"})
    await expect(chats.get_by_role("button", name="Trains new")).to_be_visible()
    await expect(chats.get_by_role("button", name="Sunday soup answering")).to_be_visible()
    await visitor.accessible("marks")
    await chats.get_by_role("button", name="Trains new").click()
    await expect(chats.get_by_role("button", name="Trains new")).to_have_count(0)


async def test_search_finds_names_at_once_and_messages_by_their_words(router: FakeRouter, visitor: Visitor) -> None:
    put(router, "agent:main:web-1", "Sunday soup", days=1)
    for number in range(120):
        content = "the spare key is in the blue flowerpot" if number == 10 else f"line {number}"
        await router.gateway.say("agent:main:web-1", {"role": "user", "content": content})
    router.gateway.page_size = 50
    hit = {"key": "agent:main:web-1", "messageId": "11", "role": "user", "timestamp": now_ms(), "title": "Sunday soup"}
    router.gateway.assistant.hits = [hit | {"snippet": "the spare \x02key\x03 is in the blue flowerpot"}]
    await enter(router, visitor)
    await visitor.page.get_by_label("Search chats").fill("key")
    chats = visitor.page.get_by_role("navigation", name="Chats")
    found = chats.get_by_role("region", name="Found in messages").get_by_role("button")
    await expect(found).to_contain_text("the spare key is in the blue flowerpot")
    await expect(found.locator("mark")).to_have_text("key")
    await expect(chats.get_by_text("Main conversation")).to_have_count(0)
    await visitor.accessible("search")
    await found.click()
    await expect(visitor.log.get_by_text("blue flowerpot")).to_be_in_viewport()
    await visitor.page.get_by_label("Search chats").fill("soup")
    await expect(chats.get_by_role("button", name="Sunday soup").first).to_be_visible()
    await visitor.page.get_by_label("Search chats").press("Escape")
    await expect(visitor.page.get_by_label("Search chats")).to_have_value("")


async def test_nothing_found_is_said(router: FakeRouter, visit: Visit) -> None:
    visitor = await visit(phone=True)
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Show the list of chats").click()
    await visitor.page.get_by_label("Search chats").fill("zebra")
    await expect(visitor.page.get_by_text("Nothing found.")).to_be_visible()
    assert router.gateway.assistant.queries[-1] == "zebra"
    await visitor.accessible("search-phone")


async def test_usage_of_answers_is_set_for_a_chat(router: FakeRouter, visitor: Visitor) -> None:
    router.gateway.settings[MAIN_SESSION] = {"responseUsage": "off", "cost": 0.42}
    usage = {"input": 1200, "output": 300, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 1500, "cost": {"total": 0, "unknown": True}}
    await router.gateway.say(MAIN_SESSION, {"role": "assistant", "content": "Hello.", "usage": usage, "stopReason": "stop"}, "run-1")
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Actions for Main conversation").click()
    await visitor.page.get_by_role("menuitem", name="Show usage of answers in full").click()
    await expect(visitor.log).to_contain_text("1.2k in · 300 out · price unknown")
    await expect(visitor.page.get_by_role("button", name="This chat took $0.42")).to_be_visible()
