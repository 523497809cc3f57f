"""What a person does in the composer: files, commands, choices, and messages that are changed, taken back or said again."""

from __future__ import annotations

import base64

from playwright.async_api import FilePayload, Locator, Page, expect

from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_assistant import PNG
from tests.ui.conftest import Visit, Visitor, enter, say
from tests.ui.conversing import begin

# A file that a person drags over the page or pastes, as the browser hands it over.
GIVE = """([kind, name, type, data]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], name, {type}));
  const target = kind === "paste" ? document.getElementById("composer") : document.body;
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
  target.dispatchEvent(event);
}"""


def box(page: Page) -> Locator:
    return page.get_by_label("Message to Ada")


def payload(name: str, kind: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


async def test_files_come_by_button_paste_and_drop_and_are_in_the_conversation(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_label("Choose files").set_input_files([payload("plan.pdf", "application/pdf", b"%PDF-1.4 plan")])
    await visitor.page.evaluate(GIVE, ["paste", "shot.png", "image/png", PNG])
    await visitor.page.evaluate(GIVE, ["dragover", "door.png", "image/png", PNG])
    await expect(visitor.page.get_by_text("Let go to add to the message")).to_be_visible()
    await visitor.page.evaluate(GIVE, ["drop", "door.png", "image/png", PNG])
    await expect(visitor.page.get_by_text("Let go to add to the message")).to_have_count(0)
    chips = visitor.page.get_by_role("list", name="Files of this message")
    await expect(chips.get_by_test_id("chip")).to_have_count(3)
    await visitor.accessible("files")
    await chips.get_by_role("button", name="Remove door.png").click()
    await say(visitor, "What is this?")
    turn = await router.gateway.until_turn()
    assert [one["fileName"] for one in turn.attachments] == ["plan.pdf", "shot.png"]
    sent = router.gateway.sends[0]["attachments"]
    assert isinstance(sent, list)
    assert [one["type"] for one in sent] == ["file", "image"]
    assert base64.b64decode(sent[0]["content"]) == b"%PDF-1.4 plan"
    await router.gateway.final(turn, "A red square and a plan.")
    await expect(chips).to_have_count(0)
    said = visitor.page.get_by_role("article", name="You")
    await expect(said.get_by_role("img", name="shot.png")).to_have_js_property("naturalWidth", 8)
    await visitor.page.reload()
    await expect(said.get_by_role("img", name="shot.png")).to_have_js_property("naturalWidth", 8)
    async with visitor.page.expect_download() as download:
        await said.get_by_role("link", name="Save plan.pdf").click()
    assert (await (await download.value).path()).read_bytes() == b"%PDF-1.4 plan"
    await visitor.accessible("files-said")


async def test_what_cannot_be_sent_says_why(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    files = [
        payload("tune.mp3", "audio/mpeg", b"\xff\xfb\x90\x44\x00\xff"),
        payload("photo.tiff", "image/tiff", b"II*\x00"),
        payload("long.txt", "text/plain", b"x" * 600_000),
        payload("notes.txt", "text/plain", b"fine"),
    ]
    await visitor.page.get_by_label("Choose files").set_input_files(files)
    chips = visitor.page.get_by_test_id("chip")
    await expect(chips.nth(0)).to_contain_text("only pictures, PDFs and text files can be read")
    await expect(chips.nth(1)).to_contain_text("PNG, JPEG, GIF or WebP")
    await expect(chips.nth(2)).to_contain_text("at most 500 kB")
    await expect(chips.nth(3)).to_contain_text("4 B")
    await visitor.accessible("files-refused")
    await visitor.page.get_by_role("button", name="Send").click()
    turn = await router.gateway.until_turn()
    assert [one["fileName"] for one in turn.attachments] == ["notes.txt"]
    assert turn.message == ""


async def test_picture_that_is_too_large_is_made_smaller(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    # Noise, which no compression makes small: about 16 MB as PNG.
    noise: str = await visitor.page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(2400, 2400);
          const context = canvas.getContext("2d");
          const image = context.createImageData(2400, 2400);
          for (let at = 0; at < image.data.length; at += 65536) crypto.getRandomValues(image.data.subarray(at, at + 65536));
          for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
          context.putImageData(image, 0, 0);
          const file = new File([await canvas.convertToBlob()], "noise.png", {type: "image/png"});
          const transfer = new DataTransfer();
          transfer.items.add(file);
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
          return String(file.size);
        }"""
    )
    assert int(noise) > 5_000_000
    chip = visitor.page.get_by_test_id("chip")
    await expect(chip).to_contain_text("MB", timeout=20_000)
    await expect(chip).not_to_have_class("chip bad")
    await visitor.page.get_by_role("button", name="Send").click()
    turn = await router.gateway.until_turn()
    size = turn.attachments[0]["bytes"]
    assert isinstance(size, int)
    assert size <= 5_000_000
    assert turn.attachments[0]["mimeType"] == "image/jpeg"


async def test_commands_are_listed_chosen_and_say_what_they_take(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await box(visitor.page).press_sequentially("/")
    palette = visitor.page.get_by_role("listbox", name="Commands")
    await expect(palette.get_by_role("option")).to_have_count(len(router.gateway.commands))
    await visitor.accessible("palette")
    await box(visitor.page).press_sequentially("mo")
    await expect(palette.get_by_role("option")).to_have_count(1)
    await box(visitor.page).press("Enter")
    await expect(box(visitor.page)).to_have_value("/model ")
    await expect(visitor.page.locator(".argument")).to_contain_text("name")
    await expect(palette).to_have_count(0)
    await box(visitor.page).fill("/think h")
    await expect(palette.get_by_role("option")).to_have_text(["/think high"])
    await box(visitor.page).press("Tab")
    await expect(box(visitor.page)).to_have_value("/think high")
    await box(visitor.page).fill("/s")
    await box(visitor.page).press("ArrowDown")
    await expect(palette.get_by_role("option", selected=True)).to_contain_text("/stop")
    await box(visitor.page).press("Escape")
    await expect(palette).to_have_count(0)
    await box(visitor.page).fill("/status")
    await expect(palette).to_be_visible()
    await box(visitor.page).press("Enter")
    assert (await router.gateway.until_turn()).message == "/status"


async def test_model_and_thinking_are_chosen_for_the_chat(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Thinking: Off").click()
    await visitor.page.keyboard.press("End")
    await visitor.accessible("thinking-picker")
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.page.get_by_role("button", name="Thinking: Highest")).to_be_focused()
    assert router.gateway.settings["agent:main:main"] == {"thinkingLevel": "xhigh"}
    await visitor.page.get_by_role("button", name="Model: Claude Sonnet 4.5").click()
    await visitor.page.get_by_role("menuitemradio", name="GPT-5 mini").click()
    await expect(visitor.page.get_by_role("button", name="Model: GPT-5 mini")).to_be_visible()
    # That one does not think.
    await expect(visitor.page.get_by_role("button", name="Thinking:")).to_have_count(0)


async def test_waiting_message_is_taken_back_and_the_queue_has_a_mode(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor, "first")
    await say(visitor, "second")
    await say(visitor, "third")
    waiting = visitor.page.get_by_role("article", name="You, not sent yet")
    await expect(waiting.filter(has_text="Next in line")).to_have_count(2)
    await visitor.accessible("queue")
    await visitor.page.get_by_role("button", name="New messages: Answer after").click()
    await visitor.accessible("queue-picker")
    await visitor.page.get_by_role("menuitemradio", name="Steer").click()
    await expect(visitor.page.get_by_role("button", name="New messages: Steer")).to_be_visible()
    assert router.gateway.settings[turn.session]["queueMode"] == "steer"
    await visitor.page.reload()
    await expect(waiting).to_have_count(2)
    await waiting.filter(has_text="second").get_by_role("button", name="Take back").click()
    await router.gateway.until_aborted()
    await expect(waiting).to_have_count(1)
    await router.gateway.final(turn, "one")
    third = router.gateway.turns[2]
    assert third.message == "third"
    await router.gateway.final(third, "three")
    await expect(visitor.log.get_by_text("three", exact=True)).to_be_visible()
    await expect(waiting).to_have_count(0)
    await expect(visitor.log.get_by_text("second")).to_have_count(0)


async def test_escape_stops_the_answer(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await router.gateway.delta(turn, "Once upon")
    await expect(visitor.log.get_by_text("Once upon")).to_be_visible()
    await box(visitor.page).fill("/st")
    await box(visitor.page).press("Escape")
    assert router.gateway.aborts == []
    await box(visitor.page).press("Escape")
    await router.gateway.until_aborted()
    await expect(visitor.page.get_by_role("article", name="Ada")).to_contain_text("Stopped")


async def test_message_is_changed_and_said_again(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor, "Plan a trip to Rom")
    await router.gateway.final(turn, "Rom is in Germany?")
    said = visitor.page.get_by_role("article", name="You")
    await said.hover()
    await said.get_by_role("button", name="Edit").click()
    editor = visitor.page.get_by_label("Your message")
    await expect(editor).to_be_focused()
    await visitor.accessible("editor")
    await editor.fill("Plan a trip to Rome")
    await editor.press("Enter")
    second = await router.gateway.until_turn(2)
    assert second.message == "Plan a trip to Rome"
    await router.gateway.final(second, "Rome it is.")
    await expect(visitor.log.get_by_text("Rome it is.")).to_be_visible()
    await expect(visitor.log.get_by_text("Germany")).to_have_count(0)
    await expect(said).to_have_count(1)


async def test_answer_again_keeps_the_files_of_the_question(router: FakeRouter, visitor: Visitor) -> None:
    await enter(router, visitor)
    await visitor.page.evaluate(GIVE, ["paste", "shot.png", "image/png", PNG])
    await expect(visitor.page.get_by_test_id("chip")).to_contain_text("B")
    await say(visitor, "What is this?")
    await router.gateway.final(await router.gateway.until_turn(), "A blue square.")
    await expect(visitor.log.get_by_text("A blue square.")).to_be_visible()
    await visitor.page.get_by_role("article", name="Ada").hover()
    await visitor.page.get_by_role("button", name="Answer again").click()
    second = await router.gateway.until_turn(2)
    assert (second.message, [one["fileName"] for one in second.attachments]) == ("What is this?", ["shot.png"])
    await expect(visitor.page.get_by_role("article", name="You")).to_have_count(1)


async def test_usage_of_an_answer_is_shown_on_demand(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    cost = {"total": 0.0123}
    usage = {"input": 1200, "output": 340, "cacheRead": 9000, "cacheWrite": 0, "totalTokens": 10_540, "cost": cost}
    await router.gateway.final(turn, "Done.", usage=usage, model="claude-sonnet-4-5", durationMs=3400)
    answer = visitor.page.get_by_role("article", name="Ada")
    await answer.hover()
    await answer.get_by_role("button", name="What this answer took").click()
    await expect(answer).to_contain_text("claude-sonnet-4-5 · 10.2k in (9k from the cache) · 340 out · $0.01 · 3 s")
    await visitor.accessible("usage-of-answer")


async def test_reached_limit_is_told_apart_from_a_failure(router: FakeRouter, visitor: Visitor) -> None:
    turn = await begin(router, visitor)
    await router.gateway.fail(
        turn, "Today's limit is reached: 2,000,130 of 2,000,000 tokens are used. It begins anew at midnight (UTC).", "rate_limit"
    )
    error = visitor.page.get_by_test_id("model-error")
    await expect(error).to_contain_text("The limit for today is reached")
    await expect(error.get_by_role("button", name="Retry")).to_be_visible()
    await visitor.accessible("limit")


async def test_composer_fits_a_phone_with_everything_in_it(router: FakeRouter, visit: Visit) -> None:
    visitor = await visit(phone=True)
    await begin(router, visitor)
    await visitor.page.get_by_label("Choose files").set_input_files([payload("a-rather-long-name-of-a.pdf", "application/pdf", b"%PDF-")])
    await box(visitor.page).fill("/")
    await expect(visitor.page.get_by_role("listbox", name="Commands")).to_be_visible()
    assert await visitor.page.evaluate("document.querySelector('.composer-box').getBoundingClientRect().right <= innerWidth - 16")
    await visitor.accessible("composer-phone")
