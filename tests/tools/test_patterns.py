"""When a command is one that a person allowed, and what `allow always` keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_gateway.tools.patterns import find_for, find_pattern, pattern_for

FITS = [
    ("git status", "git status"),
    ("git status", "  git status\n"),
    ("git *", "git log --oneline -5"),
    ("git *", "git"),
    ("git log*", "git log"),
    ("*", "anything at all"),
    ("make test && make check", "make test && make check"),
    ("npm run *:ci", "npm run test:ci"),
    ("echo *", "echo 'quoted words'"),
]
FITS_NOT = [
    ("git status", "git status -s"),
    ("git *", "github"),
    ("git *", "GIT log"),
    ("git *", "echo git log"),
    ("git *", "git log; rm -r notes"),
    ("git *", "git log && rm -r notes"),
    ("git *", "git log | sh"),
    ("git *", "git log > .profile"),
    ("git *", "git log $(rm -r notes)"),
    ("git *", "git log `rm -r notes`"),
    ("git *", "git log\nrm -r notes"),
    ("git *", "git log & rm -r notes"),
    ("git *", "git log \\\nrm"),
    ("*", "a;b"),
    ("git l?g", "git log"),
    ("git .*", "git xlog"),
    ("", "git"),
]


@pytest.mark.parametrize(("pattern", "command"), FITS)
def test_what_fits(pattern: str, command: str) -> None:
    assert find_pattern(command, ["other", pattern]) == pattern


@pytest.mark.parametrize(("pattern", "command"), FITS_NOT)
def test_what_does_not_fit(pattern: str, command: str) -> None:
    assert find_pattern(command, [pattern]) is None


@given(st.text(max_size=40), st.sampled_from([";", "|", "&", "$", "`", ">", "<", "\n", "\\", "(", "{"]), st.text(max_size=40))
def test_nothing_that_can_start_a_second_program_fits_a_star(before: str, special: str, after: str) -> None:
    command = before + "x" + special + "x" + after
    assert find_pattern(command, ["*", "x*", f"{before}x*"]) in (None, command)


@pytest.mark.parametrize(
    ("tool", "command", "pattern"),
    [
        ("exec", "cat notes.md", "cat *"),
        ("exec", "ls", "ls *"),
        ("exec", "cat notes.md | sh", "cat notes.md | sh"),
        ("exec", "git status", "git status"),
        ("exec", "find . -name x", "find . -name x"),
        ("exec", "python3 -c 'print(1)'", "python3 -c 'print(1)'"),
        ("exec", "rm -r build/*", ""),
        ("exec", "rm *", ""),
        ("exec", "ls *.md", "ls *"),
        ("exec", "rm *.tmp && ls", "rm *.tmp && ls"),
        ("process", "process write p1 rm", ""),
        ("notes__find", "notes__find {}", "notes__find:*"),
    ],
)
def test_what_allow_always_keeps(tool: str, command: str, pattern: str) -> None:
    assert pattern_for(tool, command) == pattern
    if pattern:
        assert find_for(tool, command, [pattern]) == pattern, "what was kept allows the call that was asked for"


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_allow_always_keeps_of_no_reader_allows_that_command_alone(command: str, other: str) -> None:
    kept = pattern_for("exec", f"rm {command}")
    assert not kept or find_for("exec", f"rm {other}", [kept]) is None or f"rm {other}".strip() == f"rm {command}".strip()


def test_a_tool_other_than_exec_is_allowed_by_its_own_name_only() -> None:
    assert find_for("write", "write a", ["exec:*", "*", "write *"]) is None
    assert find_for("process", "process write p1 x", ["process:*", ""]) is None


def test_many_stars_cost_no_more_than_the_command_is_long() -> None:
    """Read as an expression with backtracking this would take longer than the universe has."""
    pattern = "cp " + "*a " * 12 + "b"
    assert find_pattern("cp " + "a " * 40_000 + "c", [pattern]) is None
    assert find_pattern("cp " + "a " * 40_000 + "b", [pattern]) == pattern
