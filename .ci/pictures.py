"""`make pictures`: the README's pictures, taken of the real pages: `moltbot up`, Chromium, the demo model, one sleep and one wake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
WORK = ("write plan.md: # Trip\n\n- book the train\n- water the plants", "read plan.md")
COMMAND = "python3 -c 'print(sum(range(101)))'"
JOBS = [
    {"name": "morning-brief", "cron": "0 7 * * 1-5", "prompt": "Tell me what today brings: calendar, weather, unread mail."},
    {"name": "tidy-memory", "every": "24h", "prompt": "Tidy your notes of the last days."},
]
VIEWS = ("Schedule", "Skills", "Files", "Usage")


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


def _tell_the_story(browser: Browser, link: str, admin: str, home: str) -> None:
    page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
    page.goto(link)
    expect(page.get_by_text("Approve this device")).to_be_visible()
    _shoot(page, "approve")
    administration = browser.new_page(viewport={"width": 1200, "height": 900})
    administration.goto(admin)
    administration.get_by_role("button", name=re.compile("^Approve(?! all)")).first.click()
    for number, text in enumerate(SAID, 1):
        _say(page, text)
        expect(page.get_by_role("article", name="Ada")).to_have_count(number, timeout=20_000)
    _shoot(page, "chat")
    _tell_the_work(page)
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


def _tell_the_work(page: Page) -> None:
    """Tools, an approval, commands, search, and the views beside the conversation."""
    page.get_by_role("button", name="New chat").first.click()
    for number, text in enumerate(WORK, 1):
        _say(page, text)
        expect(page.get_by_test_id("tool")).to_have_count(number, timeout=20_000)
        expect(page.get_by_test_id("running")).to_have_count(0, timeout=20_000)
    page.get_by_test_id("tool").last.get_by_role("button").first.click()
    _shoot(page, "tools")
    _say(page, f"run {COMMAND}")
    expect(page.get_by_role("button", name="Allow once")).to_be_visible(timeout=20_000)
    _shoot(page, "approval")
    page.get_by_role("button", name="Allow once").click()
    expect(page.get_by_test_id("running")).to_have_count(0, timeout=20_000)
    page.get_by_role("textbox", name=re.compile("Message")).fill("/")
    expect(page.get_by_role("listbox", name="Commands")).to_be_visible()
    _shoot(page, "commands")
    page.get_by_role("textbox", name=re.compile("Message")).fill("")
    page.get_by_label("Search chats").fill("flowerpot")
    expect(page.get_by_role("region", name="Found in messages").get_by_role("button").first).to_be_visible()
    _shoot(page, "search")
    page.get_by_label("Search chats").fill("")
    for name in VIEWS:
        page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", level=2, name=name)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        _shoot(page, name.lower())
    page.get_by_role("button", name="Back to the chat").click()
    page.get_by_role("navigation", name="Chats").get_by_text("Main conversation").click()


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        log, moltbot = Path(home) / "up.log", Path(home) / "ada.yaml"
        spec = {"model": {"name": "demo"}, "sleepAfter": "15s", "timeZone": "Europe/Berlin", "schedule": JOBS}
        moltbot.write_text(json.dumps({"apiVersion": "moltbot.dev/v1alpha1", "kind": "Moltbot", "metadata": {"name": "ada"}, "spec": spec}))
        environment = {**os.environ, "MOLTBOT_HOME": home}
        command = [str(BIN / "moltbot"), "up", "-f", str(moltbot), "--port", str(free_port()), "--admin-port", str(free_port())]
        with log.open("w") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
            try:
                link, admin = _links(log)
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(f"MAP {NOWHERE} 127.0.0.1"))
                    _tell_the_story(browser, link, admin, home)
                    browser.close()
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)
                print(log.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
