"""A job that is due while the assistant sleeps: it is woken ahead of time, does it once, tells of it, and sleeps again. Nobody comes by."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tests.e2e.cluster import Place
from tests.e2e.devices import Device, claude, open_device, open_model
from tests.fakes.anthropic_api import FakeAnthropic, said_by_person
from tests.fakes.gateway_client import MAIN, SealedClient, text_of

# It sleeps for at least a minute of these: a due time nearer than that keeps it awake.
AHEAD_SECONDS = 100
# A wake begins 5 s ahead or more and takes 2. Now and then the API server refuses the kubelet the claim of a pod that it was just given
# (kubernetes/kubernetes#113429), and the kubelet asks again 10 to 15 s later.
LATE_SECONDS = 30.0


@dataclass
class Ran:
    """One job as `cron.runs` tells of it. `late`: seconds from its due time to its start."""

    late: float
    entries: list[dict[str, Any]]
    session: str


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


async def slept_and_woken(place: Place, name: str, due: float) -> None:
    """Until it is asleep again after a wake for a job, which nobody else asked for."""
    asleep = await place.phase(name, "Asleep", seconds=due - time.time() - 20)
    assert asleep["status"]["nextWakeTime"] == iso(due)
    await place.phase(name, "Waking", "Awake", seconds=due - time.time() + LATE_SECONDS)
    assert time.time() < due, "it is woken ahead of time"
    again = (await place.phase(name, "Asleep", seconds=120))["status"]
    assert [entry["phase"] for entry in again["history"][:4]] == ["Asleep", "Draining", "Awake", "Waking"]
    assert again["lastWake"]["reason"] == "job"
    assert "nextWakeTime" not in again
    assert await place.replicas(name) == 0


async def ran(client: SealedClient, name: str, due: float) -> Ran:
    """The run of that job; where it was deleted with it, as the conversation tells of it."""
    sessions = (await client.call("sessions.list"))["sessions"]
    keys = [one["key"] for one in sessions if one["key"].startswith("agent:main:cron:")]
    jobs = (await client.call("cron.list", includeDisabled=True))["jobs"]
    job = next(one for one in jobs if one["name"] == name)
    entries = (await client.call("cron.runs", id=job["id"]))["entries"]
    return Ran(entries[0]["runAtMs"] / 1000 - due, entries, next(iter(keys), MAIN))


def asked(fake: FakeAnthropic, words: str) -> int:
    """How many requests had that as a person's last words."""
    return sum(words in said_by_person(request.body)[-1] for request in fake.requests)


async def job_of_the_resource(place: Place, fake: FakeAnthropic, name: str) -> Ran:
    due = float(int(time.time()) + AHEAD_SECONDS)
    job = {"name": "brief", "at": iso(due), "prompt": "Tell me what is on today."}
    await claude(place, fake, {"sleepAfter": "10s", "schedule": [job]}, name)
    async with open_device(place, name) as device:
        await slept_and_woken(place, name, due)
        await device.wake()
        async with device.connect() as client:
            found = await ran(client, "brief", due)
            own = await client.history(found.session)
            assert [role for role, _ in own] == ["user", "assistant"]
            notes = [one for one in (await client.call("chat.history", sessionKey=MAIN))["messages"] if one.get("job")]
            assert [one["job"]["name"] for one in notes] == ["brief"], "and the main conversation tells what it brought"
            assert "You said: Tell me what is on today." in text_of({"message": notes[0]})
    return found


async def job_that_was_added(place: Place, fake: FakeAnthropic, name: str) -> Ran:
    await claude(place, fake, {"sleepAfter": "10s"}, name)
    async with open_device(place, name) as device:
        due = await add(device)
        await slept_and_woken(place, name, due)
        await device.wake()
        async with device.connect() as client:
            history = await client.history(MAIN)
            assert [role for role, text in history] == ["user", "assistant", "user", "assistant"], history
            assert "You said: Water the plants" in history[3][1]
            return await ran(client, "plants", due)


async def add(device: Device) -> float:
    async with device.connect() as client:
        await client.say("My plants are thirsty")
        due = float(int(time.time()) + AHEAD_SECONDS)
        payload = {"kind": "agentTurn", "message": "Water the plants"}
        when = {"kind": "at", "atMs": int(due * 1000)}
        await client.call("cron.add", name="plants", schedule=when, sessionTarget="main", payload=payload, deleteAfterRun=False)
    return due


async def test_a_job_due_while_it_sleeps_wakes_it_and_runs_once(place: Place) -> None:
    """One of the resource, in a conversation of its own, and one that was added over the protocol, in the main one."""
    async with open_model() as fake:
        brief, plants = await asyncio.gather(job_of_the_resource(place, fake, "ada"), job_that_was_added(place, fake, "bob"))
        print(f"\nfrom due to begun: {brief.late:.2f} s and {plants.late:.2f} s")
        for job in (brief, plants):
            assert len(job.entries) == 1
            assert job.entries[0]["status"] == "ok"
            assert 0 <= job.late < LATE_SECONDS
        assert brief.session.startswith("agent:main:cron:")
        assert asked(fake, "Tell me what is on today.") == asked(fake, "Water the plants") == 1
