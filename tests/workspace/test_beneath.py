"""Nothing that the assistant's tools put into the workspace leads the gateway out of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.workspace import beneath


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.md").write_text("the key")
    (tmp_path / "workspace" / "memory").mkdir(parents=True)
    return tmp_path / "workspace"


def test_a_file_is_read_up_to_the_limit(root: Path) -> None:
    (root / "memory" / "a.md").write_text("0123456789")
    content, entry = beneath.read_bytes(root, "memory/a.md", 4)
    assert (content, entry.size, entry.path) == (b"0123", 10, "memory/a.md")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../secret/key.md", "memory/../../secret/key.md", "./a", "a//b", "a/", "a\0b", "a\nb"]
)
def test_a_path_that_leads_elsewhere_is_refused(root: Path, path: str) -> None:
    with pytest.raises(WorkspaceError):
        beneath.read_bytes(root, path, 100)
    with pytest.raises(WorkspaceError):
        beneath.write_bytes(root, path, b"x")
    assert (root.parent / "secret" / "key.md").read_text() == "the key"


@given(st.text(max_size=300))
def test_no_text_at_all_is_a_path_out(text: str) -> None:
    try:
        parts = beneath.split_path(text)
    except WorkspaceError:
        return
    assert "/".join(parts) == text
    assert not {"", ".", ".."} & set(parts)


def test_links_are_followed_at_no_component(root: Path) -> None:
    (root / "file.md").symlink_to(root.parent / "secret" / "key.md")
    (root / "folder").symlink_to(root.parent / "secret")
    for path in ("file.md", "folder/key.md"):
        with pytest.raises(WorkspaceError, match="link") as caught:
            beneath.read_bytes(root, path, 100)
        assert str(root) not in str(caught.value)
    with pytest.raises(WorkspaceError, match="link"):
        beneath.write_bytes(root, "folder/new.md", b"x")
    with pytest.raises(WorkspaceError, match="link"):
        beneath.list_directory(root, "folder")
    with pytest.raises(WorkspaceError):
        beneath.remove(root, "folder/key.md")
    assert [entry.path for entry in beneath.list_directory(root)] == ["memory"]
    assert sorted(path.name for path in (root.parent / "secret").iterdir()) == ["key.md"]


def test_a_link_is_replaced_or_removed_itself(root: Path) -> None:
    key = root.parent / "secret" / "key.md"
    (root / "file.md").symlink_to(key)
    beneath.write_bytes(root, "file.md", b"mine")
    assert (key.read_text(), (root / "file.md").is_symlink(), (root / "file.md").read_text()) == ("the key", False, "mine")
    (root / "folder").symlink_to(key.parent)
    beneath.remove(root, "folder")
    assert key.exists()
    assert not (root / "folder").is_symlink()


def test_what_is_no_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "memory" / "folder.md").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s"))
        for path in ("pipe", "memory/folder.md", "s"):
            with pytest.raises(WorkspaceError):
                beneath.read_bytes(root, path, 100)


def test_a_missing_file_or_folder_is_told_as_missing(root: Path) -> None:
    with pytest.raises(FileMissing):
        beneath.read_bytes(root, "nowhere/a.md", 10)
    assert beneath.get_entry(root, "nowhere/a.md") is None
    assert beneath.list_directory(root, "nowhere") == ()
    beneath.remove(root, "nowhere/a.md")


def test_a_write_makes_folders_and_leaves_nothing_else(root: Path) -> None:
    beneath.write_bytes(root, "skills/a/SKILL.md", b"one")
    beneath.write_bytes(root, "skills/a/SKILL.md", b"two", mode=0o444)
    assert [entry.path for entry in beneath.list_directory(root, "skills/a")] == ["skills/a/SKILL.md"]
    assert (root / "skills/a/SKILL.md").read_bytes() == b"two"
    with pytest.raises(WorkspaceError):
        beneath.write_bytes(root, "memory", b"a file where a folder is")
    assert [path.name for path in root.iterdir() if path.name.endswith(".draft")] == []


def test_a_folder_is_removed_with_all_that_is_in_it_but_not_what_its_links_lead_to(root: Path) -> None:
    beneath.write_bytes(root, "old/deep/er/a.md", b"x")
    (root / "old" / "deep" / "out").symlink_to(root.parent / "secret")
    beneath.remove(root, "old")
    assert not (root / "old").exists()
    assert (root.parent / "secret" / "key.md").exists()
