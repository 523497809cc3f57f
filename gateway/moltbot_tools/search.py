"""`search`: a regular expression over the files beneath a directory, or their names alone. Bounded in time and in what it gives; whatever
one expression does to the time, the process that runs it can be killed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path

from moltbot_tools.frames import Params, ToolFault
from moltbot_tools.paths import HIDDEN, Places, open_file
from moltbot_tools.reading import encoding_of

MAX_MATCHES = 100
MAX_CHARACTERS = 24_000
MAX_LINE = 300
MAX_CONTEXT = 10
# Larger files are data, not text that somebody looks for words in (bytes).
MAX_FILE = 16 * 2**20
# Seconds; what was found so far is the answer then.
PATIENCE = 20.0


def search(places: Places, params: Params) -> dict[str, object]:
    """`{matches: [{path, line, text, before?, after?}], files: [path], searched, more, timedOut}`. Without `pattern` only `files` has
    something: the names that fit `glob`. Lines are numbered from 1."""
    pattern, glob = params.text("pattern", ""), params.text("glob", "")
    if not pattern and not glob:
        raise ToolFault("invalid", "give a pattern, a glob, or both")
    root = places.for_reading(params.text("path", "."))
    if not root.exists():
        raise ToolFault("not-found", f"{places.shown(root)} does not exist")
    limit = max(1, min(params.count("limit", MAX_MATCHES), MAX_MATCHES))
    finder = _Search(_compile(pattern, params.flag("ignoreCase")), limit, max(0, min(params.count("context", 0), MAX_CONTEXT)))
    for path in _files(root, finder):
        name = places.shown(path)
        if not glob or _fits(name, path.name, glob):
            finder.look_into(path, name)
        if finder.done:
            break
    return finder.answer()


def _compile(pattern: str, ignore_case: bool) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise ToolFault("invalid", f"pattern is no regular expression: {error}") from error


def _fits(name: str, base: str, glob: str) -> bool:
    """`*.py` is for names anywhere, `src/*.py` for paths; `**/` also stands for nothing."""
    if "/" not in glob:
        return re.match(translate(glob), base) is not None
    return any(re.match(translate(form), name) for form in {glob, glob.replace("**/", "")})


def _files(root: Path, finder: _Search) -> Iterator[Path]:
    """Regular files beneath `root`, in order; links are not followed, what cannot be read is passed over."""
    if root.is_file():
        yield root
        return
    todo = [root]
    while todo and not finder.late():
        here = todo.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        todo += [Path(one.path) for one in reversed(found) if one.is_dir(follow_symlinks=False) and one.name not in HIDDEN]
        yield from (Path(one.path) for one in found if one.is_file(follow_symlinks=False))


class _Search:
    def __init__(self, pattern: re.Pattern[str] | None, limit: int, context: int) -> None:
        self._pattern, self._limit, self._context = pattern, limit, context
        self._deadline = time.monotonic() + PATIENCE
        self._matches: list[dict[str, object]] = []
        self._files: list[str] = []
        self._size = self._searched = 0
        self._timed_out = False
        self.done = False

    def late(self) -> bool:
        if time.monotonic() > self._deadline:
            self._timed_out = self.done = True
        return self.done

    def look_into(self, path: Path, name: str) -> None:
        if self._pattern is None:
            self._found_file(name)
            self.done = self.done or len(self._files) >= 5 * self._limit
            return
        lines = self._text(path)
        if lines is None:
            return
        self._searched += 1
        for number, line in enumerate(lines):
            if number % 1000 == 0 and self.late():
                return
            if self._pattern.search(line):
                self._found(name, lines, number)
                if self.done:
                    return

    def _text(self, path: Path) -> list[str] | None:
        """Lines of a text file that is not too large, else None."""
        try:
            with os.fdopen(open_file(path, path.name), "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE:
                    return None
                data = file.read(MAX_FILE)
        except (OSError, ToolFault):
            return None
        encoding = encoding_of(data[:8192])
        return None if encoding is None else data.decode(encoding, "replace").splitlines()

    def _found(self, name: str, lines: list[str], number: int) -> None:
        match: dict[str, object] = {"path": name, "line": number + 1, "text": lines[number][:MAX_LINE]}
        if self._context:
            match["before"] = [line[:MAX_LINE] for line in lines[max(0, number - self._context) : number]]
            match["after"] = [line[:MAX_LINE] for line in lines[number + 1 : number + 1 + self._context]]
        self._matches.append(match)
        self._size += sum(len(str(value)) for value in match.values())
        if not self._files or self._files[-1] != name:
            self._found_file(name)
        self.done = self.done or len(self._matches) >= self._limit or self._size >= MAX_CHARACTERS

    def _found_file(self, name: str) -> None:
        self._files.append(name)
        self._size += len(name)
        self.done = self.done or self._size >= MAX_CHARACTERS

    def answer(self) -> dict[str, object]:
        return {
            "matches": self._matches,
            "files": self._files,
            "searched": self._searched,
            "more": self.done,
            "timedOut": self._timed_out,
        }
