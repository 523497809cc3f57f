"""`read` and `list`: what is in a file, what is in a directory."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from moltbot_tools.frames import Params, ToolFault
from moltbot_tools.paths import HIDDEN, Places, explained, open_file

# Characters of one answer; somewhat less than the model is given of a result.
MAX_CHARACTERS = 28_000
MAX_LINES = 2000
# Of one line; minified files have lines of megabytes.
MAX_LINE = 2000
# A picture or document for the model (bytes); in base64 it still fits a frame.
MAX_MEDIA = 5 * 2**20
# Larger files are read from a line on, but their lines are not counted.
_COUNT_BYTES = 32 * 2**20
MAX_ENTRIES = 500
MAX_DEPTH = 8

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


def read(places: Places, params: Params) -> dict[str, object]:
    """`{kind: "text", path, text, firstLine, lines, totalLines?, more}`, or `{kind: "media", path, mediaType, data, bytes}`."""
    path = places.for_reading(params.text("path"))
    shown = places.shown(path)
    with os.fdopen(open_file(path, shown), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8192)
        media = _media_type(head)
        if media:
            if size > MAX_MEDIA:
                raise ToolFault("too-large", f"{shown} is {media} of {size} bytes; at most {MAX_MEDIA} can be looked at")
            data = base64.b64encode(head + file.read(MAX_MEDIA)).decode("ascii")
            return {"kind": "media", "path": shown, "mediaType": media, "data": data, "bytes": size}
        encoding = encoding_of(head)
        if encoding is None:
            raise ToolFault("binary", f"{shown} is a binary file of {size} bytes (it begins with {head[:16].hex(' ')}), not text")
    first = max(1, params.count("offset", 1))
    wanted = max(1, min(params.count("limit", MAX_LINES), MAX_LINES))
    with os.fdopen(open_file(path, shown), "r", encoding=encoding, errors="replace", newline=None) as text_file:
        text, lines, more = _window(_lines(text_file), first, wanted)
        total = first - 1 + lines
        if more and size <= _COUNT_BYTES:
            total += more + sum(1 for _ in _lines(text_file))
    if not lines and first > 1:
        raise ToolFault("invalid", f"{shown} has no line {first}")
    answer: dict[str, object] = {"kind": "text", "path": shown, "text": text, "firstLine": first, "lines": lines, "more": bool(more)}
    return answer | ({"totalLines": total} if not more or size <= _COUNT_BYTES else {})


def _lines(file: TextIO) -> Iterator[str]:
    """Lines without their ends, long ones cut; a line is never held in memory as a whole."""
    while piece := file.readline(MAX_LINE + 1):
        left_out = 0
        line = piece
        while not piece.endswith("\n") and (piece := file.readline(65536)):
            left_out += len(piece.rstrip("\n"))
        line = line.rstrip("\n")
        yield line[:MAX_LINE] + (f" … [{left_out + len(line) - MAX_LINE} more characters]" if left_out or len(line) > MAX_LINE else "")


def _window(lines: Iterator[str], first: int, wanted: int) -> tuple[str, int, int]:
    """The text, its number of lines, and how many were taken from `lines` beyond them (0: there are no more)."""
    taken: list[str] = []
    size = 0
    for line in islice(lines, first - 1, None):
        size += len(line) + 1
        if len(taken) == wanted or (taken and size > MAX_CHARACTERS):
            return "\n".join(taken), len(taken), 1
        taken.append(line)
    return "\n".join(taken), len(taken), 0


def _media_type(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((media for magic, media in _MAGIC if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str | None:
    """By a file's first bytes; `None`: it is no text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        return None
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    for cut in range(4):  # a character may be cut in two at the end
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return "utf-8"
    return "latin-1"


def list_directory(places: Places, params: Params) -> dict[str, object]:
    """`{path, entries: [{path, kind: file|directory|link|other, bytes?}], more}`; sorted, directories of a level before what is in them."""
    path = places.for_reading(params.text("path", "."))
    depth = max(1, min(params.count("depth", 1), MAX_DEPTH))
    entries: list[dict[str, object]] = []
    more = False
    todo = [(path, depth, "")]
    while todo and not more:
        here, levels, prefix = todo.pop()
        try:
            found = _sorted_entries(here)
        except OSError as error:
            if here == path:
                raise explained(error, places.shown(path)) from error
            entries.append({"path": prefix, "kind": "unreadable"})
            continue
        below = []
        for entry in found:
            if len(entries) >= MAX_ENTRIES:
                more = True
                break
            kind = _kind(entry)
            name = prefix + entry.name
            entries.append({"path": name, "kind": kind} | ({"bytes": entry.stat(follow_symlinks=False).st_size} if kind == "file" else {}))
            if kind == "directory" and levels > 1 and entry.name not in HIDDEN:
                below.append((Path(entry.path), levels - 1, name + "/"))
        todo += reversed(below)
    return {"path": places.shown(path), "entries": entries, "more": more}


def _sorted_entries(path: Path) -> list[os.DirEntry[str]]:
    """At most some thousand of a directory, by name."""
    with os.scandir(path) as entries:
        return sorted(islice(entries, 20 * MAX_ENTRIES), key=lambda entry: entry.name)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
