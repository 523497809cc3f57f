"""Long conversations: only what is in sight is drawn, and older pages come by themselves. How long frames take is printed, never judged."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from playwright.async_api import expect

from moltbot_protocol.hello import MAIN_SESSION
from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_chat import now_ms
from tests.ui.conftest import Visitor, enter, say

MESSAGES = 2000
# What browsers call a long task (ms): a person feels it.
LONG_TASK_MS = 50
ANSWER = """Here is **answer {number}**.

```python
def answer() -> int:
    return {number}
```

| Day | What |
|---|---|
| Mon | Train |
"""
OBSERVE = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration))).observe({type: "longtask"});
}"""
# Each key is followed to the next frame: how long that took.
TYPE = """async (words) => {
  const field = document.getElementById("composer");
  const took = [];
  for (const letter of words) {
    const before = performance.now();
    field.value += letter;
    field.dispatchEvent(new InputEvent("input", {bubbles: true}));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    took.push(performance.now() - before);
  }
  return took;
}"""
# By hand, to a height: how long each step took to its frame.
SCROLL = """async (to) => {
  const log = document.querySelector(".log");
  const step = to < log.scrollTop ? -1800 : 1800;
  const took = [];
  while (step < 0 ? log.scrollTop > to : log.scrollTop + log.clientHeight < log.scrollHeight - 4) {
    const before = performance.now();
    const place = log.scrollTop;
    log.scrollTop += step;
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    took.push(performance.now() - before);
    if (log.scrollTop === place) break;
  }
  return took;
}"""
# Near the beginning: where an entry stands, and where it stands once an older page has come above it.
OLDER = """async () => {
  const log = document.querySelector(".log");
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const before = log.scrollHeight;
  log.scrollTop = 100;
  await frame();
  const top = log.getBoundingClientRect().top;
  const entry = [...document.querySelectorAll(".entry")].find((one) => one.getBoundingClientRect().bottom > top + 50);
  const [key, place] = [entry.dataset.key, entry.getBoundingClientRect().top];
  while (log.scrollHeight < before + 5000) await frame();
  await frame();
  return [place, document.querySelector(`[data-key="${key}"]`).getBoundingClientRect().top];
}"""


def fill(router: FakeRouter, count: int) -> None:
    start = now_ms() - count * 60_000
    messages: list[dict[str, object]] = []
    for number in range(count):
        role, words = ("user", f"Question {number}") if number % 2 == 0 else ("assistant", ANSWER.format(number=number))
        wire: dict[str, Any] = {"id": str(number + 1), "role": role, "timestamp": start + number * 60_000, "runId": f"run-{number // 2}"}
        messages.append({**wire, "content": [{"type": "text", "text": words}], "stopReason": "stop"})
    router.gateway.history[MAIN_SESSION] = messages
    router.gateway.ids = itertools.count(count + 1)


async def test_of_two_thousand_messages_only_what_is_in_sight_is_drawn(router: FakeRouter, visitor: Visitor) -> None:
    fill(router, MESSAGES)
    await enter(router, visitor)
    await expect(visitor.log.get_by_text("answer 1999")).to_be_in_viewport()
    await visitor.page.evaluate(OBSERVE)
    first = visitor.log.get_by_text("Question 0", exact=True)
    scrolled: list[float] = []
    for _ in range(MESSAGES // 200 + 2):
        scrolled += await visitor.page.evaluate(SCROLL, 0)
        if await first.is_visible():
            break
    await expect(first).to_be_in_viewport()
    drawn = await visitor.page.locator(".entry").count()
    assert drawn < 60, "only what is in sight is drawn: that is what keeps it smooth"
    scrolled += await visitor.page.evaluate(SCROLL, 10**9)
    await expect(visitor.log.get_by_text("answer 1999")).to_be_in_viewport()
    typed: list[float] = await visitor.page.evaluate(TYPE, "a question of some length")
    tasks: list[float] = await visitor.page.evaluate("window.longTasks")
    print(f"drawn {drawn}; a key to its frame {statistics.median(typed):.1f} ms, a step of scrolling {statistics.median(scrolled):.1f} ms")
    print(f"{len(tasks)} tasks over {LONG_TASK_MS} ms in {len(scrolled) + len(typed)} frames: {sorted(map(round, tasks))}")
    assert await visitor.page.locator(".entry").count() < 60
    await visitor.accessible("long")


async def test_answer_that_streams_keeps_the_end_in_view_unless_somebody_reads_above(router: FakeRouter, visitor: Visitor) -> None:
    fill(router, 60)
    await enter(router, visitor)
    await say(visitor, "Tell me more")
    turn = await router.gateway.until_turn()
    lines = [f"line {number}" for number in range(60)]
    await router.gateway.delta(turn, "\n\n".join(lines))
    await expect(visitor.log.get_by_text("line 59")).to_be_in_viewport()
    await visitor.log.hover()
    await visitor.page.mouse.wheel(0, -900)
    pill = visitor.page.get_by_role("button", name="To the newest message")
    await expect(pill).to_be_visible()
    await expect(visitor.log.get_by_text("line 30")).to_be_in_viewport()
    before = await visitor.log.evaluate("log => log.scrollTop")
    await router.gateway.delta(turn, "\n\n".join([*lines, *lines]))
    await expect(visitor.log.get_by_text("line 59")).to_have_count(2)
    assert await visitor.log.evaluate("log => log.scrollTop") == before
    await router.gateway.final(turn, "\n\n".join([*lines, "the end"]))
    await router.gateway.say(MAIN_SESSION, {"role": "user", "content": "from elsewhere"})
    fresh = visitor.page.get_by_role("button", name="New messages: to the newest")
    await fresh.click()
    await expect(visitor.log.get_by_text("from elsewhere")).to_be_in_viewport()
    await expect(fresh).to_be_hidden()


async def test_what_is_read_stays_in_place_when_older_messages_come(router: FakeRouter, visitor: Visitor) -> None:
    fill(router, 300)
    router.gateway.page_size = 100
    await enter(router, visitor)
    await expect(visitor.log.get_by_text("answer 299")).to_be_in_viewport()
    before, after = await visitor.page.evaluate(OLDER)
    assert abs(before - after) < 2
