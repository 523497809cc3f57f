"""A volume of the first version, opened by this one: nothing is lost, all of it is found, and what was under way is said to be cut off."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from moltbot_gateway.store import schema
from tests.fakes.gateway_client import MAIN, SealedClient
from tests.gateway.pod import Pod
from tests.gateway.test_process import running

# As the first version made it, word for word: taken from there and not from the program, whose past must not change.
VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
  key TEXT PRIMARY KEY, session_id TEXT NOT NULL, label TEXT, model TEXT, thinking TEXT,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT NOT NULL, session_id TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('user', 'assistant')), text TEXT NOT NULL, at_ms INTEGER NOT NULL,
  run_id TEXT, detail TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX messages_by_session ON messages (session_key, session_id, id);
CREATE TABLE runs (
  id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL, session_key TEXT NOT NULL, session_id TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'error', 'aborted', 'interrupted')),
  text TEXT NOT NULL, options TEXT NOT NULL, partial TEXT NOT NULL DEFAULT '',
  accepted_ms INTEGER NOT NULL, ended_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_open ON runs (ordinal) WHERE status IN ('queued', 'running');
PRAGMA application_id = 1296847938;
PRAGMA user_version = 1;
INSERT INTO meta VALUES ('change', '6f1d.17'), ('ordinal', '3');
"""
ANSWER = {"provider": "anthropic", "model": "claude-sonnet-4-5", "stopReason": "stop"}


def write_version_1(state: Path) -> None:
    """Two conversations; in the main one a turn that was under way when the process ended, and a message that waited."""
    (state / "current").mkdir(parents=True)
    database = sqlite3.connect(state / "current" / "moltbot.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(VERSION_1)
    for key, label in ((MAIN, None), ("agent:main:garden", "The garden")):
        database.execute("INSERT INTO sessions VALUES (?, 's1', ?, NULL, 'low', 1000, 2000, 70, 30)", (key, label))
    said = [(MAIN, "user", "Where is the blue door?", "r1", {}), (MAIN, "assistant", "At the café.", "r1", ANSWER)]
    said += [("agent:main:garden", "user", "Plant tulips", "r0", {}), (MAIN, "user", "And the red roof?", "r2", {})]
    for at, (key, role, text, run, detail) in enumerate(said):
        entry = (key, role, text, 1000 + at, run, json.dumps(detail))
        database.execute(
            "INSERT INTO messages (session_key, session_id, role, text, at_ms, run_id, detail) VALUES (?, 's1', ?, ?, ?, ?, ?)", entry
        )
    for run, ordinal, status, text, partial in (
        ("r1", 1, "done", "", ""),
        ("r2", 2, "running", "", "Above"),
        ("r3", 3, "queued", "Hello?", ""),
    ):
        row = (run, ordinal, MAIN, status, text, partial)
        database.execute("INSERT INTO runs VALUES (?, ?, ?, 's1', ?, ?, '{}', ?, 1500, NULL)", row)
    database.commit()
    database.close()
    mark = {"version": 1, "lineage": "0" * 32, "sequence": 4, "parent": None, "pending": None}
    (state / "state.json").write_text(json.dumps(mark))


async def test_the_first_versions_volume_is_taken_over(tmp_path: Path) -> None:
    """Rule 8."""
    write_version_1(tmp_path)
    async with running(Pod(tmp_path)) as process:
        async with SealedClient.connect(process.address) as client:
            await client.wait_end("r3")
            history = await client.history()
            assert [text for _, text in history[:4]] == ["Where is the blue door?", "At the café.", "And the red roof?", "Above"]
            messages = (await client.call("chat.history", sessionKey=MAIN))["messages"]
            assert messages[1]["model"] == "claude-sonnet-4-5"
            assert messages[3]["interrupted"] is True, "it was under way: said, and not done again"
            assert [role for role, _ in history[4:]] == ["user", "assistant"], "and the message that waited is answered"
            rows = {row["key"]: row for row in (await client.call("sessions.list"))["sessions"]}
            assert rows["agent:main:garden"]["label"] == "The garden"
            for query, key in (("cafe", MAIN), ("tulips", "agent:main:garden")):
                assert (await client.call("sessions.search", query=query))["results"][0]["key"] == key
        await process.terminate()
    database = sqlite3.connect(tmp_path / "current" / "moltbot.sqlite")
    assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (change,) = database.execute("SELECT value FROM meta WHERE key = 'change'").fetchone()
    database.close()
    assert change != "6f1d.17", "the next snapshot has it"
