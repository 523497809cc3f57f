"""Where things stand under the state directory, and opening files beneath a root without following links.

    current/        everything the assistant knows: moltbot.sqlite, workspace/
    state.json      which state that is: lineage, sequence, the snapshot it came from (lineage.py)
    choice.json     which pod chose it, and what it chose
    known.json      what the last verified snapshot contained, so that the next one looks only at what changed
    incoming/       a restore before it is swapped in
    replaced/       what a restore or an empty start of another lineage put aside, until the next verified snapshot
    stage/          copies of the database for a snapshot
    lock            held by whoever may swap the state: the state container, or the gateway where there is no bucket

Nothing here decides anything. What the assistant's tools write under `workspace/` is hostile: every component is opened with
O_NOFOLLOW from a descriptor of its parent, so that a link put there between look and open leads nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moltbot_state.format import DATABASE_NAME, WORKSPACE_NAME

# The newest schema of the database that this program understands: SQLite's `user_version`, written by the gateway's store.
DATABASE_VERSION = 2
# A file of ours beside the state is a few kilobytes; known.json grows with the workspace.
MAX_SMALL_FILE = 64 * 1024
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class StateDir:
    """The paths of one state directory (absolute). Making one touches nothing."""

    root: Path

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def database(self) -> Path:
        return self.current / DATABASE_NAME

    @property
    def workspace(self) -> Path:
        return self.current / WORKSPACE_NAME

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def choice_file(self) -> Path:
        return self.root / "choice.json"

    @property
    def known_file(self) -> Path:
        return self.root / "known.json"

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def replaced(self) -> Path:
        return self.root / "replaced"

    @property
    def stage(self) -> Path:
        return self.root / "stage"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


class LockedByAnother(Exception):
    """Another process holds the state directory's lock."""


def take_lock(state: StateDir) -> int:
    """Hold the state directory until the returned descriptor, and every copy of it that a child inherited, is closed: the kernel lets go
    when the processes die, however they die. Raises LockedByAnother at once, never waits.

    Where the file system has no locks (some network volumes) nothing is held; there only rule 3 keeps writers apart.
    """
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise LockedByAnother(str(state.lock)) from error
    return descriptor


@contextlib.contextmanager
def open_directory(path: Path | str, dir_fd: int | None = None) -> Iterator[int]:
    """Descriptor of a directory that is no link. Raises OSError."""
    descriptor = os.open(path, _DIRECTORY_FLAGS, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_beneath(root: int, parts: Sequence[str], flags: int, mode: int = 0o600) -> int:
    """Open `parts` beneath the directory `root` (a descriptor) without following a link at any component. The caller closes the result.

    Raises OSError: ELOOP or ENOTDIR where a component is a link, ENOENT where it is missing.
    """
    if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise OSError(errno.EINVAL, "not a path beneath the root", "/".join(parts))
    parent = root
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY_FLAGS, dir_fd=parent)
            if parent != root:
                os.close(parent)
            parent = below
        return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode, dir_fd=parent)
    finally:
        if parent != root:
            os.close(parent)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing beneath a root: its components, and what lstat said."""

    parts: tuple[str, ...]
    status: os.stat_result

    @property
    def path(self) -> str:
        return "/".join(self.parts)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)


def walk_workspace(root: int, unreadable: Callable[[str, OSError], None]) -> Iterator[Found]:
    """Everything beneath the workspace (itself first), parents before children, in a fixed order; what programs put into their temporary
    directory is nobody's. Links are told, not followed; what vanishes meanwhile is left out; `unreadable` hears of each directory whose
    children could not be read.
    """
    pending: list[Found] = []
    with contextlib.suppress(FileNotFoundError):
        pending.append(Found((WORKSPACE_NAME,), os.lstat(WORKSPACE_NAME, dir_fd=root)))
    while pending:
        found = pending.pop()
        yield found
        if found.is_directory:
            try:
                children = _children(root, found.parts)
                pending.extend(child for child in reversed(children) if child.parts != TEMPORARY)
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable(found.path, error)


# `TMPDIR` of the programs that tools run (moltbot_tools).
TEMPORARY = (WORKSPACE_NAME, ".tmp")


def _children(root: int, parts: tuple[str, ...]) -> list[Found]:
    descriptor = open_beneath(root, parts, os.O_RDONLY | os.O_DIRECTORY)
    try:
        children = []
        for name in sorted(os.listdir(descriptor), key=os.fsencode):  # noqa: PTH208 - by descriptor
            with contextlib.suppress(FileNotFoundError):
                children.append(Found((*parts, name), os.lstat(name, dir_fd=descriptor)))
        return children
    finally:
        os.close(descriptor)


def read_small_file(path: Path, limit: int = MAX_SMALL_FILE) -> bytes | None:
    """Content of a file of ours, None when it is not there. Raises OSError, also for a link or a file longer than `limit` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, "longer than it can be", str(path))
    return content


def write_file_atomically(path: Path, content: bytes) -> None:
    """Replace a file of ours so that after any crash the old or the new one is there, whole, and the new one survives a power loss."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def write_json_atomically(path: Path, document: Mapping[str, object]) -> None:
    """As above; ASCII, so that names that are no UTF-8 survive."""
    write_file_atomically(path, json.dumps(document, separators=(",", ":")).encode("ascii"))


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    with open_directory(path) as descriptor, contextlib.suppress(OSError):
        os.fsync(descriptor)  # some network volumes refuse it for directories


def remove_tree(path: Path) -> None:
    """Remove a directory of ours and all beneath it, following no link, also where its owner took the right to write. Absent is fine."""

    def mend(remove: Callable[..., object], name: str, _: object) -> None:
        for locked in (Path(name).parent, Path(name)):
            if stat.S_ISDIR(locked.lstat().st_mode):
                locked.chmod(0o700)
        if remove in (os.unlink, os.rmdir):
            remove(name)
        else:
            shutil.rmtree(name)

    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, onerror=mend)
        else:
            path.unlink()
