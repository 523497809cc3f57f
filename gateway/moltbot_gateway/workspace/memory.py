"""Memory: the notes of the workspace, found by words. Files are read in a thread, and go into the index when they changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.store import memory
from moltbot_gateway.store.database import Database
from moltbot_gateway.store.memory import Hit, Indexed, ReadFile
from moltbot_gateway.store.search import Said, parse_query, search_messages
from moltbot_gateway.workspace import beneath, files
from moltbot_protocol.hello import MAIN_SESSION
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_gateway.workspace")

# Of one file, in bytes; the rest of a longer one is not found.
MAX_INDEXED = 256 * 1024
# Files that are indexed, newest names first: some ten years of days.
MAX_FILES = 4_000
# Files that go into the index in one write, so that nobody waits long for the database.
_BATCH = 50


class Memory:
    """Searches refresh the index first: what was written a moment ago is found."""

    def __init__(self, workspace: Path, database: Database) -> None:
        self.workspace = workspace
        self._database = database
        self._one = asyncio.Lock()

    async def search(self, text: str, *, limit: int) -> list[Hit]:
        """In the notes. Empty when nothing fits, or `text` has no words."""
        query = parse_query(text)
        await self.refresh()
        return await self._database.read(lambda db: memory.search_notes(db, query, limit=limit))

    async def search_said(self, text: str, session_key: str, *, limit: int) -> list[Said]:
        """In what was said in the owner's main conversation and in this one."""
        query = parse_query(text)
        keys = tuple({MAIN_SESSION, session_key})
        return await self._database.read(lambda db: search_messages(db, query, limit=limit, any_word=True, keys=keys))

    async def refresh(self) -> None:
        """Bring the index up to date with the files. Writes nothing when nothing changed."""
        async with self._one:
            indexed = await self._database.read(memory.list_indexed)
            changed, gone = await asyncio.to_thread(self._compare, indexed)
            if gone:
                await self._database.write(partial(memory.drop_files, paths=gone))
            for start in range(0, len(changed), _BATCH):
                read = await asyncio.to_thread(self._read, changed[start : start + _BATCH])
                await self._database.write(partial(memory.put_files, read=read))

    def _compare(self, indexed: Mapping[str, Indexed]) -> tuple[list[beneath.Entry], list[str]]:
        try:
            there = files.list_notes(self.workspace)
        except WorkspaceError as error:
            log.warning("notes cannot be read", reason=str(error))
            return [], list(indexed)
        kept = {entry.path: entry for entry in sorted(there, key=lambda entry: entry.path, reverse=True)[:MAX_FILES]}
        changed = [entry for path, entry in kept.items() if indexed.get(path) != Indexed(entry.size, entry.mtime_ns)]
        return changed, [path for path in indexed if path not in kept]

    def _read(self, entries: Sequence[beneath.Entry]) -> list[ReadFile]:
        read = []
        for entry in entries:
            try:
                content, seen = beneath.read_bytes(self.workspace, entry.path, MAX_INDEXED)
            except FileMissing:
                continue  # gone since it was listed; the next refresh drops it
            except WorkspaceError as error:
                log.warning("workspace file left out", path=entry.path, reason=str(error))
                read.append(ReadFile(entry.path, Indexed(entry.size, entry.mtime_ns), ()))
            else:
                chunks = memory.chunks_of(content.decode("utf-8", "replace"))
                read.append(ReadFile(entry.path, Indexed(seen.size, seen.mtime_ns), chunks))
        return read
