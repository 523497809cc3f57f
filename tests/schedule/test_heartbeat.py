"""The heartbeat asks only when there is something to do, and says only what is worth it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from moltbot_gateway.agent_config import Heartbeat
from moltbot_gateway.schedule.heartbeat import (
    DEFAULT_PROMPT,
    MAX_BESIDE,
    MAX_FILE,
    Beat,
    HeartbeatFailed,
    HeartbeatPorts,
    Heartbeats,
    has_work,
    is_active,
    to_deliver,
)
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.records import Message
from tests.fakes.clock import FakeClock
from tests.schedule.world import main_texts

HALF_AN_HOUR = 1_800_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("\n \n", False),
        ("# Heartbeat\n\n## Often\n", False),
        ("<!-- write here\nwhat to look at -->\n# Heartbeat\n", False),
        ("<!-- never closed\n- look", False),
        ("- \n- [ ]\n* [x]\n", False),
        ("---\n***\n", False),
        ("# Heartbeat\n- look at the inbox", True),
        ("<!-- a --> look <!-- b -->", True),
        ("<!-- a -->- look", True),
        ("<!-- a -->\nx\n<!-- b -->", True),
        ("- [ ] call the dentist", True),
    ],
)
def test_whether_the_file_asks_for_anything(text: str, expected: bool) -> None:
    assert has_work(text) is expected


LONG = "x" * (MAX_BESIDE + 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("HEARTBEAT_OK", None),
        (" HEARTBEAT_OK.\n", None),
        ("**HEARTBEAT_OK**", None),
        ("HEARTBEAT_OK All is quiet.", None),
        ("Nothing new.\n\nHEARTBEAT_OK", None),
        (f"HEARTBEAT_OK\n{LONG}", LONG),
        (f"{LONG}.\nHEARTBEAT_OK", f"{LONG}."),
        ("", None),
        ("A letter came.", "A letter came."),
        ("The word HEARTBEAT_OK stands in a file.", "The word HEARTBEAT_OK stands in a file."),
        ("HEARTBEAT_OKAY is what it said", "HEARTBEAT_OKAY is what it said"),
    ],
)
def test_what_of_an_answer_is_delivered(answer: str, expected: str | None) -> None:
    assert to_deliver(answer) == expected


@pytest.mark.parametrize(
    ("active", "time", "expected"),
    [
        (None, "03:00", True),
        ((480, 1380), "06:59", False),  # 07:59 in Berlin
        ((480, 1380), "07:00", True),
        ((480, 1380), "21:59", True),
        ((480, 1380), "22:00", False),
        ((1320, 360), "22:00", True),  # over midnight
        ((1320, 360), "04:59", True),
        ((1320, 360), "05:00", False),
    ],
)
def test_hours_are_those_of_the_zone(active: tuple[int, int] | None, time: str, expected: bool) -> None:
    now = datetime.fromisoformat(f"2026-11-24T{time}").replace(tzinfo=UTC)
    assert is_active(active, ZoneInfo("Europe/Berlin"), now) is expected


class Room:
    """A heartbeat every half hour over a real file and database; what is asked is counted."""

    def __init__(self, database: Database, workspace: Path, config: Heartbeat) -> None:
        self.database, self.file, self.clock = database, workspace / "HEARTBEAT.md", FakeClock()
        self.asked: list[tuple[str, str]] = []
        self.answer: str | Exception = "HEARTBEAT_OK"
        self.gate: asyncio.Event | None = None
        self.admits, self.busy, self.limited = True, False, False
        self.told: list[Mapping[str, object]] = []
        self.noted: list[Message] = []
        ports = HeartbeatPorts(self, lambda: self.admits, lambda: self.busy, lambda: self.limited, self.told.append, self.noted.append)
        self.heartbeats = Heartbeats(config, database, workspace, self.clock, ports, zone="Europe/Berlin")

    async def ask(self, prompt: str, model: str) -> str:
        self.asked.append((prompt, model))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def beat(self) -> tuple[str, str]:
        beat: Beat = await self.heartbeats.beat()
        assert self.told[-1] == beat.to_wire()
        return beat.status.value, beat.reason or beat.preview


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "moltbot.sqlite")
    yield opened
    await opened.close()


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Room:
    made = Room(database, tmp_path, Heartbeat(HALF_AN_HOUR))
    made.file.write_text("- look at the inbox\n")
    return made


async def test_with_nothing_to_do_it_costs_nothing(room: Room) -> None:
    """No request to a model and nothing written, however often."""
    before = room.database.change
    room.file.write_text("# Heartbeat\n<!-- nothing yet -->\n")
    room.heartbeats.start()
    for count in range(1, 49):
        await room.clock.advance(HALF_AN_HOUR / 1000)
        async with asyncio.timeout(5):
            while len(room.told) < count:
                await asyncio.sleep(0.001)  # polling a flag: the file is read in a thread
    await room.heartbeats.close()
    assert (room.asked, room.database.change) == ([], before)
    assert {(event["status"], event["reason"]) for event in room.told} == {("skipped", "nothing to do")}
    room.file.unlink()
    assert await room.beat() == ("skipped", "nothing to do")


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
async def test_what_is_no_file_asks_for_nothing(room: Room, kind: str, tmp_path: Path) -> None:
    """Tools write in the workspace: a link leads nowhere else, and a pipe keeps nobody waiting."""
    room.file.unlink()
    match kind:
        case "link":
            (tmp_path / "secret").write_text("look here")
            room.file.symlink_to(tmp_path / "secret")
        case "pipe":
            os.mkfifo(room.file)
        case _:
            room.file.mkdir()
    async with asyncio.timeout(5):
        assert await room.beat() == ("skipped", "nothing to do")
    assert room.asked == []


async def test_ok_is_neither_stored_nor_shown(room: Room) -> None:
    assert await room.beat() == ("ok", "")
    assert room.asked == [(DEFAULT_PROMPT, "")]
    assert (room.noted, await room.database.read(main_texts)) == ([], [])


async def test_what_it_found_is_delivered_to_the_main_conversation(room: Room) -> None:
    room.answer = "A letter came."
    assert await room.beat() == ("sent", "A letter came.")
    assert await room.database.read(main_texts) == ["A letter came."]
    assert [note.detail for note in room.noted] == [{"heartbeat": True}]
    assert room.heartbeats.last is not None
    assert room.heartbeats.last.to_wire() == {
        "ts": int(room.clock.epoch() * 1000),
        "status": "sent",
        "preview": "A letter came.",
        "durationMs": 0,
    }


async def test_it_is_skipped_when_it_should_not_ask(room: Room) -> None:
    room.busy = True
    assert await room.beat() == ("skipped", "the conversation is busy")
    room.busy, room.limited = False, True
    assert await room.beat() == ("skipped", "the day's limit is reached")
    room.limited, room.admits = False, False
    assert await room.beat() == ("skipped", "going to sleep")
    assert room.asked == []


async def test_it_is_skipped_outside_its_hours(database: Database, tmp_path: Path) -> None:
    room = Room(database, tmp_path, Heartbeat(HALF_AN_HOUR, "look", (480, 540), "small"))  # 08:00 to 09:00; it is 09:00 in Berlin
    room.file.write_text("look")
    assert await room.beat() == ("skipped", "outside its hours")
    room.clock.set(-1)
    assert await room.beat() == ("ok", "")
    assert room.asked == [("look", "small")]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (HeartbeatFailed("The model is not set."), "The model is not set."),
        (RuntimeError("a secret"), "something went wrong inside the assistant; its log says what"),
    ],
)
async def test_a_failure_is_told_and_the_next_one_comes(room: Room, failure: Exception, reason: str) -> None:
    room.answer = failure
    assert await room.beat() == ("failed", reason)
    room.answer = "HEARTBEAT_OK"
    assert await room.beat() == ("ok", "")


async def test_it_is_busy_only_while_it_asks(room: Room) -> None:
    room.gate = asyncio.Event()
    beating = asyncio.create_task(room.heartbeats.beat())
    async with asyncio.timeout(5):
        while not room.asked:
            await asyncio.sleep(0.001)  # polling a flag: the file is read in a thread
    assert room.heartbeats.asking_since == room.clock.now()
    room.gate.set()
    await beating
    assert room.heartbeats.asking_since is None


async def test_a_file_too_long_to_look_at_has_something_to_do(room: Room) -> None:
    room.file.write_text("#\n" * MAX_FILE)
    assert await room.beat() == ("ok", "")
    assert len(room.asked) == 1


async def test_a_heartbeat_under_way_is_given_up_at_the_end(room: Room) -> None:
    room.gate = asyncio.Event()
    room.heartbeats.start()
    await room.clock.advance(HALF_AN_HOUR / 1000)
    async with asyncio.timeout(5):
        while not room.asked:
            await asyncio.sleep(0.001)  # polling a flag: the file is read in a thread
    await room.heartbeats.close()
    assert (room.told, room.heartbeats.asking_since) == ([], None)
