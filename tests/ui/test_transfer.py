"""A conversation taken away as a file, and brought back as one of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.ui.conftest import Visitor, enter

MAIN = "agent:main:main"


async def test_chat_is_saved_as_a_file_and_opened_again(router: FakeRouter, visitor: Visitor, tmp_path: Path) -> None:
    router.gateway.history[MAIN] = [
        {"role": "user", "content": "Where is the key?", "timestamp": 1, "id": "1", "runId": "r1"},
        {"role": "assistant", "content": "In the blue flowerpot.", "timestamp": 2, "id": "2", "runId": "r1", "stopReason": "stop"},
    ]
    await enter(router, visitor)
    page = visitor.page
    await page.get_by_role("button", name="Actions for Main conversation").click()
    async with page.expect_download() as saving:
        await page.get_by_role("menuitem", name="Save as a file").click()
    saved = await saving.value
    assert saved.suggested_filename.startswith("main-conversation-")
    path = tmp_path / "chat.json"
    await saved.save_as(path)
    assert json.loads(path.read_text())["messages"][1]["content"] == "In the blue flowerpot."
    router.gateway.history[MAIN] = []
    await page.get_by_role("button", name="Actions for Main conversation").click()
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("menuitem", name="Open a saved chat").click()
    await (await choosing.value).set_files(path)
    await expect(page).to_have_url(re.compile("imported"))
    await expect(visitor.log.get_by_text("In the blue flowerpot.")).to_be_visible()


async def test_what_is_no_saved_chat_is_told(router: FakeRouter, visitor: Visitor, tmp_path: Path) -> None:
    await enter(router, visitor)
    page = visitor.page
    for name, content, words in (("a.json", "no json", "a.json is no saved chat"), ("b.json", "{}", "no exported conversation")):
        (tmp_path / name).write_text(content)
        await page.get_by_role("button", name="Actions for Main conversation").click()
        async with page.expect_file_chooser() as choosing:
            await page.get_by_role("menuitem", name="Open a saved chat").click()
        await (await choosing.value).set_files(tmp_path / name)
        await expect(page.get_by_text(words)).to_be_visible()
