"""Full-text search: how a person's or the model's words become a question to SQLite, and what was said in conversations.

FTS5 has a language of its own (`AND`, `NEAR`, quotes, `-`, `:`); nothing of it is let through, so no text at all makes a search fail. Words
are prefixes: `plan` finds `planned`. Chinese, Japanese and Korean have no spaces between words, so for them the tokenizer sees one long
word; such a part is looked for as it stands.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from moltbot_protocol.hello import MAIN_SESSION

# Marks of a hit in what is shown; the page knows them.
MARK, UNMARK = "\u0002", "\u0003"
# Words of one search; more make it slower and no better.
MAX_WORDS = 16
# The newest messages that are looked through for what the index cannot find; some tens of milliseconds of the database's one thread.
MAX_SCANNED = 20_000
# Words of a snippet.
SNIPPET = 24
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+")


@dataclass(frozen=True)
class Query:
    """`words` for the index, `parts` to be found as they stand."""

    words: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.words and not self.parts

    def expression(self, joint: str) -> str:
        """For MATCH; `joint` is AND or OR."""
        return f" {joint} ".join(f'"{word}"*' for word in self.words)

    def patterns(self) -> tuple[str, ...]:
        """For LIKE with `\\` as escape."""
        return tuple("%" + re.sub(r"([\\%_])", r"\\\1", part) + "%" for part in self.parts)


@dataclass(frozen=True)
class Said:
    """A message that was found. `title`: what its conversation is called, or begins with."""

    key: str
    message_id: int
    role: str
    snippet: str
    at_ms: int
    title: str


def parse_query(text: str) -> Query:
    """Any text; without words in it the query is empty and finds nothing."""
    parts = tuple(dict.fromkeys(_UNSPACED.findall(text)))[:MAX_WORDS]
    words = tuple(dict.fromkeys(word.lower() for word in _WORD.findall(_UNSPACED.sub(" ", text))))[:MAX_WORDS]
    return Query(words, parts)


def mark_parts(text: str, parts: tuple[str, ...]) -> str:
    """`text` with each of `parts` marked."""
    return re.sub("|".join(map(re.escape, parts)), lambda match: f"{MARK}{match[0]}{UNMARK}", text) if parts else text


def search_messages(
    db: sqlite3.Connection, query: Query, *, limit: int, any_word: bool = False, keys: tuple[str, ...] | None = None
) -> list[Said]:
    """What was said in the conversations as they stand (not before a reset, nor put aside by an edit), best first; of equally good ones the
    newest. All words must be there, unless `any_word`. `keys`: only in these conversations."""
    if query.empty:
        return []
    where = ["m.superseded = 0", "m.role IN ('user', 'assistant')", "m.text <> ''"]
    values: list[object] = []
    if keys is not None:
        where.append(f"m.session_key IN ({', '.join('?' * len(keys))})")
        values += keys
    for pattern in query.patterns():
        where.append("m.text LIKE ? ESCAPE '\\'")
        values.append(pattern)
    columns = "m.session_key, m.id, m.role, m.at_ms, s.label, s.session_id"
    joined = "JOIN sessions s ON s.key = m.session_key AND s.session_id = m.session_id"
    if query.words:
        statement = (
            f"SELECT {columns}, bm25(messages_text) AS rank, snippet(messages_text, 0, ?, ?, '…', {SNIPPET}) FROM messages_text "  # noqa: S608
            f"JOIN messages m ON m.id = messages_text.rowid {joined} WHERE messages_text MATCH ? AND {' AND '.join(where)} "
            "ORDER BY rank LIMIT ?"
        )
        # Twice as many as are wanted: of those that rank the same the newest come first.
        rows = db.execute(statement, (MARK, UNMARK, query.expression("OR" if any_word else "AND"), *values, 2 * limit + 20)).fetchall()
    else:
        statement = (
            f"SELECT {columns}, 0.0, m.text FROM messages m {joined} "  # noqa: S608
            f"WHERE m.id > (SELECT coalesce(max(id), 0) - {MAX_SCANNED} FROM messages) AND {' AND '.join(where)} ORDER BY m.id DESC LIMIT ?"
        )
        rows = [(*row[:7], mark_parts(_around(row[7], query.parts), query.parts)) for row in db.execute(statement, (*values, limit))]
    best = sorted(rows, key=lambda row: (rough(row[6]), -row[3], -row[1]))[:limit]
    titles: dict[tuple[str, str], str] = {}
    return [Said(row[0], row[1], row[2], row[7], row[3], row[4] or _title(db, row[0], row[5], titles)) for row in best]


def rough(rank: float) -> float:
    """Two digits of a rank: what differs by less is equally good."""
    return float(f"{rank:.1e}")


def _title(db: sqlite3.Connection, key: str, session_id: str, known: dict[tuple[str, str], str]) -> str:
    if (key, session_id) not in known:
        row = db.execute(
            "SELECT substr(text, 1, 80) FROM messages WHERE session_key = ? AND session_id = ? AND role = 'user' AND superseded = 0 "
            "ORDER BY id LIMIT 1",
            (key, session_id),
        ).fetchone()
        begins = "" if row is None else " ".join(row[0].split())
        known[key, session_id] = "Main" if key == MAIN_SESSION else begins or key.rpartition(":")[2]
    return known[key, session_id]


def _around(text: str, parts: tuple[str, ...]) -> str:
    at = max(0, min((place for part in parts if (place := text.find(part)) >= 0), default=0) - 40)
    return ("…" if at else "") + text[at : at + 160] + ("…" if len(text) > at + 160 else "")
