"""read, write, edit, list, search: through the tools as the loop calls them, with a real confined child."""

from __future__ import annotations

import base64
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.tools.base import MAX_MODEL_TEXT, Tool, ToolOutcome
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import ToolHost
from tests.tools.calls import call, named


class Files:
    def __init__(self, host: ToolHost) -> None:
        self.tools: tuple[Tool, ...] = file_tools(host)

    async def __call__(self, name: str, **given: Any) -> ToolOutcome:
        return await call(named(self.tools, name), **given)


@pytest.fixture
def files(host: ToolHost) -> Files:
    return Files(host)


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND", b"")


# read


async def test_a_text_is_read_as_it_is(files: Files, workspace: Path) -> None:
    (workspace / "a.txt").write_text("one\ntwo\n\nfour")
    outcome = await files("read", path="a.txt")
    assert outcome.model == "one\ntwo\n\nfour"
    assert outcome.person == "a.txt, lines 1–4 of 4"
    assert outcome.details == {"path": "a.txt", "lines": 4}


async def test_a_long_file_is_read_in_parts_that_fit_together(files: Files, workspace: Path) -> None:
    lines = [f"line {number} " + "x" * 40 for number in range(1, 3001)]
    (workspace / "long").write_text("\n".join(lines) + "\n")
    seen: list[str] = []
    offset = 1
    while True:
        outcome = await files("read", path="long", offset=offset)
        assert len(outcome.model) <= MAX_MODEL_TEXT
        seen += [line for line in outcome.model.splitlines() if line.startswith("line ")]
        if "continue with offset" not in outcome.model:
            break
        offset = int(outcome.model.rpartition("continue with offset ")[2].rstrip("]"))
    assert seen == lines


async def test_offset_and_limit(files: Files, workspace: Path) -> None:
    (workspace / "a").write_text("".join(f"{number}\n" for number in range(1, 11)))
    outcome = await files("read", path="a", offset=4, limit=2)
    assert outcome.model == "[lines 4–5 of 10]\n4\n5\n\n[lines 4–5 of 10; continue with offset 6]"
    beyond = await files("read", path="a", offset=50)
    assert beyond.error
    assert "no line 50" in beyond.model


async def test_a_huge_single_line_is_cut(files: Files, workspace: Path) -> None:
    with (workspace / "line").open("wb") as file:
        for _ in range(300):
            file.write(b"x" * 100_000)
        file.write(b"\nshort\n")
    outcome = await files("read", path="line")
    assert outcome.model == "x" * 2000 + " … [29998000 more characters]\nshort"


async def test_pictures_and_documents_are_for_the_model_to_see(files: Files, workspace: Path) -> None:
    (workspace / "a.png").write_bytes(png())
    (workspace / "b.pdf").write_bytes(b"%PDF-1.7\n" + b"x" * 1000)
    (workspace / "name.txt").write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 100)
    picture = await files("read", path="a.png")
    assert picture.media[0].media_type == "image/png"
    assert base64.b64decode(picture.media[0].data) == png()
    assert (await files("read", path="b.pdf")).media[0].media_type == "application/pdf"
    assert (await files("read", path="name.txt")).media[0].media_type == "image/jpeg", "by what it is, not by its name"


async def test_a_picture_that_is_too_large_is_refused_in_words(files: Files, workspace: Path) -> None:
    (workspace / "a.png").write_bytes(png() + b"\0" * (5 * 2**20))
    outcome = await files("read", path="a.png")
    assert outcome.error
    assert not outcome.media
    assert "at most" in outcome.model


async def test_a_binary_file_is_named_as_one(files: Files, workspace: Path) -> None:
    (workspace / "b").write_bytes(b"\x7fELF\0\0\0" + os.urandom(1000))
    outcome = await files("read", path="b")
    assert outcome.error
    assert "binary file of 1007 bytes" in outcome.model
    assert "7f 45 4c 46" in outcome.model


@pytest.mark.parametrize(
    ("encoding", "text"), [("utf-8-sig", "größe"), ("utf-16", "größe"), ("latin-1", "größe"), ("utf-8", "größe 😀")], ids=str
)
async def test_other_encodings_are_read_and_kept_by_an_edit(files: Files, workspace: Path, encoding: str, text: str) -> None:
    path = workspace / "a"
    path.write_bytes((text + "\r\nzwei\r\n").encode(encoding))
    assert text in (await files("read", path="a")).model
    assert not (await files("edit", path="a", old="zwei", new="drei")).error
    assert path.read_bytes() == (text + "\r\ndrei\r\n").encode(encoding)


async def test_an_empty_file_and_a_missing_one(files: Files, workspace: Path) -> None:
    (workspace / "empty").touch()
    assert (await files("read", path="empty")).model == "empty is empty"
    missing = await files("read", path="nothing/here")
    assert missing.error
    assert missing.model == "nothing/here does not exist"
    assert missing.details["code"] == "not-found"


# write


async def test_writing_makes_directories_and_says_what_it_did(files: Files, workspace: Path) -> None:
    outcome = await files("write", path="a/b/c.txt", content="größe\n")
    assert outcome.details == {"path": "a/b/c.txt", "bytes": 8, "created": True}
    again = await files("write", path=str(workspace / "a/b/c.txt"), content="")
    assert again.details == {"path": "a/b/c.txt", "bytes": 0, "created": False}
    assert [entry.name for entry in (workspace / "a/b").iterdir()] == ["c.txt"], "nothing is left of how it was written"


async def test_a_file_keeps_its_permissions_and_a_link_stays_one(files: Files, workspace: Path) -> None:
    (workspace / "run.sh").write_text("old")
    (workspace / "run.sh").chmod(0o750)
    (workspace / "link").symlink_to("run.sh")
    await files("write", path="link", content="new")
    assert (workspace / "link").is_symlink()
    assert (workspace / "run.sh").read_text() == "new"
    assert (workspace / "run.sh").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("path", [".", "", "a", "a\0b", "file/b"])
async def test_what_is_no_place_for_a_file(files: Files, workspace: Path, path: str) -> None:
    (workspace / "a").mkdir()
    (workspace / "file").write_text("x")
    outcome = await files("write", path=path, content="x")
    assert outcome.error
    assert outcome.model


# edit


async def test_an_edit_changes_one_place_and_shows_it(files: Files, workspace: Path) -> None:
    (workspace / "a.py").write_text("one = 1\ntwo = 2\n")
    outcome = await files("edit", path="a.py", old="two = 2", new="two = 3")
    assert (workspace / "a.py").read_text() == "one = 1\ntwo = 3\n"
    assert outcome.person == "Changed a.py (line 2)"
    assert "-two = 2\n+two = 3" in str(outcome.details["diff"])


async def test_an_edit_that_is_ambiguous_changes_nothing_unless_all_is_meant(files: Files, workspace: Path) -> None:
    (workspace / "a").write_text("x\ny\nx\n")
    outcome = await files("edit", path="a", old="x", new="z")
    assert outcome.error
    assert "2 times (lines 1, 3)" in outcome.model
    assert (workspace / "a").read_text() == "x\ny\nx\n"
    assert (await files("edit", path="a", old="x", new="z", all=True)).details["replacements"] == 2
    assert (workspace / "a").read_text() == "z\ny\nz\n"


async def test_an_edit_that_does_not_match_says_where_almost_the_same_stands(files: Files, workspace: Path) -> None:
    (workspace / "a").write_text("def one():\n    return 1\n\n\ndef two():\n\treturn  2\n")
    spaces = await files("edit", path="a", old="    return 2", new="x")
    assert spaces.error
    assert "line 6 it differs in white space" in spaces.model
    assert "\treturn  2" in spaces.model
    near = await files("edit", path="a", old="def tow():", new="x")
    assert "nearest is line 5" in near.model
    assert "Read the part" in (await files("edit", path="a", old="something else altogether", new="x")).model


async def test_windows_line_ends_stay(files: Files, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    assert not (await files("edit", path="a", old="one\ntwo", new="1\n2")).error
    assert (workspace / "a").read_bytes() == b"1\r\n2\r\nthree\r\n"


async def test_bytes_that_are_no_text_further_down_survive_an_edit(files: Files, workspace: Path) -> None:
    data = b"a" * 9000 + b"\nhere\n\xff\xfe tail\n"
    (workspace / "a").write_bytes(data)
    assert not (await files("edit", path="a", old="here", new="there")).error
    assert (workspace / "a").read_bytes() == data.replace(b"here", b"there")


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("same", "same")])
async def test_an_edit_of_nothing_is_refused(files: Files, workspace: Path, old: str, new: str) -> None:
    (workspace / "a").write_text("same")
    assert (await files("edit", path="a", old=old, new=new)).error


# list and search


async def test_a_listing_says_what_is_what(files: Files, workspace: Path) -> None:
    (workspace / "d/e/f").mkdir(parents=True)
    (workspace / "d/e/f/deep").write_text("x")
    (workspace / "a").write_text("123")
    (workspace / "l").symlink_to("/root")
    os.mkfifo(workspace / "p")
    (workspace / ".git").mkdir()
    (workspace / ".git/inside").touch()
    outcome = await files("list", depth=3)
    expected = [".git/", ".tmp/", "a  3", "d/", "l@", "p [other]", "d/e/", "d/e/f/"]
    assert outcome.model.splitlines() == expected


async def test_a_directory_with_very_many_files_is_cut(files: Files, workspace: Path) -> None:
    for number in range(700):
        (workspace / f"{number:04}").touch()
    lines = (await files("list")).model.splitlines()
    assert len(lines) == 501
    assert lines[-1].startswith("[more than 500")


async def test_search_finds_lines_with_what_is_around_them(files: Files, workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "src/a.py").write_text("one\ntwo\nTHREE\nfour\n")
    (workspace / "src/b.md").write_text("three\n")
    (workspace / "node_modules").mkdir()
    (workspace / "node_modules/c.py").write_text("three\n")
    (workspace / "bin").write_bytes(b"three\0")
    outcome = await files("search", pattern="thr[e]+", ignoreCase=True)
    assert outcome.model == "src/a.py:3:THREE\nsrc/b.md:1:three"
    assert outcome.person == "2 matches in 2 files"
    around = await files("search", pattern="THREE", glob="*.py", context=1)
    assert around.model == "src/a.py-2-two\nsrc/a.py:3:THREE\nsrc/a.py-4-four\n--"
    assert (await files("search", glob="**/*.md")).model == "src/b.md"
    assert (await files("search", pattern="nowhere")).model == "Nothing found."


async def test_search_bounds_what_it_gives(files: Files, workspace: Path) -> None:
    for number in range(50):
        (workspace / f"f{number}").write_text("hit " + "x" * 5000 + "\n" + "hit\n" * 50)
    outcome = await files("search", pattern="hit")
    assert len(outcome.model) <= MAX_MODEL_TEXT
    assert "narrow it down" in outcome.model


async def test_an_expression_that_is_none_is_named(files: Files) -> None:
    outcome = await files("search", pattern="(")
    assert outcome.error
    assert "no regular expression" in outcome.model
    assert (await files("search")).error


async def test_an_expression_without_end_is_ended(host: ToolHost, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's engine cannot be interrupted: the process that runs it is."""
    monkeypatch.setattr("moltbot_gateway.tools.files._TIMEOUT", 1.0)
    (workspace / "a").write_text("a" * 60 + "!\n")
    files = Files(host)
    outcome = await files("search", pattern="(a+)+$")
    assert outcome.error
    assert outcome.details["code"] == "timeout"
    assert (await files("search", pattern="a!")).model.startswith("a:1:")
    assert host.starts == 1, "only its own process was ended"


# what is no file


async def test_pipes_devices_and_directories_are_refused_at_once(files: Files, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    (workspace / "zero").symlink_to("/dev/zero")
    for path, words in (("pipe", "named pipe"), (".", "directory")):
        outcome = await files("read", path=path)
        assert outcome.error
        assert words in outcome.model
    assert (await files("read", path="zero")).error
    assert (await files("edit", path="pipe", old="a", new="b")).error
    assert (await files("write", path="pipe", content="x")).error
    assert (await files("search", pattern="x")).model == "Nothing found."


async def test_a_sparse_file_of_a_terabyte_costs_nothing(files: Files, workspace: Path) -> None:
    with (workspace / "sparse").open("wb") as file:
        file.write(b"text\n")
        file.truncate(2**40)
    outcome = await files("read", path="sparse")
    assert outcome.error
    assert "binary" in outcome.model
    assert (await files("edit", path="sparse", old="text", new="x")).error
    assert (await files("search", pattern="text")).model == "Nothing found."


async def test_a_directory_deeper_than_a_path_may_be_long(files: Files, workspace: Path) -> None:
    here = os.open(workspace, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (workspace / "found").write_text("x")
    assert "found  1" in (await files("list", depth=8)).model
    assert (await files("search", glob="found")).model == "found"
    assert (await files("search", pattern="x")).model == "found:1:x"
    assert (await files("write", path="/".join(["d" * 100] * 60 + ["x"]), content="x")).error
