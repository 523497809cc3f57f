"""What was written down is found, by the owner only, whatever stands in the files or in the question."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moltbot_gateway.store.conversations import append_message, ensure_session
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.memory import CHUNK_LINES, chunks_of
from moltbot_gateway.store.records import NewMessage
from moltbot_gateway.tools.base import Tool, ToolCall, ToolOutcome
from moltbot_gateway.tools.memory import memory_tools
from moltbot_gateway.workspace import files
from moltbot_gateway.workspace.memory import Memory
from moltbot_protocol.hello import MAIN_SESSION


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "current" / "workspace"
    files.prepare(place, ())
    return place


@pytest.fixture
def memory(root: Path, database: Database) -> Memory:
    return Memory(root, database)


def write(root: Path, name: str, text: str, *, at: int = 0) -> None:
    (root / name).write_text(text)
    if at:
        os.utime(root / name, ns=(at * 10**9, at * 10**9))


async def found(memory: Memory, text: str, limit: int = 5) -> list[str]:
    return [f"{hit.path}:{hit.first}" for hit in await memory.search(text, limit=limit)]


async def test_a_note_is_found_by_the_beginning_of_a_word_with_the_lines_around(root: Path, memory: Memory) -> None:
    write(root, "memory/2026-11-24.md", "\n".join(f"line {number}" for number in range(1, 31)) + "\nAnna is planning Lisbon\nend")
    (hit,) = await memory.search("lisb", limit=5)
    assert (hit.path, hit.first, hit.last) == ("memory/2026-11-24.md", 27, 31)
    assert hit.text.splitlines()[-1] == "Anna is planning Lisbon"
    assert await found(memory, "PLAN") == ["memory/2026-11-24.md:27"]


async def test_accents_do_not_matter_and_other_files_are_not_memory(root: Path, memory: Memory) -> None:
    write(root, "MEMORY.md", "Café Müller is closed on Mondays")
    write(root, "USER.md", "muller")
    write(root, "memory/a.txt", "muller")
    assert await found(memory, "cafe muller") == ["MEMORY.md:1"]


async def test_the_index_follows_the_files(root: Path, memory: Memory, database: Database) -> None:
    write(root, "MEMORY.md", "old word")
    assert await found(memory, "old") == ["MEMORY.md:1"]
    before = database.change
    assert await found(memory, "old") == ["MEMORY.md:1"]
    assert database.change == before  # nothing changed, nothing was written: an idle assistant's snapshot stays the same
    write(root, "MEMORY.md", "new phrase")
    assert (await found(memory, "old"), await found(memory, "new")) == ([], ["MEMORY.md:1"])
    (root / "MEMORY.md").unlink()
    assert await found(memory, "new") == []


async def test_a_better_hit_comes_first_and_of_equal_ones_the_newest(root: Path, memory: Memory) -> None:
    filler = "\n".join(f"something else {number}" for number in range(10))
    for day, at in (("21", 300), ("22", 100), ("23", 200)):
        write(root, f"memory/2026-11-{day}.md", f"the dentist called\n{filler}", at=at)
    for number in range(10):
        write(root, f"memory/other-{number}.md", filler, at=400)
    write(root, "MEMORY.md", f"dentist dentist appointment: dentist Dr. Weiss\n{filler}", at=50)
    paths = [path.partition(":")[0] for path in await found(memory, "dentist appointment")]
    assert paths == ["MEMORY.md", "memory/2026-11-21.md", "memory/2026-11-23.md", "memory/2026-11-22.md"]


async def test_one_of_the_words_is_enough_and_the_limit_holds(root: Path, memory: Memory) -> None:
    for number in range(9):
        write(root, f"memory/{number}.md", f"oslo {number}")
    assert len(await found(memory, "what did they say about oslo", limit=3)) == 3


async def test_lines_of_overlapping_pieces_come_once(root: Path, memory: Memory) -> None:
    lines = [f"line {number}" for number in range(1, 101)]
    lines[CHUNK_LINES - 3] = "the needle"  # in the first piece and in the second
    write(root, "MEMORY.md", "\n".join(lines))
    assert len(await memory.search("needle", limit=5)) == 1


async def test_words_without_spaces_between_them_are_found_too(root: Path, memory: Memory) -> None:
    write(root, "MEMORY.md", "我的猫很可爱\n明日は東京へ行きます\n고양이를 좋아해요")
    for text in ("猫", "可爱", "東京", "고양이", "猫 and more"):
        assert await found(memory, text) == ["MEMORY.md:1"], text
    assert await found(memory, "犬") == []


@pytest.mark.parametrize(
    "text",
    ["", "   ", '"', '""', "AND", "NOT x", "a OR", "NEAR(", "text:x", "-a", "*", "a*b", "^x", "(", "{", "\0", "x\0y", "%", "_", "😀"],
)
async def test_no_question_is_an_error(root: Path, memory: Memory, text: str) -> None:
    write(root, "MEMORY.md", "hello")
    assert isinstance(await memory.search(text, limit=3), list)
    assert isinstance(await memory.search_said(text, MAIN_SESSION, limit=3), list)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
async def test_no_text_at_all_is_an_error(root: Path, memory: Memory, text: str) -> None:
    write(root, "MEMORY.md", "hello 猫")
    assert isinstance(await memory.search(text, limit=3), list)
    assert isinstance(await memory.search_said(text, MAIN_SESSION, limit=3), list)


@given(st.lists(st.text(alphabet="ab \t", max_size=3), max_size=200))
def test_every_line_that_says_something_is_in_a_piece(lines: list[str]) -> None:
    text = "\n".join(lines)
    pieces = chunks_of(text)
    split = text.splitlines()
    covered = {number for piece in pieces for number in range(piece.first, piece.last + 1)}
    assert {number for number, line in enumerate(split, 1) if line.strip()} <= covered
    for piece in pieces:
        assert piece.text == "\n".join(split[piece.first - 1 : piece.last])
        assert piece.last - piece.first < CHUNK_LINES


async def test_links_and_folders_among_the_notes_lead_nowhere(root: Path, memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "key.md").write_text("the modelkey")
    (root / "memory" / "link.md").symlink_to(tmp_path / "key.md")
    (root / "memory" / "folder.md").mkdir()
    (root / "MEMORY.md").symlink_to(tmp_path / "key.md")
    os.mkfifo(root / "memory" / "pipe.md")
    write(root, "memory/a.md", "a plain one")
    assert (await found(memory, "modelkey"), await found(memory, "plain")) == ([], ["memory/a.md:1"])
    (root / "memory").rename(root / "old")
    (root / "memory").symlink_to(tmp_path)
    assert (await found(memory, "modelkey"), await found(memory, "plain")) == ([], [])


# the tools


def tool(memory: Memory, name: str) -> Tool:
    return next(tool for tool in memory_tools(memory) if tool.name == name)


async def run(memory: Memory, name: str, *, private: bool = True, session: str = MAIN_SESSION, **given: object) -> ToolOutcome:
    return await tool(memory, name).run(ToolCall("c1", name, given, session, "r1", private))


async def say(database: Database, key: str, text: str, role: str = "user", at_ms: int = 0) -> None:
    await database.write(lambda db: append_message(db, ensure_session(db, key, at_ms), NewMessage(role, text), at_ms=at_ms, run_id=None))


async def test_memory_search_tells_lines_with_numbers_and_what_was_said(root: Path, memory: Memory, database: Database) -> None:
    write(root, "MEMORY.md", "# People\nAnna: likes figs")
    await say(database, MAIN_SESSION, "Does anna like figs?", at_ms=1_790_000_000_000)
    outcome = await run(memory, "memory_search", query="Anna figs")
    assert not outcome.error
    assert "MEMORY.md, lines 1-2\n1: # People\n2: Anna: likes figs" in outcome.model
    assert "Does anna like figs?" in outcome.model
    assert outcome.details["notes"] == [{"path": "MEMORY.md", "firstLine": 1, "lastLine": 2}]


async def test_memory_search_tells_nothing_of_conversations_with_others(root: Path, memory: Memory, database: Database) -> None:
    for key in ("agent:main:telegram:direct:7", "agent:main:slack:group:g"):
        await say(database, key, "the secret figs of somebody else")
    outcome = await run(memory, "memory_search", query="figs")
    assert "Nothing found" in outcome.model
    assert "secret" not in outcome.model


@pytest.mark.parametrize("name", ["memory_search", "memory_get"])
async def test_outside_private_conversations_there_is_no_memory(root: Path, memory: Memory, name: str) -> None:
    write(root, "MEMORY.md", "SECRET")
    outcome = await run(memory, name, private=False, query="secret", path="MEMORY.md")
    assert outcome.error
    assert "SECRET" not in outcome.model + outcome.person
    assert "private" in outcome.model


async def test_memory_get_reads_lines_and_says_how_to_go_on(root: Path, memory: Memory) -> None:
    write(root, "memory/2026-11-24.md", "\n".join(f"line {number}" for number in range(1, 101)))
    outcome = await run(memory, "memory_get", path="memory/2026-11-24.md", from_line=10, lines=2)
    assert outcome.model == "10: line 10\n11: line 11\n[100 lines in all; go on with from_line 12]"
    assert "has 100 lines" in (await run(memory, "memory_get", path="memory/2026-11-24.md", from_line=101)).model


@pytest.mark.parametrize(
    "path", ["../moltbot.sqlite", "/etc/passwd", "USER.md", "memory/../USER.md", "memory/none.md", "memory/link.md", ""]
)
async def test_memory_get_reads_nothing_else(root: Path, memory: Memory, path: str) -> None:
    (root / "memory" / "link.md").symlink_to(root / "USER.md")
    outcome = await run(memory, "memory_get", path=path)
    assert outcome.error
    assert "Your person" not in outcome.model


async def test_of_a_long_line_the_part_with_the_hit_is_shown(root: Path, memory: Memory) -> None:
    write(root, "MEMORY.md", "before " * 2000 + "the needle " + "after " * 2000)
    (hit,) = await memory.search("needle", limit=5)
    assert "the needle after" in hit.text
    assert len(hit.text) < 500


async def test_of_a_huge_note_the_beginning_is_found_and_the_rest_told_of(root: Path, memory: Memory) -> None:
    write(root, "memory/huge.md", "first\n" + "x y z\n" * 100_000 + "last\n")
    assert (await found(memory, "first"), await found(memory, "last")) == (["memory/huge.md:1"], [])
    assert "use read for the rest" in (await run(memory, "memory_get", path="memory/huge.md")).model
