"""The views beside the conversation: schedule, skills, files, usage."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.fakes.router_ui_chat import now_ms
from tests.ui.conftest import Visit, Visitor, enter

HOUR_MS = 3_600_000


def job(key: str, name: str, schedule: dict[str, Any], *, source: str = "person", **state: Any) -> dict[str, Any]:
    known = {"nextRunAtMs": now_ms() + HOUR_MS, "runningAtMs": None, "lastRunAtMs": None, "lastStatus": None, "lastError": None}
    payload = {"kind": "agentTurn", "message": f"Do {name}"}
    row = {"id": key, "name": name, "enabled": True, "source": source, "schedule": schedule, "payload": payload}
    return row | {"sessionTarget": "isolated", "state": known | state}


def day(date: str, total: int, cost: float, missing: int = 0) -> dict[str, Any]:
    parts = {"input": total // 4, "output": total // 4, "cacheRead": total // 2, "cacheWrite": 0}
    return {"date": date, **parts, "totalTokens": total, "totalCost": cost, "missingCostEntries": missing}


async def open_view(router: FakeRouter, visitor: Visitor, name: str) -> None:
    await enter(router, visitor)
    await visitor.page.get_by_role("navigation", name="Views").get_by_role("button", name=name).click()
    await expect(visitor.page.get_by_role("heading", level=2, name=name)).to_be_focused()


async def test_jobs_are_run_switched_and_looked_back_on(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    weekdays = {"kind": "cron", "expr": "0 7 * * 1-5", "tz": "Europe/Berlin"}
    assistant.jobs["spec-1"] = job("spec-1", "Morning brief", weekdays, source="spec", lastRunAtMs=now_ms() - HOUR_MS, lastStatus="ok")
    every = {"kind": "every", "everyMs": 2 * HOUR_MS, "anchorMs": 0}
    failed: dict[str, Any] = {"lastRunAtMs": now_ms() - 60_000, "lastStatus": "error", "lastError": "The model could not be reached."}
    assistant.jobs["job-2"] = job("job-2", "Look at the mail", every, **failed)
    run = {"ts": now_ms(), "jobId": "job-2", "action": "finished", "status": "error", "error": "The model could not be reached."}
    assistant.runs["job-2"] = [run | {"runAtMs": now_ms() - 60_000, "durationMs": 2300, "sessionKey": "agent:main:cron:job-2"}]
    await open_view(router, visitor, "Schedule")
    jobs = visitor.page.get_by_test_id("job")
    brief, mail = jobs.filter(has_text="Morning brief"), jobs.filter(has_text="Look at the mail")
    await expect(brief).to_contain_text("At 07:00, Monday through Friday (Europe/Berlin)")
    await expect(brief).to_contain_text("From the spec")
    await expect(brief.get_by_role("switch")).to_be_disabled()
    await expect(brief.get_by_role("button", name="Actions for")).to_have_count(0)
    await expect(mail).to_contain_text("Every 2 h")
    await expect(mail).to_contain_text("Next in")
    await mail.get_by_role("button", name="History").click()
    await expect(mail.get_by_role("list", name="Runs of Look at the mail")).to_contain_text("The model could not be reached.")
    await visitor.accessible("schedule")
    await brief.get_by_role("button", name="Run now").click()
    await assistant.until(lambda: assistant.ran == ["spec-1"])
    await mail.get_by_role("switch").click()
    await expect(mail.get_by_role("switch")).not_to_be_checked()
    await expect(mail).to_contain_text("Off")
    assert assistant.jobs["job-2"]["enabled"] is False
    await mail.get_by_role("button", name="Actions for Look at the mail").click()
    await visitor.page.get_by_role("menuitem", name="Remove").click()
    await visitor.accessible("job-remove")
    await visitor.page.get_by_role("button", name="Remove", exact=True).click()
    await expect(jobs).to_have_count(1)


async def test_job_is_made_with_its_next_times_in_words_and_changed(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    await open_view(router, visitor, "Schedule")
    await expect(visitor.page.get_by_text("Nothing is planned.")).to_be_visible()
    await visitor.page.get_by_role("button", name="New job").click()
    form = visitor.page.get_by_role("form", name="New job")
    await form.get_by_label("Name").fill("Water the plants")
    await form.get_by_label("What to do").fill("Remind me to water the plants")
    preview = form.get_by_test_id("preview")
    await form.get_by_label("Minute, hour").fill("30 18 * * 0")
    await expect(preview).to_contain_text("At 18:30, only on Sunday")
    await expect(preview).to_contain_text(re.compile(r"Next: .+18:30"))
    await form.get_by_label("Minute, hour").fill("99 18 * * 0")
    await expect(form.get_by_role("button", name="Add")).to_be_disabled()
    await visitor.accessible("job-form")
    await form.get_by_label("Regularly").check()
    await form.get_by_label("How many").fill("3")
    await expect(preview).to_contain_text("Every 3 h")
    await form.get_by_label("Once").check()
    await form.get_by_label("Day and time").fill("2001-01-01T08:00")
    await expect(preview).to_contain_text("That time has passed.")
    await form.get_by_label("By cron expression").check()
    await form.get_by_label("Minute, hour").fill("30 18 * * 0")
    await form.get_by_label("Time zone").fill("Europe/Berlin")
    await form.get_by_role("button", name="Add").click()
    made = visitor.page.get_by_test_id("job").filter(has_text="Water the plants")
    await expect(made).to_contain_text("Remind me to water the plants")
    assert assistant.jobs["job-1"]["schedule"] == {"kind": "cron", "expr": "30 18 * * 0", "tz": "Europe/Berlin"}
    assert assistant.jobs["job-1"]["payload"] == {"kind": "agentTurn", "message": "Remind me to water the plants"}
    await made.get_by_role("button", name="Actions for").click()
    await visitor.page.get_by_role("menuitem", name="Change").click()
    change = visitor.page.get_by_role("form", name="Change Water the plants")
    await change.get_by_label("In the main conversation").check()
    await change.get_by_role("button", name="Save").click()
    await expect(change).to_have_count(0)
    assert assistant.jobs["job-1"]["sessionTarget"] == "main"


async def test_job_that_ends_elsewhere_is_seen_here(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    at = {"kind": "at", "atMs": now_ms() + HOUR_MS}
    assistant.jobs["job-1"] = job("job-1", "Once", at, runningAtMs=now_ms())
    await open_view(router, visitor, "Schedule")
    one = visitor.page.get_by_test_id("job")
    await expect(one).to_contain_text("Runs now")
    assistant.jobs["job-1"] = job("job-1", "Once", at, nextRunAtMs=None, lastRunAtMs=now_ms(), lastStatus="ok")
    await router.gateway.broadcast("cron", {"jobId": "job-1", "action": "finished"})
    await expect(one).to_contain_text("No further run")
    await expect(one).to_contain_text("Done")


async def test_skills_say_what_they_miss(router: FakeRouter, visitor: Visitor) -> None:
    nothing: dict[str, list[str]] = {"bins": [], "env": []}
    ready = {
        "name": "weather",
        "skillKey": "weather",
        "description": "Forecasts.",
        "source": "bundled",
        "eligible": True,
        "missing": nothing,
    }
    lacking = {"bins": ["ffmpeg"], "env": ["MAP_KEY"]}
    missing = {
        "name": "video",
        "skillKey": "video",
        "description": "Cuts videos.",
        "source": "workspace",
        "eligible": False,
        "missing": lacking,
    }
    router.gateway.assistant.skills = [ready | {"always": True}, missing | {"filePath": "skills/video/SKILL.md"}]
    await open_view(router, visitor, "Skills")
    skills = visitor.page.get_by_test_id("skill")
    await expect(skills.nth(0)).to_contain_text("Ready")
    await expect(skills.nth(1)).to_contain_text("It needs the program ffmpeg, the variable MAP_KEY.")
    await visitor.accessible("skills")


async def test_what_was_allowed_for_good_is_taken_back(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    assistant.allowed = [{"pattern": "git *", "tool": "exec", "lastUsedAt": now_ms() - 60_000}, {"pattern": "make test", "tool": "exec"}]
    await open_view(router, visitor, "Skills")
    allowed = visitor.page.get_by_role("region", name="Allowed without asking")
    await expect(allowed.get_by_role("listitem")).to_have_count(2)
    await expect(allowed.get_by_role("listitem").first).to_contain_text("used 1 min ago")
    await visitor.accessible("allowed")
    await allowed.get_by_role("button", name="Take back git *").click()
    await expect(allowed.get_by_role("listitem")).to_have_text(["make test"])
    assert [row["pattern"] for row in assistant.allowed] == ["make test"]


async def test_workspace_file_is_read_changed_and_kept(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    await open_view(router, visitor, "Files")
    await expect(visitor.page.get_by_role("button", name="USER.md")).to_contain_text("Not there yet")
    await visitor.accessible("files-list")
    await visitor.page.get_by_role("button", name="SOUL.md").click()
    content = visitor.page.get_by_label("Content of SOUL.md")
    await expect(content).to_have_value("Be kind.\n")
    await expect(visitor.page.get_by_role("button", name="Save")).to_be_disabled()
    await content.fill("Be kind and brief.\n")
    await visitor.accessible("file-editor")
    await visitor.page.get_by_role("button", name="Close", exact=True).click()
    await visitor.page.get_by_role("dialog", name="Leave without saving?").get_by_role("button", name="Cancel").click()
    await content.press("Control+s")
    await expect(visitor.page.get_by_text("Not saved")).to_have_count(0)
    assert assistant.files["SOUL.md"] == "Be kind and brief.\n"
    await visitor.page.get_by_role("button", name="Close", exact=True).click()
    await expect(visitor.page.get_by_role("list", name="Files")).to_be_visible()


async def test_usage_by_day_and_against_its_limits(router: FakeRouter, visitor: Visitor) -> None:
    assistant = router.gateway.assistant
    days = [day("2026-11-22", 120_000, 0.31), day("2026-11-23", 840_000, 2.2, missing=2), day("2026-11-24", 96_000, 0.2)]
    limits = {"tokensPerDay": 1_000_000, "dollarsPerDay": 5.0, "tokensToday": 960_000, "dollarsToday": 5.2, "reached": True}
    assistant.usage = {"updatedAt": now_ms(), "days": 14, "daily": days, "totals": day("", 1_056_000, 2.71, missing=2), "limits": limits}
    assistant.session_usage = {**assistant.usage, "totals": day("", 40_000, 0.1)}
    await open_view(router, visitor, "Usage")
    bars = visitor.page.get_by_test_id("limits")
    await expect(bars.get_by_role("progressbar", name="Tokens today")).to_have_attribute("aria-valuenow", "96")
    await expect(bars).to_contain_text("$5.20 of $5.00")
    await expect(bars).to_contain_text("The limit for today is reached.")
    await expect(visitor.page.get_by_role("region", name="Last 14 days")).to_contain_text("$2.71 and more")
    await expect(visitor.page.get_by_role("region", name="This chat")).to_contain_text("$0.10")
    await expect(visitor.page.get_by_role("row").nth(1)).to_contain_text("24 Nov")
    await visitor.accessible("usage")


@pytest.mark.parametrize("view", ["Schedule", "Skills", "Files", "Usage"])
async def test_views_fit_a_phone_and_lead_back_to_the_chat(router: FakeRouter, visit: Visit, view: str) -> None:
    visitor = await visit(phone=True)
    assistant = router.gateway.assistant
    weekdays = {"kind": "cron", "expr": "0 7 * * 1-5", "tz": "America/Argentina/Buenos_Aires"}
    assistant.jobs["job-1"] = job("job-1", "A rather long name of a job, as people give them", weekdays, source="spec", lastStatus="ok")
    assistant.usage = {"daily": [day("2026-11-24", 840_000, 2.2)], "totals": day("", 840_000, 2.2), "limits": {"tokensPerDay": 1_000_000}}
    await enter(router, visitor)
    await visitor.page.get_by_role("button", name="Show the list of chats").click()
    await visitor.page.get_by_role("navigation", name="Views").get_by_role("button", name=view).click()
    await expect(visitor.page.get_by_role("heading", level=2, name=view)).to_be_visible()
    await expect(visitor.page.get_by_role("status", name="Loading")).to_have_count(0)
    assert await visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await visitor.page.evaluate("(panel => panel.scrollWidth <= panel.clientWidth)(document.querySelector('.panel'))")
    await visitor.accessible(f"{view.lower()}-phone")
    await visitor.page.get_by_role("button", name="Back to the chat").click()
    await expect(visitor.page.get_by_label("Message to Ada")).to_be_visible()


async def test_chat_does_not_wait_for_the_views(router: FakeRouter, visitor: Visitor) -> None:
    requested: list[str] = []
    visitor.page.on("request", lambda request: requested.append(request.url.rpartition("/")[2]))
    await enter(router, visitor)
    assert [one for one in requested if re.match(r"(schedule|skills|files|usage|panels)-", one)] == []
    await visitor.page.get_by_role("navigation", name="Views").get_by_role("button", name="Skills").click()
    await expect(visitor.page.get_by_text("No skills are installed.")).to_be_visible()
    assert [one for one in requested if one.startswith("skills-")] != []
