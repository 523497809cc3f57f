"""When a command is one that a person allowed.

A pattern is a command, character for character, or has `*` in it, which stands for any text; ` *` at the end also for nothing. A command
with a character that lets the shell do more than start one program never fits a `*`: `git *` does not allow `git log; rm -r notes`.

`allow always` keeps the command itself, and nothing of one that has a `*` of its own: kept, `rm build/*` would allow more than the person
read. Only for programs that do nothing but read, whatever they are told, the pattern is wider: `cat *`. Not for git or find, which can be
told to run others. Whatever is allowed stays inside the confinement; but a program that is driven by
files of the workspace (make, git's hooks) does what those say, and the assistant may write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Lists, pipes, redirections, substitutions, groups, escapes, further lines.
_MORE_THAN_ONE_PROGRAM = re.compile(r"[;|&$`<>(){}\\\n\r\0]")
READERS = frozenset(
    {"basename", "cat", "cmp", "cut", "date", "df", "diff", "dirname", "du", "echo", "grep", "head", "id", "ls", "md5sum", "nl", "pwd"}
    | {"realpath", "sha256sum", "stat", "tail", "uname", "wc", "which", "whoami"}
)
EXEC = "exec"


def find_pattern(command: str, patterns: Iterable[str]) -> str | None:
    """The first of the patterns that allows this command line."""
    wanted = command.strip()
    simple = _MORE_THAN_ONE_PROGRAM.search(wanted) is None
    for pattern in patterns:
        if pattern.strip() == wanted or (simple and "*" in pattern and _fits(pattern.strip(), wanted)):
            return pattern
    return None


def _fits(pattern: str, command: str) -> bool:
    """Piece by piece from the left, each as early as it can be: in a time that grows with the command alone, whatever stars there are."""
    if pattern.endswith(" *") and _fits_whole(pattern.removesuffix(" *"), command):
        return True
    return _fits_whole(pattern, command)


def _fits_whole(pattern: str, command: str) -> bool:
    first, *others = pattern.split("*")
    if not others:
        return command == first
    if not command.startswith(first):
        return False
    place = len(first)
    for piece in others[:-1]:
        found = command.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return len(command) - len(others[-1]) >= place and command.endswith(others[-1])


def pattern_for(tool: str, command: str) -> str:
    """What `allow always` would keep for this call; empty: nothing, each call is asked for."""
    if tool == "process":  # what is written to a running shell has no name
        return ""
    if tool != EXEC:
        return f"{tool}:*"
    first = command.split(maxsplit=1)[0] if command.strip() else ""
    simple = _MORE_THAN_ONE_PROGRAM.search(command) is None
    if simple and first in READERS:
        return f"{first} *"
    return "" if simple and "*" in command else command.strip()


def find_for(tool: str, command: str, patterns: Iterable[str]) -> str | None:
    """As `find_pattern`, for whichever tool: those other than exec are allowed as a whole, by `name:*`."""
    if tool == EXEC:
        return find_pattern(command, patterns)
    wanted = pattern_for(tool, command)
    return wanted if wanted and wanted in set(patterns) else None
