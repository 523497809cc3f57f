"""Full-text search: how a person's or the model's words become a question to SQLite, and what was said in conversations.

FTS5 has a language of its own (`AND`, `NEAR`, quotes, `-`, `:`); nothing of it is let through, so no text at all makes a search fail. Words
are prefixes: `plan` finds `planned`; a single letter only itself. Chinese, Japanese and Korean have no spaces between words, so for them
the tokenizer sees one long word; such a part is looked for as it stands.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import unicodedata
from dataclasses import dataclass

from moltbot_protocol.hello import MAIN_SESSION

# Marks of a hit in what is shown; the page knows them.
MARK, UNMARK = "\u0002", "\u0003"
# Words of one search; more make it slower and no better.
MAX_WORDS = 16
# The newest messages that are looked through for what the index cannot find; some tens of milliseconds of the database's one thread.
MAX_SCANNED = 20_000
# Of the messages that have the words, the newest that are ranked: a word of every message would keep the database busy for a second.
MAX_RANKED = 5_000
# Characters of a snippet, of them before its first hit, and of a message that are looked through for it.
SNIPPET, BEFORE, MAX_SHOWN = 180, 50, 20_000
_WORD = re.compile(r"[^\W_]+")
_BEFORE_WORD, _REST_OF_WORD, _AFTER_WORD = r"(?<![^\W_])", r"[^\W_]*", r"(?![^\W_])"
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
        return f" {joint} ".join(f'"{word}"*' if len(word) > 1 else f'"{word}"' for word in self.words)

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
    newest. Of words that stand in very many messages only the newest `MAX_RANKED` count. All words must be there, unless `any_word`.
    `keys`: only in these conversations."""
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
    if query.words:
        hits = "SELECT rowid AS id, bm25(messages_text) AS rank FROM messages_text WHERE messages_text MATCH ? ORDER BY rowid DESC LIMIT ?"
        first: list[object] = [query.expression("OR" if any_word else "AND"), MAX_RANKED]
    else:
        hits, first = "SELECT id, 0.0 AS rank FROM messages ORDER BY id DESC LIMIT ?", [MAX_SCANNED]
    rows = db.execute(
        "SELECT m.id, m.session_key, m.role, m.at_ms, m.text, s.label, s.session_id, h.rank "  # noqa: S608
        f"FROM ({hits}) h JOIN messages m ON m.id = h.id JOIN sessions s ON s.key = m.session_key AND s.session_id = m.session_id "
        f"WHERE {' AND '.join(where)} ORDER BY h.rank, m.id DESC LIMIT ?",
        # Twice as many as are wanted: of those that rank about the same the newest come first.
        (*first, *values, 2 * limit + 20),
    ).fetchall()
    titles: dict[tuple[str, str], str] = {}
    return [
        Said(key, number, role, snippet_of(text, query), at_ms, label or _title(db, key, session_id, titles))
        for number, key, role, at_ms, text, label, session_id, _ in sorted(rows, key=lambda row: (rough(row[7]), -row[3], -row[0]))[:limit]
    ]


def snippet_of(text: str, query: Query) -> str:
    """The place with the first hit, hits marked. A message that has its hit far down shows its beginning."""
    clean = " ".join(text[:MAX_SHOWN].replace(MARK, "").replace(UNMARK, "").split())
    wanted = re.compile("|".join([*map(re.escape, query.parts), *(_pattern(_fold(word)) for word in query.words)]))
    places = [match.span() for match in wanted.finditer(_fold(clean))]
    start = max(0, places[0][0] - BEFORE) if places else 0
    start = clean.find(" ", start, places[0][0]) + 1 or start if start else 0
    end = min(len(clean), start + SNIPPET)
    shown, at = ["…" if start else ""], start
    for first, last in places:
        if last > end:
            break
        shown += [clean[at:first], MARK, clean[first:last], UNMARK]
        at = last
    return "".join([*shown, clean[at:end], "…" if end < len(clean) else ""])


def _pattern(word: str) -> str:
    """As the index finds it: at the beginning of a word, with what follows; a single letter alone."""
    return _BEFORE_WORD + re.escape(word) + (_REST_OF_WORD if len(word) > 1 else _AFTER_WORD)


def _fold(text: str) -> str:
    """Small letters without accents, as the index has them; as long as `text`, so that places are the same in both."""
    if text.isascii():
        return text.lower()
    return "".join(_plain(char) for char in text)


@functools.lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    base = unicodedata.normalize("NFD", char)
    small = base[0].lower() if char.isalpha() and not _UNSPACED.match(char) else char
    return small if len(small) == 1 else char


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
