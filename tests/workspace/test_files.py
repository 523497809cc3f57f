"""How a workspace begins, what the resource puts there, and how much of it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from moltbot_gateway.agent_config import WorkspaceFile
from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.workspace import files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "current" / "workspace"


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_a_new_workspace_has_each_template_and_nothing_else(root: Path) -> None:
    assert files.prepare(root, ()) == []
    assert names(root) == {*files.TEMPLATES, "memory"}
    assert (root / "AGENTS.md").read_text().startswith("# ")


def test_what_was_removed_or_changed_stays_so_at_the_next_start(root: Path) -> None:
    files.prepare(root, ())
    (root / "BOOTSTRAP.md").unlink()
    (root / "SOUL.md").write_text("mine")
    files.prepare(root, ())
    assert "BOOTSTRAP.md" not in names(root)
    assert (root / "SOUL.md").read_text() == "mine"


def test_a_process_killed_while_making_it_goes_on_at_the_next_start(root: Path) -> None:
    files.prepare(root, ())
    (root / ".new").write_text("")
    for name in ("TOOLS.md", "BOOTSTRAP.md"):
        (root / name).unlink()
    (root / "SOUL.md").write_text("mine")
    files.prepare(root, ())
    assert names(root) == {*files.TEMPLATES, "memory"}
    assert (root / "SOUL.md").read_text() == "mine"


def test_the_folder_of_the_tools_does_not_make_it_an_old_one(root: Path) -> None:
    (root / ".tmp").mkdir(parents=True)
    files.prepare(root, ())
    assert "BOOTSTRAP.md" in names(root)


def test_files_of_the_resource_win_over_templates_and_are_written_once_or_always(root: Path) -> None:
    given = (WorkspaceFile("SOUL.md", "from the resource"), WorkspaceFile("docs/rules.md", "rules 1", always=True))
    assert files.prepare(root, given) == []
    assert (root / "SOUL.md").read_text() == "from the resource"
    (root / "SOUL.md").write_text("grown")
    (root / "docs/rules.md").write_text("bent")
    files.prepare(root, given)
    assert (root / "SOUL.md").read_text() == "grown"
    assert (root / "docs/rules.md").read_text() == "rules 1"


def test_a_file_of_the_resource_that_comes_later_replaces_a_template_and_nothing_that_was_written(root: Path) -> None:
    files.prepare(root, ())
    (root / "USER.md").write_text("She is Ada.")
    files.prepare(root, (WorkspaceFile("SOUL.md", "from the resource"), WorkspaceFile("USER.md", "from the resource")))
    assert (root / "SOUL.md").read_text() == "from the resource"
    assert (root / "USER.md").read_text() == "She is Ada."


def test_a_file_that_is_always_written_is_left_alone_while_it_is_the_same(root: Path) -> None:
    given = (WorkspaceFile("docs/rules.md", "rules", always=True),)
    files.prepare(root, given)
    before = (root / "docs/rules.md").stat()
    files.prepare(root, given)
    assert (root / "docs/rules.md").stat().st_ino == before.st_ino


@pytest.mark.parametrize("path", ["../moltbot.sqlite", "/etc/passwd", ".skills/x/SKILL.md", "a/.hidden", "a/../../b", "out/key", ""])
def test_a_file_of_the_resource_never_lands_elsewhere(root: Path, path: str) -> None:
    root.mkdir(parents=True)
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (root / "out").symlink_to(elsewhere)
    problems = files.prepare(root, (WorkspaceFile(path, "x", always=True), WorkspaceFile("good.md", "good")))
    assert len(problems) == 1
    assert "workspace file" in problems[0]
    assert (root / "good.md").read_text() == "good"
    assert sorted(path.name for path in root.parent.iterdir()) == ["elsewhere", "workspace"]
    assert list(elsewhere.iterdir()) == []


def test_a_long_file_is_cut_in_the_prompt_and_says_how_to_read_the_rest(root: Path) -> None:
    files.prepare(root, ())
    (root / "SOUL.md").write_text("ä" * 20_000)
    assert files.read_for_prompt(root, "SOUL.md") == "ä" * 20_000
    (root / "SOUL.md").write_text("ä" * 20_001 + "END")
    text = files.read_for_prompt(root, "SOUL.md")
    assert "END" not in text
    assert text.startswith("ä" * 20_000 + "\n\n[Cut here")
    assert "SOUL.md with the read tool" in text
    assert files.read_for_prompt(root, "MEMORY.md") == ""


def test_a_huge_or_binary_file_costs_no_more_than_its_beginning(root: Path) -> None:
    root.mkdir(parents=True)
    with (root / "SOUL.md").open("wb") as file:
        file.truncate(50 * 2**30)
        file.write(b"\xff\xfe\x00")
    assert len(files.read_for_prompt(root, "SOUL.md")) < 20_300


def test_pages_read_and_write_the_workspace_and_nothing_hidden_or_outside(root: Path) -> None:
    files.prepare(root, ())
    for name in ("MEMORY.md", "memory/2026-11-24.md", "skills/mine/SKILL.md", "notes.txt", "a/b/c.md"):
        with pytest.raises(FileMissing):
            files.read_file(root, name)
        files.write_file(root, name, f"in {name}")
        assert files.read_file(root, name)[0] == f"in {name}"
    for name in (
        ".env",
        "memory/.x.md",
        "skills/.x/SKILL.md",
        ".skills/notes/SKILL.md",
        "../a.md",
    ):
        with pytest.raises(WorkspaceError):
            files.write_file(root, name, "x")
        with pytest.raises(WorkspaceError):
            files.read_file(root, name)
    with pytest.raises(WorkspaceError, match="at most"):
        files.write_file(root, "MEMORY.md", "x" * (files.MAX_FILE + 1))


def test_the_list_has_known_files_there_or_not_then_notes_newest_first_then_skills(root: Path) -> None:
    files.prepare(root, ())
    for name in ("memory/2026-11-23.md", "memory/2026-11-24.md", "skills/a/SKILL.md"):
        files.write_file(root, name, "x")
    (root / "memory" / "link.md").symlink_to("/etc/passwd")
    shown = files.list_files(root)
    assert [item.name for item in shown] == [*files.KNOWN, "memory/2026-11-24.md", "memory/2026-11-23.md", "skills/a/SKILL.md"]
    assert [item.name for item in shown if item.missing] == ["MEMORY.md"]


def test_the_list_has_what_else_was_put_there_and_nothing_hidden(root: Path) -> None:
    files.prepare(root, ())
    for name in ("notes.md", "work/a.txt", "work/deep/b.txt", "1/2/3/4/5/too-deep.txt"):
        files.write_file(root, name, "x")
    (root / ".tmp").mkdir()
    (root / ".tmp" / "scratch").write_text("x")
    (root / "link").symlink_to("/etc/passwd")
    assert [item.name for item in files.list_files(root) if item.name not in files.KNOWN] == ["notes.md", "work/a.txt", "work/deep/b.txt"]
    for number in range(files.MAX_LISTED + 50):
        (root / "work" / f"{number}.txt").write_text("x")
    assert len(files.list_files(root)) <= len(files.KNOWN) + files.MAX_LISTED


def test_what_is_no_text_is_not_shown_as_text(root: Path) -> None:
    files.prepare(root, ())
    (root / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(WorkspaceError, match="no text"):
        files.read_file(root, "picture.png")


def test_what_a_killed_write_left_is_removed_at_the_next_start(root: Path) -> None:
    files.prepare(root, ())
    for name in (".0123456789abcdef.draft", "memory/.0123456789abcdef.draft", "mine.draft"):
        (root / name).write_text("half")
    files.prepare(root, ())
    assert names(root) == {*files.TEMPLATES, "memory", "mine.draft"}
    assert list((root / "memory").iterdir()) == []
