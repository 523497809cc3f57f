"""`make pictures`: the pictures of README and docs, taken of the real pages in Chromium: `moltbot up` with the demo model, one sleep and
one wake; and once more with real tools and a stand-in for Claude whose words are written in `pictures_story`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pictures_story import ASSISTANT, PLANS, StandIn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.measure import free_port
from tests.chromium import chromium_flags, find_chromium

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
BIN = ROOT / ".venv" / "bin"
# no page of these pictures needs a name mapped
NOWHERE = "nowhere.example"
DESKTOP = {"width": 1200, "height": 760}
PHONE = {"width": 390, "height": 780}
SAID = ("Hello Ada!", "Remember that the spare key is in the blue flowerpot.", "847293 + 651824")


def _links(log: Path) -> tuple[str, str]:
    """The page's and the administration's link, as `moltbot up` prints them."""
    for _ in range(300):
        found = re.findall(r"http://localhost:\d+/\S+", log.read_text())
        if len(found) >= 2:
            return found[0], found[1]
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


def _phase(home: str) -> str:
    environment = {**os.environ, "MOLTBOT_HOME": home, "KUBECONFIG": f"{home}/kubeconfig"}
    command = [str(BIN / "kubectl"), "get", "moltbot/ada", "-o", "jsonpath={.status.phase}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def _say(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name=re.compile("Message"))
    box.fill(text)
    box.press("Enter")


def _shoot(page: Page, name: str) -> None:
    """The same page in light and in dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_timeout(300)
        page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
    page.emulate_media(color_scheme="light")


def _approve(browser: Browser, admin: str) -> Page:
    administration = browser.new_page(viewport={"width": 1200, "height": 900})
    administration.goto(admin)
    administration.get_by_role("button", name=re.compile("^Approve(?! all)")).first.click()
    return administration


def _tell_the_story(browser: Browser, link: str, admin: str, home: str) -> None:
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
    page.goto(link)
    expect(page.get_by_text("Approve this device")).to_be_visible()
    _shoot(page, "approve")
    administration = _approve(browser, admin)
    for number, text in enumerate(SAID, 1):
        _say(page, text)
        expect(page.get_by_role("article", name="Ada")).to_have_count(number, timeout=20_000)
    _shoot(page, "chat")
    while _phase(home) != "Asleep":
        time.sleep(0.5)
    expect(page.get_by_text("is asleep")).to_be_visible()
    _shoot(page, "asleep")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    _shoot(page, "phone")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    _say(page, "What did I ask you to remember?")
    expect(page.get_by_role("article", name="Ada")).to_have_count(len(SAID) + 1, timeout=30_000)
    page.reload()
    expect(page.get_by_text("What did I ask you to remember?").first).to_be_visible()
    administration.wait_for_timeout(1500)
    administration.evaluate("scrollTo(0, 0)")
    _shoot(administration, "administration")


def _show_the_work(page: Page) -> None:
    """Tools, approvals, thinking, pictures and the views, in one conversation."""
    answers = page.get_by_role("article", name="Ada")
    running = page.get_by_test_id("running")

    def until_answered(text: str) -> None:
        expect(answers.get_by_text(text).last).to_be_visible(timeout=30_000)
        expect(running).to_have_count(0)

    _say(page, "Which of the two quotes is cheaper over a year? Keep the result in notes.md.")
    until_answered("Nordlicht is cheaper")
    page.get_by_test_id("tool").last.get_by_role("button").first.click()
    _shoot(page, "tools")
    page.get_by_test_id("thoughts").first.get_by_role("button").click()
    page.get_by_test_id("thoughts").first.scroll_into_view_if_needed()
    _shoot(page, "thinking")
    _say(page, "How much room is left on this disk?")
    expect(page.get_by_test_id("approval")).to_be_visible(timeout=30_000)
    _shoot(page, "approval")
    page.get_by_role("button", name="Allow once").click()
    until_answered("there is plenty of room")
    page.get_by_label("Choose files").set_input_files(str(IMAGES / "asleep-light.png"))
    page.get_by_role("textbox", name=re.compile("Message")).fill("What does this page say?")
    expect(page.get_by_test_id("chip")).to_be_visible()
    page.get_by_role("textbox", name=re.compile("Message")).press("Enter")
    until_answered("It says that Ada is asleep")
    page.wait_for_timeout(800)
    _shoot(page, "picture")
    page.get_by_role("textbox", name=re.compile("Message")).fill("/")
    expect(page.get_by_role("listbox", name="Commands")).to_be_visible()
    _shoot(page, "commands")
    page.get_by_role("textbox", name=re.compile("Message")).fill("")
    page.get_by_label("Search chats").fill("quotes")
    expect(page.get_by_role("region", name="Found in messages").get_by_role("button").first).to_be_visible()
    _shoot(page, "search")
    page.get_by_label("Search chats").fill("")
    for name in ("Schedule", "Skills", "Files", "Usage"):
        page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", level=2, name=name)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        _shoot(page, name.lower())


@contextlib.contextmanager
def moltbot(spec: Mapping[str, object], **environment: str) -> Iterator[tuple[str, str, str]]:
    """`moltbot up` with one assistant: the page's link, the administration's, and where it keeps everything."""
    with tempfile.TemporaryDirectory() as home:
        log, resource = Path(home) / "up.log", Path(home) / "ada.yaml"
        resource.write_text(
            json.dumps({"apiVersion": "moltbot.dev/v1alpha1", "kind": "Moltbot", "metadata": {"name": "ada"}, "spec": spec})
        )
        command = [str(BIN / "moltbot"), "up", "-f", str(resource), "--port", str(free_port()), "--admin-port", str(free_port())]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env={**os.environ, "MOLTBOT_HOME": home, **environment}, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                yield *_links(log), home
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)
                print(log.read_text())


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(f"MAP {NOWHERE} 127.0.0.1"))
        with moltbot({"model": {"name": "demo"}, "sleepAfter": "15s"}) as (link, admin, home):
            _tell_the_story(browser, link, admin, home)
        with StandIn(PLANS) as provider, moltbot(ASSISTANT, **provider.environment) as (link, admin, _):
            page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
            page.goto(link)
            _approve(browser, admin)
            _show_the_work(page)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
