"""The index over the workspace's notes: which files are in it, and what is found. Files are read elsewhere (`workspace.memory`)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from moltbot_gateway.store.search import MARK, MAX_SCANNED, UNMARK, Query, mark_parts, rough

# Lines of a piece, and of them those that the next piece has too: a thought that crosses the border is whole in one of them.
CHUNK_LINES, OVERLAP = 40, 8
# Lines shown of a hit.
SHOWN = 5
# Characters of one of them.
MAX_LINE = 400


@dataclass(frozen=True)
class Indexed:
    """What a file was when it was read."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Chunk:
    """Lines `first` to `last` of a file, counted from 1."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class ReadFile:
    path: str
    seen: Indexed
    chunks: Sequence[Chunk]


@dataclass(frozen=True)
class Hit:
    """`first`, `last`: the lines of `text`."""

    path: str
    first: int
    last: int
    text: str


def chunks_of(text: str) -> list[Chunk]:
    """Pieces that have words, in order."""
    lines = text.splitlines()
    found = []
    for start in range(0, len(lines), CHUNK_LINES - OVERLAP):
        piece = lines[start : start + CHUNK_LINES]
        if any(line.strip() for line in piece):
            found.append(Chunk(start + 1, start + len(piece), "\n".join(piece)))
        if start + CHUNK_LINES >= len(lines):
            break
    return found


def list_indexed(db: sqlite3.Connection) -> dict[str, Indexed]:
    return {path: Indexed(size, mtime_ns) for path, size, mtime_ns in db.execute("SELECT path, size, mtime_ns FROM memory_files")}


def put_files(db: sqlite3.Connection, read: Sequence[ReadFile]) -> None:
    """Index files anew."""
    drop_files(db, [file.path for file in read])
    for file in read:
        db.execute("INSERT INTO memory_files (path, size, mtime_ns) VALUES (?, ?, ?)", (file.path, file.seen.size, file.seen.mtime_ns))
        db.executemany(
            "INSERT INTO memory_text (path, first_line, last_line, text) VALUES (?, ?, ?, ?)",
            [(file.path, chunk.first, chunk.last, chunk.text) for chunk in file.chunks],
        )


def drop_files(db: sqlite3.Connection, paths: Sequence[str]) -> None:
    """Forget files that are no longer there."""
    for path in paths:
        # `memory_files` tells whether there is anything: the index has to be read whole to find a path in it.
        if db.execute("DELETE FROM memory_files WHERE path = ?", (path,)).rowcount:
            db.execute("DELETE FROM memory_text WHERE path = ?", (path,))


def search_notes(db: sqlite3.Connection, query: Query, *, limit: int) -> list[Hit]:
    """Best first; of equally good ones the file that was changed last. One of the words is enough: a model asks with more than stand there.
    Of pieces that overlap the same lines come once."""
    if query.empty:
        return []
    if query.words and not query.parts:
        rows = db.execute(
            "SELECT t.path, t.first_line, highlight(memory_text, 3, ?, ?), bm25(memory_text) AS rank, f.mtime_ns FROM memory_text t "
            "JOIN memory_files f ON f.path = t.path WHERE memory_text MATCH ? ORDER BY rank LIMIT ?",
            (MARK, UNMARK, query.expression("OR"), 3 * limit + 20),
        ).fetchall()
    else:
        rows = _scan(db, query)
    best = sorted(rows, key=lambda row: (rough(row[3]), -row[4], row[0], row[1]))
    hits: list[Hit] = []
    for path, first, marked, _, _ in best:
        hit = _best_lines(path, first, marked)
        if not any(hit.path == other.path and hit.first <= other.last and other.first <= hit.last for other in hits):
            hits.append(hit)
        if len(hits) == limit:
            break
    return hits


def _scan(db: sqlite3.Connection, query: Query) -> list[tuple[str, int, str, float, int]]:
    """What the index cannot find; notes are small. Ranked by how many of the parts stand there."""
    wanted = re.compile("|".join(map(re.escape, (*query.parts, *query.words))), re.IGNORECASE)
    found: list[tuple[str, int, str, float, int]] = []
    for path, first, text, mtime_ns in db.execute(
        "SELECT t.path, t.first_line, t.text, f.mtime_ns FROM memory_text t JOIN memory_files f ON f.path = t.path "
        "ORDER BY t.rowid DESC LIMIT ?",
        (MAX_SCANNED,),
    ):
        if different := {match.lower() for match in wanted.findall(text)}:
            found.append(
                (path, first, mark_parts(text, tuple(sorted(set(wanted.findall(text)), key=len, reverse=True))), -len(different), mtime_ns)
            )
    return found


def _best_lines(path: str, first: int, marked: str) -> Hit:
    """The window of `SHOWN` lines with the most marks, the first of them where several have as many."""
    lines = marked.split("\n")
    starts = range(max(1, len(lines) - SHOWN + 1))
    counts = [line.count(MARK) for line in lines]
    start = max(starts, key=lambda at: sum(counts[at : at + SHOWN]))
    shown = [_cut(line) for line in lines[start : start + SHOWN]]
    return Hit(path, first + start, first + start + len(shown) - 1, "\n".join(shown))


def _cut(line: str) -> str:
    """Without marks; of a long line the part with its first hit."""
    start = max(0, line.find(MARK) - MAX_LINE // 4) if len(line) > MAX_LINE else 0
    return ("…" if start else "") + line[start:].replace(MARK, "").replace(UNMARK, "")[:MAX_LINE]
