"""Cards of tools, thinking and approvals: what the assistant does, seen while it does it."""

from __future__ import annotations

from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.ui.conftest import Visit, Visitor, enter
from tests.ui.conversing import begin, call, use

DIFF = "--- notes.md\n+++ notes.md\n@@ -1,2 +1,2 @@\n # Notes\n-red door\n+blue door"


async def test_program_shows_what_it_puts_out_while_it_runs(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "exec", label="Run a program", describe="make test", command="make test")
    card = visitor.page.get_by_test_id("tool")
    await expect(card).to_have_attribute("data-status", "running")
    await expect(card).to_contain_text("make test")
    await router.gateway.tool(turn, "exec", "update", partialResult={"text": "3 passed\n4 passed"})
    await expect(card.get_by_label("Output")).to_have_text("3 passed\n4 passed")
    await visitor.accessible("tool-running")
    await router.gateway.result(turn, "call-1", "exec", "5 passed", details={"exitCode": 0}, took=4200)
    await expect(card).to_have_attribute("data-status", "done")
    await expect(card).to_contain_text("4 s")
    await router.gateway.final(turn, "All is well.")
    await expect(visitor.page.get_by_test_id("running")).to_have_count(0)
    await card.get_by_role("button", name="Run a program").click()
    await expect(card.get_by_label("Output")).to_have_text("5 passed")
    await expect(card.get_by_label("Command").first).to_contain_text("make test")
    await visitor.accessible("tool-terminal")


async def test_edit_is_shown_as_a_difference(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "edit", path="notes.md", old="red", new="blue")
    await router.gateway.result(turn, "call-1", "edit", "Changed notes.md", details={"diff": DIFF})
    await router.gateway.final(turn, "Done.")
    card = visitor.page.get_by_test_id("tool")
    await card.get_by_role("button").first.click()
    changes = card.get_by_label("Changes")
    await expect(changes).to_contain_text("removed: -red door")
    await expect(changes).to_contain_text("added: +blue door")
    await expect(card).to_contain_text("+1 −1")
    await visitor.accessible("tool-diff")


async def test_failed_call_says_so_and_why(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "web_fetch", label="Read a web page", url="https://example.org")
    await router.gateway.result(turn, "call-1", "web_fetch", "The page was not found (404).", failed=True)
    await router.gateway.final(turn, "It is not there.")
    card = visitor.page.get_by_test_id("tool")
    await expect(card).to_contain_text("Failed")
    await expect(card).to_contain_text("https://example.org")
    await card.get_by_role("button").first.click()
    await expect(card.get_by_label("Result", exact=True)).to_have_text("The page was not found (404).")
    await visitor.accessible("tool-failed")


async def test_many_calls_fold_into_one_line_and_are_the_same_after_a_reload(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    names = ("read", "search", "web_search", "read")
    calls = [call(name, f"call-{number}", path=f"file-{number}.md") for number, name in enumerate(names)]
    await router.gateway.step(turn, {"type": "text", "text": "I look around."}, *calls)
    for number, name in enumerate(names):
        await router.gateway.tool(turn, name, "start", f"call-{number}", args={"path": f"file-{number}.md"}, label=name)
        await router.gateway.result(turn, f"call-{number}", name, "found", failed=number == 2)
    await router.gateway.final(turn, "Found it.")
    for _ in range(2):
        group = visitor.page.get_by_role("button", name="4 steps")
        await expect(group).to_contain_text("1 failed")
        await expect(visitor.page.get_by_test_id("tool")).to_have_count(0)
        await group.click()
        await expect(visitor.page.get_by_test_id("tool")).to_have_count(4)
        await visitor.accessible("tool-group")
        await visitor.page.reload()
        await expect(visitor.log.get_by_text("Found it.")).to_be_visible()


async def test_call_without_a_result_was_interrupted_and_the_answer_goes_on(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "exec", command="sleep 1000")
    turn.over = True
    cut_off = {"role": "assistant", "content": [], "stopReason": "interrupted", "interrupted": True}
    await router.gateway.say(turn.session, cut_off, turn.run)
    await visitor.page.reload()
    await expect(visitor.page.get_by_test_id("tool")).to_have_attribute("data-status", "interrupted")
    cut = visitor.page.get_by_test_id("interrupted")
    await expect(cut).to_contain_text("interrupted by a restart")
    await visitor.accessible("interrupted")
    await cut.get_by_role("button", name="Continue").click()
    again = await router.gateway.until_turn(2)
    await router.gateway.final(again, "Where was I? Done.")
    await expect(visitor.log.get_by_text("Where was I? Done.")).to_be_visible()


async def test_reload_in_the_middle_of_a_turn_shows_its_steps_so_far(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "read", path="notes.md")
    await router.gateway.result(turn, "call-1", "read", "a note")
    await router.gateway.delta(turn, "The note says")
    await visitor.page.reload()
    running = visitor.page.get_by_test_id("running")
    await expect(running).to_contain_text("The note says")
    await expect(running.get_by_test_id("tool")).to_have_count(1)
    await router.gateway.delta(turn, "The note says hello")
    await expect(running).to_contain_text("The note says hello")
    await expect(running.get_by_text("The note says")).to_have_count(1)
    await router.gateway.final(turn, "The note says hello.")
    await expect(visitor.page.get_by_role("article", name="Ada")).to_have_count(1)


async def test_thinking_streams_and_folds(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await router.gateway.thinking(turn, "First I weigh")
    thoughts = visitor.page.get_by_test_id("thoughts")
    await expect(thoughts).to_contain_text("Thinking…")
    await thoughts.get_by_role("button").click()
    await router.gateway.thinking(turn, "First I weigh the options.")
    await expect(thoughts).to_contain_text("First I weigh the options.")
    await visitor.accessible("thinking")
    await router.gateway.delta(turn, "The left one.")
    await expect(thoughts).to_contain_text("Thought for")
    blocks = [{"type": "thinking", "thinking": "First I weigh the options."}, {"type": "text", "text": "The left one."}]
    await router.gateway.final(turn, "", content=blocks)
    await expect(visitor.page.get_by_test_id("running")).to_have_count(0)
    await expect(thoughts).to_contain_text("Thought for")


async def test_pictures_of_a_result_are_shown_and_fetched_once(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "read", path="chart.png")
    await router.gateway.result(turn, "call-1", "read", "A picture.", router.gateway.assistant.keep("chart.png"))
    await router.gateway.final(turn, "Here it is.")
    picture = visitor.page.get_by_role("img", name="chart.png")
    await expect(picture).to_have_js_property("naturalWidth", 8)
    await visitor.page.get_by_role("button", name="Show chart.png large").click()
    await expect(visitor.page.get_by_role("dialog", name="chart.png")).to_be_visible()
    await visitor.accessible("picture-large")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.get_by_role("button", name="New chat").first.click()
    await visitor.page.go_back()
    await expect(picture).to_have_js_property("naturalWidth", 8)
    assert router.gateway.assistant.asked_for == ["m-1"]


async def test_approval_is_answered_by_keyboard(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "exec", command="git push origin main", label="Run a program")
    await router.gateway.status(turn, "waiting-approval", "Waiting for your word")
    assistant = router.gateway.assistant
    approval = await assistant.ask("git push origin main", turn.session, call="call-1")
    card = visitor.page.get_by_test_id("approval")
    await expect(card).to_contain_text("git push origin main")
    await expect(card).to_contain_text("min left")
    await expect(card.get_by_role("button", name="Always allow git *")).to_be_visible()
    await expect(visitor.page.get_by_test_id("running")).to_contain_text("Waiting for your word…")
    await expect(visitor.page.get_by_test_id("tool")).to_contain_text("Waiting for you")
    await expect(visitor.page.locator("[aria-live=polite]").filter(has_text="Ada asks to run: git push")).to_have_count(1)
    await visitor.accessible("approval")
    await card.get_by_role("button", name="Allow once").focus()
    await visitor.page.keyboard.press("Tab")
    await visitor.page.keyboard.press("Enter")
    await assistant.until(lambda: bool(assistant.decisions))
    assert assistant.decisions == [(approval, "allow-always")]
    await expect(card).to_have_count(0)


async def test_approval_out_of_sight_is_told_above_the_composer(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    for number in range(30):
        await router.gateway.say("agent:main:main", {"role": "user", "content": f"line {number}\n" * 4})
    await visitor.page.reload()
    await expect(visitor.log.get_by_text("line 29").first).to_be_visible()
    await visitor.log.hover()
    await visitor.page.mouse.wheel(0, -4000)
    await expect(visitor.page.get_by_role("button", name="To the newest message")).to_be_visible()
    await router.gateway.assistant.ask("rm -r build", "agent:main:main", pattern=None)
    notice = visitor.page.get_by_test_id("approval-notice")
    await expect(notice).to_contain_text("rm -r build")
    await visitor.accessible("approval-notice")
    await notice.get_by_role("button", name="Look").click()
    await expect(visitor.page.get_by_role("button", name="Allow once")).to_be_focused()
    await expect(visitor.page.get_by_role("button", name="Always allow")).to_have_count(0)
    await expect(notice).to_have_count(0)


async def test_approval_is_there_after_a_reload_and_goes_when_decided_elsewhere(router: FakeRouter, visit: Visit) -> None:
    visitor = await visit(phone=True)
    turn = await begin(router, visitor)
    await use(router, turn, "exec", command="git push")
    approval = await router.gateway.assistant.ask("git push", turn.session, call="call-1")
    await visitor.page.reload()
    card = visitor.page.get_by_test_id("approval")
    await expect(card).to_be_visible()
    assert await visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await visitor.accessible("approval-phone")
    await router.gateway.assistant.resolve(approval, "deny")
    await expect(card).to_have_count(0)
    await expect(visitor.page.locator("[aria-live=polite]").filter(has_text="Denied")).to_have_count(1)


async def test_large_argument_is_shown_by_its_beginning(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await use(router, turn, "write", path="big.txt", content="x" * 400_000)
    await router.gateway.result(turn, "call-1", "write", "Wrote big.txt")
    await router.gateway.final(turn, "Done.")
    card = visitor.page.get_by_test_id("tool")
    await card.get_by_role("button").first.click()
    await expect(card.get_by_label("Arguments")).to_contain_text("380000 more characters")
