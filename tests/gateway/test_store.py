"""Rule 8: one database, one writer; nothing lost, nothing twice, and a copy is consistent while writes go on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from moltbot_gateway.errors import StateError, StateTooNew
from moltbot_gateway.store import conversations as c
from moltbot_gateway.store import records, runs, schema
from moltbot_gateway.store.database import Database
from moltbot_state.layout import DATABASE_VERSION

KEY = "agent:main:main"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "current" / "moltbot.sqlite")
    yield opened
    await opened.close()


def accept(run_id: str, text: str = "hello", now_ms: int = 1000) -> Callable[[sqlite3.Connection], records.Run | None]:
    return lambda db: runs.accept_run(db, records.NewRun(run_id, KEY, text), now_ms)


def begin(run_id: str) -> Callable[[sqlite3.Connection], tuple[records.Session, records.Message] | None]:
    return lambda db: runs.begin_run(db, run_id, 2000)


def end(
    run_id: str, text: str, status: records.RunStatus = records.RunStatus.DONE
) -> Callable[[sqlite3.Connection], records.Message | None]:
    return lambda db: runs.end_run(db, run_id, records.Answer(status, text, {"stopReason": "stop"}, 3, 4), 3000)


def texts(db: sqlite3.Connection) -> list[tuple[str, str]]:
    session = c.get_session(db, KEY)
    return [] if session is None else [(message.role, message.text) for message in c.list_messages(db, session, limit=100)]


def test_the_state_container_knows_the_schema_of_the_gateway() -> None:
    """Rule 8: both refuse the same databases as too new."""
    assert schema.VERSION == DATABASE_VERSION


async def test_a_repeated_key_is_accepted_once(database: Database) -> None:
    assert await database.write(accept("k")) is None
    again = await database.write(accept("k", text="other"))
    assert again is not None
    assert (again.status, again.text) == (records.RunStatus.QUEUED, "hello")
    await database.write(begin("k"))
    await database.write(end("k", "hi"))
    after = await database.write(accept("k"))
    assert after is not None
    assert after.status is records.RunStatus.DONE
    assert await database.read(texts) == [("user", "hello"), ("assistant", "hi")]


async def test_a_conversation_reads_in_the_order_of_its_answers(database: Database) -> None:
    for run_id in ("1", "2"):
        await database.write(accept(run_id, text=f"question {run_id}"))
    for run_id in ("1", "2"):
        await database.write(begin(run_id))
        await database.write(end(run_id, f"answer {run_id}"))
    assert await database.read(texts) == [
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
        ("assistant", "answer 2"),
    ]


async def test_a_run_ends_once(database: Database) -> None:
    await database.write(accept("k"))
    await database.write(begin("k"))
    assert await database.write(end("k", "first")) is not None
    assert await database.write(end("k", "second")) is None
    assert await database.write(begin("k")) is None
    assert await database.read(runs.total_tokens) == 7


async def test_what_was_running_at_a_crash_is_interrupted_and_what_was_queued_stays(tmp_path: Path) -> None:
    path = tmp_path / "moltbot.sqlite"
    first = await Database.open(path)
    for run_id in ("running", "queued"):
        await first.write(accept(run_id, text=run_id))
    await first.write(begin("running"))
    await first.write(lambda db: runs.keep_partial(db, "running", "half an ans"))
    copy = tmp_path / "after-kill.sqlite"  # what a killed process leaves: the file and its log, never checkpointed
    copy.write_bytes(path.read_bytes())
    Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    await first.close()

    second = await Database.open(copy)
    assert await second.read(lambda db: runs.has_leftovers(db, 5000))
    cut = await second.write(lambda db: runs.interrupt_running(db, {"stopReason": "interrupted"}, 5000))
    assert [run.id for run in cut] == ["running"]
    assert await second.read(texts) == [("user", "running"), ("assistant", "half an ans")]
    assert [run.id for run in await second.read(runs.list_open_runs)] == ["queued"]
    assert not await second.read(lambda db: runs.has_leftovers(db, 5000))
    await second.close()


async def test_a_reset_begins_anew_and_forgets_nothing_on_disk(database: Database) -> None:
    await database.write(accept("k"))
    await database.write(begin("k"))
    await database.write(end("k", "hi"))
    await database.write(lambda db: c.reset_session(db, KEY, 9000))
    assert await database.read(texts) == []
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM messages").fetchone()[0]) == 2


async def test_a_failed_write_keeps_nothing_and_changes_no_token(database: Database) -> None:
    before = database.change

    def fail(db: sqlite3.Connection) -> None:
        c.ensure_session(db, KEY, 1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(fail)
    assert database.change == before
    assert await database.read(lambda db: c.get_session(db, KEY)) is None


async def test_opening_an_existing_database_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "moltbot.sqlite"
    first = await Database.open(path)
    await first.write(accept("k"))
    token = first.change
    await first.close()
    second = await Database.open(path)
    assert second.change == token
    await second.close()


async def test_two_histories_of_one_snapshot_never_share_a_token(tmp_path: Path) -> None:
    path, other = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    first = await Database.open(path)
    await first.write(accept("k"))
    await first.close()
    other.write_bytes(path.read_bytes())
    tokens = set()
    for copy in (path, other):
        database = await Database.open(copy)
        await database.write(accept(f"of {copy.name}"))
        tokens.add(database.change)
        await database.close()
    assert len(tokens) == 2


async def test_a_copy_holds_the_writes_that_went_on_between_its_steps(database: Database, tmp_path: Path) -> None:
    """The copy is consistent as of its end, and its token names exactly what is in it."""
    big = "x" * 10_000
    for number in range(400):  # about 4 MB: several steps
        await database.write(lambda db, n=number: runs.accept_run(db, records.NewRun(str(n), KEY, big), n))  # type: ignore[misc]
    wrote: list[asyncio.Task[object]] = []

    def meanwhile() -> None:
        wrote.append(asyncio.ensure_future(database.write(accept(f"meanwhile-{len(wrote)}"))))

    staged = await database.stage(tmp_path / "stage" / "1.sqlite", unless=None, progress=meanwhile)
    await asyncio.gather(*wrote)
    assert len(wrote) > 1
    assert staged.path is not None
    copy = sqlite3.connect(staged.path)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copy.execute("SELECT value FROM meta WHERE key = 'change'").fetchone() == (staged.change,)
    assert copy.execute("SELECT count(*) FROM runs WHERE id LIKE 'meanwhile%'").fetchone()[0] >= 1
    copy.close()


async def test_an_unchanged_state_is_not_copied(database: Database, tmp_path: Path) -> None:
    await database.write(accept("k"))
    first = await database.stage(tmp_path / "1.sqlite", unless=None, progress=lambda: None)
    again = await database.stage(tmp_path / "2.sqlite", unless=first.change, progress=lambda: None)
    assert again.path is None
    assert again.change == first.change
    assert not (tmp_path / "2.sqlite").exists()
    await database.write(accept("l"))
    third = await database.stage(tmp_path / "3.sqlite", unless=first.change, progress=lambda: None)
    assert third.path is not None


async def test_a_second_process_is_locked_out(database: Database) -> None:
    await database.write(accept("k"))
    with pytest.raises(StateError, match="another process"):
        await Database.open(database.path)


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "moltbot.sqlite"
    await (await Database.open(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StateTooNew, match="newer version"):
        await Database.open(path)
    assert path.read_bytes() == before
    assert not (tmp_path / "set-aside").exists()


@pytest.mark.parametrize("damage", ["garbage", "pages", "foreign"])
async def test_a_damaged_database_is_set_aside_and_kept(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "moltbot.sqlite"
    first = await Database.open(path)
    for number in range(50):
        await first.write(lambda db, n=number: runs.accept_run(db, records.NewRun(str(n), KEY, "y" * 2000), n))  # type: ignore[misc]
    await first.close()
    match damage:
        case "garbage":
            path.write_bytes(b"no database at all " * 1000)
        case "pages":
            content = bytearray(path.read_bytes())
            content[4096 * 2 : 4096 * 20] = b"\xff" * (4096 * 18)
            path.write_bytes(content)
        case "foreign":
            path.unlink()
            with sqlite3.connect(path) as raw:
                raw.execute("CREATE TABLE somebody (elses)")
            raw.close()
    damaged = path.read_bytes()
    second = await Database.open(path)
    assert second.set_aside is not None
    assert second.set_aside.read_bytes() == damaged
    assert await second.write(accept("new")) is None
    await second.close()


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "moltbot.sqlite")
    await database.close()
    await database.close()
    assert not Path(f"{database.path}-wal").exists()


async def test_a_database_that_a_program_shut_away_is_opened_again(tmp_path: Path) -> None:
    """chmod is not held by the confinement of tools."""
    path = tmp_path / "current" / "moltbot.sqlite"
    first = await Database.open(path)
    await first.write(accept("k"))
    await first.close()
    path.chmod(0)
    path.parent.chmod(0)
    again = await Database.open(path)
    assert await again.read(lambda db: runs.get_run_status(db, "k")) is records.RunStatus.QUEUED
    await again.close()
    assert path.stat().st_mode & 0o600 == 0o600
    assert path.parent.stat().st_mode & 0o700 == 0o700
