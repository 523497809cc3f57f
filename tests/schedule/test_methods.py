"""cron.* and last-heartbeat through the protocol's public edge, and what `report` and `quiesce` say of the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from moltbot_gateway.activity import Kind
from moltbot_gateway.agent_config import Heartbeat, ScheduledJob
from moltbot_gateway.schedule.heartbeat import HeartbeatPorts, Heartbeats
from moltbot_gateway.schedule.service import Ports, Schedule
from moltbot_protocol.events import CRON, HEARTBEAT
from moltbot_protocol.methods import Scope
from moltbot_trust.clock import format_time
from moltbot_trust.control import Refused
from moltbot_trust.seals import Seal
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import CallFailed, SealedClient
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, control, start
from tests.schedule.world import HeldRunner

SPEC = [ScheduledJob("brief", "what is new?", cron="0 7 * * *", time_zone="Europe/Berlin")]
TEA = {"name": "tea", "schedule": {"kind": "every", "everyMs": 600_000}, "payload": {"kind": "agentTurn", "message": "make tea"}}


@dataclass
class Place:
    live: Live
    client: SealedClient
    schedule: Schedule
    runner: HeldRunner
    clock: FakeClock

    async def refused(self, method: str, **params: object) -> str:
        with pytest.raises(CallFailed) as caught:
            await self.client.call(method, **params)
        assert caught.value.error["code"] == "INVALID_REQUEST"
        return str(caught.value.error["message"])

    async def finished(self, count: int = 1) -> list[dict[str, object]]:
        def over() -> list[dict[str, object]]:
            payloads = [event["payload"] for event in self.client.events if event["event"] == CRON]
            return [payload for payload in payloads if payload["action"] == "finished"]

        await self.client.wait_for(lambda event: len(over()) >= count)
        return over()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock, runner = FakeClock(), HeldRunner()
    async with start(Pod(tmp_path), model=ScriptedModel(), clock=clock) as live, SealedClient.connect(live.address) as client:
        gateway = live.running.gateway
        if gateway.schedule is not None:
            await gateway.schedule.close(0)
        ports = Ports(
            runner,
            lambda: gateway.handshake.admit(clock.monotonic()) is None,
            lambda: gateway.activity.note(Kind.JOB, clock.now()),
            lambda payload: gateway.hub.tell(CRON, dict(payload)),
            lambda note: None,
        )
        schedule = gateway.agent.schedule = Schedule(gateway.database, clock, ports)
        await schedule.open(SPEC)
        schedule.start()
        yield Place(live, client, schedule, runner, clock)


async def test_a_job_from_adding_to_removing(place: Place) -> None:
    client, now_ms = place.client, int(place.clock.epoch() * 1000)
    job = await client.call("cron.add", **TEA)
    assert job == {
        "id": job["id"],
        "name": "tea",
        "description": "",
        "enabled": True,
        "source": "person",
        "deleteAfterRun": False,
        "createdAtMs": now_ms,
        "updatedAtMs": now_ms,
        "schedule": {"kind": "every", "everyMs": 600_000, "anchorMs": now_ms},
        "sessionTarget": "isolated",
        "wakeMode": "now",
        "missed": "run",
        "payload": {"kind": "agentTurn", "message": "make tea"},
        "state": {"nextRunAtMs": now_ms + 600_000},
    }
    assert [(row["name"], row["source"]) for row in (await client.call("cron.list"))["jobs"]] == [("tea", "person"), ("brief", "spec")]
    assert (await client.call("cron.status"))["nextWakeAtMs"] == now_ms + 600_000
    assert await client.call("cron.run", id=job["id"], mode="force") == {"ok": True, "ran": True}
    (event,) = await place.finished()
    assert (event["jobId"], event["status"], event["summary"]) == (job["id"], "ok", "done")
    (entry,) = (await client.call("cron.runs", id=job["id"], limit=5))["entries"]
    assert entry == {
        "ts": now_ms,
        "jobId": job["id"],
        "action": "finished",
        "status": "ok",
        "runAtMs": now_ms,
        "durationMs": 0,
        "summary": "done",
        "sessionKey": f"agent:main:cron:{job['id']}",
    }
    changed = await client.call("cron.update", jobId=job["id"], patch={"enabled": False, "description": "green"})
    assert (changed["enabled"], changed["description"], changed["state"]["lastStatus"]) == (False, "green", "ok")
    assert [row["name"] for row in (await client.call("cron.list", includeDisabled=False))["jobs"]] == ["brief"]
    assert (await client.call("cron.run", id=job["id"], mode="due"))["ran"] is False
    assert await client.call("cron.remove", id=job["id"]) == {"ok": True, "removed": True}
    actions = [event["payload"]["action"] for event in client.events if event["event"] == CRON]
    assert actions == ["added", "started", "finished", "updated", "removed"]


async def test_what_cannot_be_is_said_in_a_sentence(place: Place) -> None:
    assert "cron needs 5 fields" in await place.refused("cron.add", **{**TEA, "schedule": {"kind": "cron", "expr": "0 7 * *"}})
    berln = {"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berln"}
    assert "did you mean Europe/Berlin?" in await place.refused("cron.add", **{**TEA, "schedule": berln})
    assert "must be one of at, every, cron" in await place.refused("cron.add", **{**TEA, "schedule": {"kind": "often"}})
    assert "unexpected property 'when'" in await place.refused("cron.add", **TEA, when="soon")
    assert "needs to be told what to do" in await place.refused("cron.add", **{**TEA, "payload": {"kind": "agentTurn"}})
    assert "spec.schedule" in await place.refused("cron.update", id="spec-brief", patch={"enabled": False})
    assert "spec.schedule" in await place.refused("cron.remove", id="spec-brief")
    assert "there is no job 'nobody'" in await place.refused("cron.run", id="nobody")
    assert "name the job by its id" in await place.refused("cron.runs")
    assert (await place.client.call("cron.remove", id="nobody"))["removed"] is False


async def test_only_an_administrator_changes_jobs(place: Place) -> None:
    reader = Seal("b" * 64, "operator", (Scope.READ,), 1, "reader")
    async with SealedClient.connect(place.live.address, reader) as client:
        assert len((await client.call("cron.list"))["jobs"]) == 1
        with pytest.raises(CallFailed, match=r"operator\.admin"):
            await client.call("cron.add", **TEA)


async def test_report_and_quiesce_say_what_is_due_next(place: Place) -> None:
    due = format_time(datetime.fromisoformat("2026-11-25T07:00+01:00"))
    assert (await control(place.live, "GET", "/report"))["nextDue"] == due
    assert await control(place.live, "POST", "/quiesce", id="q", ttlSeconds=30) == {"state": "quiesced", "nextDue": due}
    with pytest.raises(CallFailed, match="UNAVAILABLE"):
        await place.client.call("cron.add", **TEA)
    assert len((await place.client.call("cron.list"))["jobs"]) == 1


async def test_a_job_due_soon_or_running_keeps_it_awake(place: Place) -> None:
    """Awake a little early for it, it does not fall asleep again before it ran; a running job is activity."""
    place.runner.at_once = False
    await place.client.call("cron.add", **{**TEA, "schedule": {"kind": "every", "everyMs": 60_000}})
    with pytest.raises(Refused) as caught:
        await control(place.live, "POST", "/quiesce", id="q", ttlSeconds=30)
    assert caught.value.answer["busy"] == ["job"]
    await place.clock.advance(60)
    await place.client.wait_for(lambda event: event["event"] == CRON and event["payload"]["action"] == "started")
    place.clock.set(100)
    report = await control(place.live, "GET", "/report")
    assert (report["busy"], report["lastActivity"]) == (["job"], format_time(place.clock.now()))
    place.runner.let_go("tea")
    await place.finished()


async def test_a_job_that_comes_due_while_it_is_quiesced_waits(place: Place) -> None:
    await place.client.call("cron.add", **{**TEA, "schedule": {"kind": "every", "everyMs": 120_000}})
    due = int(place.clock.epoch() * 1000) + 120_000
    await control(place.live, "POST", "/quiesce", id="q", ttlSeconds=300)
    await place.clock.advance(130)
    await place.client.call("cron.list")
    await place.clock.advance(10)
    assert place.runner.ran == []
    assert place.schedule.next_due_ms == due
    await control(place.live, "POST", "/resume")
    await place.clock.advance(2)
    assert [event["status"] for event in await place.finished()] == ["ok"]
    assert place.runner.ran == [("tea", due)]


async def test_a_forced_sleep_waits_until_the_job_is_written_down(place: Place) -> None:
    """Rule 5, `force`: what ended is in the state before the last copy of it is made."""
    place.runner.at_once = False
    job = await place.client.call("cron.add", **TEA)
    await place.client.call("cron.run", id=job["id"])
    forcing = asyncio.create_task(control(place.live, "POST", "/quiesce", id="q", ttlSeconds=30, force=True))
    async with asyncio.timeout(5):
        while (await control(place.live, "GET", "/report"))["state"] != "quiesced":
            await asyncio.sleep(0.002)  # polling a flag: nothing is synchronised by this pause
    assert not forcing.done()
    place.runner.let_go("tea")
    assert (await forcing)["state"] == "quiesced"
    assert [run.status for run in await place.schedule.runs(job["id"], 5)] == ["ok"]


async def test_the_last_heartbeat(place: Place, tmp_path: Path) -> None:
    gateway = place.live.running.gateway
    gateway.agent.heartbeats = None
    assert await place.client.call("last-heartbeat") is None

    class Quiet:
        async def ask(self, prompt: str, model: str) -> str:
            return "HEARTBEAT_OK"

    ports = HeartbeatPorts(
        Quiet(),
        lambda: True,
        lambda: False,
        lambda: False,
        lambda payload: gateway.hub.tell(HEARTBEAT, dict(payload)),
        lambda note: None,
    )
    heartbeats = gateway.agent.heartbeats = Heartbeats(Heartbeat(60_000), gateway.database, tmp_path, place.clock, ports)
    await heartbeats.beat()
    expected = {"ts": int(place.clock.epoch() * 1000), "status": "skipped", "reason": "nothing to do", "durationMs": 0}
    assert await place.client.call("last-heartbeat") == expected
    event = await place.client.wait_for(lambda event: event["event"] == HEARTBEAT)
    assert event["payload"] == expected
    (tmp_path / "HEARTBEAT.md").write_text("look")
    before = await control(place.live, "GET", "/report")
    place.clock.set(60)
    await asyncio.create_task(heartbeats.beat())
    after = await control(place.live, "GET", "/report")
    assert after["lastActivity"] == before["lastActivity"], "no activity (rule 6)"
