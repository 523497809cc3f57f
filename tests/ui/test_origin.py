"""What nobody wrote says where it comes from: jobs, heartbeats, messages sent elsewhere, an answer that goes on."""

from __future__ import annotations

from playwright.async_api import expect

from tests.fakes.router_ui import FakeRouter
from tests.ui.conftest import Visitor, enter

MAIN = "agent:main:main"


async def test_what_no_person_wrote_says_where_it_comes_from(router: FakeRouter, visitor: Visitor) -> None:
    router.gateway.history[MAIN] = [
        {"role": "user", "content": "What is on today?", "timestamp": 1, "id": "1", "runId": "r1", "job": "morning brief"},
        {"role": "assistant", "content": "Two meetings.", "timestamp": 2, "id": "2", "runId": "r1", "stopReason": "stop"},
        {"role": "assistant", "content": "The kettle is due.", "timestamp": 3, "id": "3", "job": {"id": "j", "name": "kettle"}},
        {"role": "assistant", "content": "The door is open.", "timestamp": 4, "id": "4", "heartbeat": True},
        {"role": "assistant", "content": "On my way.", "timestamp": 5, "id": "5", "delivered": {"to": "telegram:7", "parts": 1}},
        {"role": "user", "content": "The answer before was cut off.", "timestamp": 6, "id": "6", "runId": "r2", "continue": True},
        {"role": "assistant", "content": "Where was I?", "timestamp": 7, "id": "7", "runId": "r2", "stopReason": "stop"},
    ]
    await enter(router, visitor)
    lines = visitor.page.get_by_test_id("origin")
    await expect(lines).to_have_text(
        [
            "From the schedule: morning brief",
            "From the schedule: kettle",
            "From the heartbeat",
            "Sent to telegram:7",
            "Continued",
        ]
    )
    await expect(visitor.page.get_by_text("The answer before was cut off.")).to_have_count(0)
    await visitor.accessible("origins")
