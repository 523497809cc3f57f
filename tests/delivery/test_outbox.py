"""The outbox: in order, at least once, and never again what was acknowledged."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway.delivery.outbox import LEASE_MS, Exchange, Outbox, parts_to_wire, read_exchange
from moltbot_gateway.errors import InvalidRequest
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.outbox import KEPT_MS, Part
from moltbot_gateway.store.records import Message
from tests.fakes.clock import FakeClock
from tests.schedule.world import main_texts

LEASE = LEASE_MS / 1000


class Fixture:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock
        self.noted: list[Message] = []
        self.outbox = Outbox(database, clock, self.noted.append)

    async def take(self, *acknowledge: Part, limit: int = 50, targets: tuple[str, ...] = ()) -> list[Part]:
        return await self.outbox.exchange(Exchange(tuple((part.event, part.number) for part in acknowledge), limit, targets))


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Fixture]:
    database = await Database.open(tmp_path / "moltbot.sqlite")
    yield Fixture(database, FakeClock())
    await database.close()


def texts(parts: list[Part]) -> list[str]:
    return [part.text for part in parts]


async def test_what_is_sent_waits_in_order_and_stands_in_the_main_conversation(box: Fixture) -> None:
    assert await box.outbox.enqueue("e1", "telegram:1", "one") == 1
    assert await box.outbox.enqueue("e2", "telegram:1", f"{'a' * 60}\n\n{'b' * 60}", limit=64, detail={"tool": "message"}) == 2
    assert texts(await box.take()) == ["one", "a" * 60, "b" * 60]
    assert await box.outbox.waiting() == 3
    assert await box.database.read(main_texts) == ["one", f"{'a' * 60}\n\n{'b' * 60}"]
    assert [note.detail for note in box.noted] == [
        {"delivered": {"event": "e1", "to": "telegram:1", "parts": 1}},
        {"tool": "message", "delivered": {"event": "e2", "to": "telegram:1", "parts": 2}},
    ]


async def test_the_same_event_is_kept_once(box: Fixture) -> None:
    for _ in range(3):
        await box.outbox.enqueue("e", "telegram:1", "one")
    (part,) = await box.take()
    assert await box.take(part) == []
    await box.outbox.enqueue("e", "telegram:1", "one")
    box.clock.set(2 * LEASE)
    assert await box.take() == []
    assert len(box.noted) == 1


async def test_an_acknowledged_part_never_comes_again_and_unknown_ones_are_ignored(box: Fixture) -> None:
    await box.outbox.enqueue("e", "telegram:1", "one")
    (part,) = await box.take()
    assert (
        await box.outbox.exchange(Exchange((("nobody", 7), (part.event, part.number), (part.event, part.number), (part.event, 99)))) == []
    )
    box.clock.set(10 * LEASE)
    assert await box.take() == []
    assert await box.outbox.waiting() == 0


async def test_what_was_not_acknowledged_comes_again_after_its_lease(box: Fixture) -> None:
    await box.outbox.enqueue("e", "telegram:1", "one")
    assert [part.takes for part in await box.take()] == [1]
    box.clock.set(LEASE - 1)
    assert await box.take() == []
    box.clock.set(1)
    assert [part.takes for part in await box.take()] == [2]


async def test_nothing_overtakes_what_is_on_its_way_to_the_same_target(box: Fixture) -> None:
    for number in range(3):
        await box.outbox.enqueue(f"a{number}", "telegram:1", f"a{number}")
    await box.outbox.enqueue("b", "discord:2", "b")
    (first,) = await box.take(limit=1)
    assert texts(await box.take()) == ["b"], "others go on"
    assert texts(await box.take(first)) == ["a1", "a2"]
    box.clock.set(LEASE)
    assert texts(await box.take()) == ["a1", "a2", "b"]


async def test_only_what_was_asked_for_is_given_out(box: Fixture) -> None:
    for target in ("telegram:1", "discord:1", "telegram:2"):
        await box.outbox.enqueue(target, target, target)
    assert texts(await box.take(targets=("telegram:",))) == ["telegram:1", "telegram:2"]
    assert await box.take(limit=0) == []
    assert texts(await box.take()) == ["discord:1"]


async def test_a_clock_that_was_set_back_keeps_nothing_waiting(box: Fixture) -> None:
    await box.outbox.enqueue("e", "telegram:1", "one")
    box.clock.set(86400)
    await box.take()
    box.clock.set(-86400)
    assert texts(await box.take()) == ["one"]


async def test_keys_are_forgotten_after_a_month(box: Fixture) -> None:
    await box.outbox.enqueue("e", "telegram:1", "one")
    await box.take(*(await box.take()))
    box.clock.set(KEPT_MS / 1000 + 1)
    await box.outbox.enqueue("f", "telegram:1", "two")
    rows = await box.database.read(lambda db: db.execute("SELECT event FROM outbox").fetchall())
    assert rows == [("f",)]


async def test_nothing_is_no_message(box: Fixture) -> None:
    with pytest.raises(ValueError, match="empty"):
        await box.outbox.enqueue("e", "telegram:1", " \n")


async def test_many_takers_at_once_get_each_part_once(box: Fixture) -> None:
    for number in range(30):
        await box.outbox.enqueue(f"e{number}", f"telegram:{number}", str(number))
    taken = await asyncio.gather(*(box.take(limit=4) for _ in range(12)))
    assert sorted(int(part.text) for parts in taken for part in parts) == list(range(30))


def test_the_shape_of_a_call() -> None:
    assert read_exchange({}) == Exchange((), 50, ())
    body = {"acknowledge": [{"event": "e", "part": 0, "more": 1}], "limit": 3, "targets": ["telegram:"]}
    assert read_exchange(body) == Exchange((("e", 0),), 3, ("telegram:",))
    part = Part("e", 1, 2, "telegram:1", "text", 5, 1)
    row = {"event": "e", "part": 1, "of": 2, "target": "telegram:1", "text": "text", "createdAtMs": 5, "takes": 1}
    assert parts_to_wire([part]) == {"parts": [row]}


@pytest.mark.parametrize(
    "body",
    [
        {"limit": -1},
        {"limit": 101},
        {"limit": True},
        {"targets": "telegram:"},
        {"targets": [""]},
        {"acknowledge": {}},
        {"acknowledge": ["e"]},
        {"acknowledge": [{"event": "e"}]},
        {"acknowledge": [{"event": "e", "part": True}]},
    ],
)
def test_what_is_no_call_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        read_exchange(body)


async def _take_until_killed(path: Path, delivered: Path, epoch: float, calls: int) -> list[tuple[str, int]]:
    """Takes, delivers, acknowledges with the next call; killed (SIGKILL) when it has delivered what the last call brought. Returns what was
    acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.delivery.taking", str(path), str(delivered), str(epoch), str(calls), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged: list[tuple[str, int]] = []
    async with asyncio.timeout(20):
        while (line := (await process.stdout.readline()).decode().strip()) != "waiting":
            assert line.startswith("acknowledged"), line
            _, event, number = line.split()
            acknowledged.append((event, int(number)))
    process.kill()
    await process.wait()
    return acknowledged


async def test_killed_between_taking_and_acknowledging(tmp_path: Path) -> None:
    """Rule 7, with a real process and a real file: nothing is lost, nothing that was acknowledged comes twice, and the order holds."""
    path, delivered, clock = tmp_path / "moltbot.sqlite", tmp_path / "delivered", FakeClock()
    database = await Database.open(path)
    outbox = Outbox(database, clock, lambda note: None)
    for number in range(6):
        await outbox.enqueue(f"e{number}", f"telegram:{number % 2}", f"{number}" + "x" * 60 + "\n\n" + "y" * 60, limit=64)
    await outbox.enqueue("other", "discord:1", "not for us")
    await database.close()
    epoch = clock.epoch()
    acknowledged: list[tuple[str, int]] = []
    for calls in (1, 2, 1, 3, 9):
        already = list(acknowledged)
        seen = delivered.read_text().count("\n") if delivered.exists() else 0
        acknowledged += await _take_until_killed(path, delivered, epoch, calls)
        since = [line.split()[:2] for line in delivered.read_text().splitlines()[seen:]]
        assert not {(event, int(number)) for event, number in since} & set(already), "acknowledged, and given out again"
        epoch += LEASE
    lines = [line.split(maxsplit=3) for line in delivered.read_text().splitlines()]
    wanted = [(f"e{number}", part) for number in range(6) for part in range(2)]
    assert {(event, int(number)) for event, number, _, _ in lines} == set(wanted)
    for chat in (0, 1):
        firsts = [(event, int(number)) for event, number, takes, _ in lines if takes == "1" and int(event[1:]) % 2 == chat]
        assert firsts == [pair for pair in wanted if int(pair[0][1:]) % 2 == chat]
    repeated = [line for line in lines if line[2] != "1"]
    assert repeated, "a part that was on its way at a kill came again"
    database = await Database.open(path)
    box = Fixture(database, clock)
    assert texts(await box.take()) == ["not for us"]
    await database.close()
