"""Reading the state for a snapshot: what is there, as entries of blocks. Everything is opened beneath the root without following links.

What is skipped is told: links that leave the workspace, sockets, pipes, devices, what may not be read. Files are read while the assistant
may write them: each is hashed once, and hashed again when its blocks are read for upload (`Source.read`); one that moved meanwhile is
copied aside first, so that every file in a snapshot is whole as it was at one moment of reading.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moltbot_state.errors import BackupFailed
from moltbot_state.format import (
    BLOCK_BYTES,
    DATABASE_NAME,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_SKIPPED,
    BadFormat,
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    Skipped,
    check_path,
    digest_of,
    link_stays_beneath,
)
from moltbot_state.known import SETTLED_SECONDS, Stamp, sign, stamp_of
from moltbot_state.layout import Found, StateDir, open_beneath, open_directory, walk_workspace

DATABASE_MODE = 0o600


class Moved(Exception):
    """A file is not what it was when it was hashed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass
class Scan:
    """The state as it was read. `stamps`: of the files whose hash may be believed while lstat says the same."""

    entries: list[Entry] = field(default_factory=list)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    skipped_total: int = 0
    workspace: str | None = None

    def skip(self, path: str, why: str) -> None:
        self.skipped_total += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(Skipped(path, why))


class Source:
    """Files of one snapshot. `database`: a copy at rest, None when there is no database or its known entry is taken."""

    def __init__(self, state: StateDir, root: int, database: Path | None) -> None:
        self._state, self._root, self._database = state, root, database
        self._copies: dict[str, Path] = {}

    def open(self, path: str) -> int:
        """A descriptor for reading; the caller closes it. Raises OSError."""
        if path == DATABASE_NAME and self._database is not None:
            return os.open(self._database, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if path in self._copies:
            return os.open(self._copies[path], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        descriptor = open_beneath(self._root, path.split("/"), os.O_RDONLY)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError("no regular file any more")
        return descriptor

    def read(self, entry: FileEntry, index: int) -> bytes:
        """One block's plain bytes. Raises Moved unless they still have the hash."""
        try:
            descriptor = self.open(entry.path)
        except OSError as error:
            raise Moved(entry.path) from error
        try:
            plain = os.pread(descriptor, BLOCK_BYTES, index * BLOCK_BYTES)
        finally:
            os.close(descriptor)
        if digest_of(plain) != entry.blocks[index]:
            raise Moved(entry.path)
        return plain

    def copy_aside(self, path: str) -> bool:
        """From now on read this file from a copy that nobody writes. False when it is gone. Raises OSError when there is no room."""
        try:
            descriptor = self.open(path)
        except OSError:
            return False
        self._state.stage.mkdir(mode=0o700, exist_ok=True)
        target = self._state.stage / f"file-{len(self._copies)}"
        with os.fdopen(descriptor, "rb") as source, target.open("wb") as copy:
            while part := source.read(BLOCK_BYTES):
                copy.write(part)
        self._copies[path] = target
        return True

    def close(self) -> None:
        for copy in self._copies.values():
            copy.unlink(missing_ok=True)


@contextlib.contextmanager
def open_source(state: StateDir, database: Path | None) -> Iterator[Source]:
    """The state's files for as long as the block runs."""
    with open_directory(state.current) as root:
        source = Source(state, root, database)
        try:
            yield source
        finally:
            source.close()


def hash_file(source: Source, path: str, mode: int, modified: int) -> FileEntry:
    """Read a file whole. Raises OSError."""
    blocks, size = [], 0
    with os.fdopen(source.open(path), "rb", buffering=0) as file:
        while part := _read_block(file.read):
            blocks.append(digest_of(part))
            size += len(part)
            if size > MAX_FILE_BYTES:
                raise OSError("longer than a file can be")
    return FileEntry(path, mode, modified, size, tuple(blocks))


def _read_block(read: Callable[[int], bytes | None]) -> bytes:
    parts, missing = [], BLOCK_BYTES
    while missing and (part := read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def scan_state(
    state: StateDir,
    source: Source,
    *,
    database: Path | None,
    database_entry: FileEntry | None,
    known: Mapping[str, FileEntry],
    stamps: Mapping[str, Stamp],
    now: float,
    progress: Callable[[], None],
) -> Scan:
    """Everything that the snapshot will hold. `database_entry`: what is known of a database that the gateway says is unchanged."""
    scan = Scan()
    if database is not None:
        scan.entries.append(hash_file(source, DATABASE_NAME, DATABASE_MODE, int(database.stat().st_mtime_ns)))
    elif database_entry is not None:
        scan.entries.append(database_entry)
    walked: list[Found] = []
    settled_before = (now - SETTLED_SECONDS) * 1e9
    with open_directory(state.current) as root:
        for found in walk_workspace(root, lambda path, error: scan.skip(path, f"cannot be read ({error.strerror})")):
            walked.append(found)
            _add(scan, source, root, found, believed=_believed(found, known, stamps), settled=found.status.st_ctime_ns < settled_before)
            progress()
            if len(scan.entries) > MAX_ENTRIES:
                raise BackupFailed(
                    f"The workspace has more than {MAX_ENTRIES} files: remove some (caches, node_modules) to have it backed up."
                )
    scan.workspace = sign(walked, now)
    return scan


def _believed(found: Found, known: Mapping[str, FileEntry], stamps: Mapping[str, Stamp]) -> FileEntry | None:
    """What the last snapshot has of a file that nobody touched since."""
    return known.get(found.path) if found.is_file and stamps.get(found.path) == stamp_of(found.status) else None


def _add(scan: Scan, source: Source, root: int, found: Found, *, believed: FileEntry | None, settled: bool) -> None:
    path, status = found.path, found.status
    try:
        check_path(path)
    except BadFormat as error:
        scan.skip(path, str(error))
        return
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if found.is_directory:
        scan.entries.append(DirectoryEntry(path, mode))
    elif found.is_link:
        _add_link(scan, root, found)
    elif not found.is_file:
        scan.skip(path, "neither file, directory nor link")
    else:
        entry = believed
        if entry is None:
            try:
                entry = hash_file(source, path, mode, status.st_mtime_ns)
            except FileNotFoundError:
                return
            except OSError as error:
                scan.skip(path, f"cannot be read ({error.strerror})")
                return
        scan.entries.append(entry)
        if settled:
            scan.stamps[path] = stamp_of(status)


def _add_link(scan: Scan, root: int, found: Found) -> None:
    path = found.path
    try:
        parent = open_beneath(root, found.parts[:-1], os.O_RDONLY | os.O_DIRECTORY) if len(found.parts) > 1 else root
        try:
            target = os.readlink(found.parts[-1], dir_fd=parent)
        finally:
            if parent != root:
                os.close(parent)
    except OSError:
        return
    if link_stays_beneath(path, target):
        scan.entries.append(LinkEntry(path, target))
    else:
        scan.skip(path, "a link that leaves the workspace")
