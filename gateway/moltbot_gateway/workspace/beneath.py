"""The one way in which the gateway touches files of the workspace: opened beneath the root, component by component, never through a link.

Tools run confined to the workspace; the gateway is not. A link that they put there would otherwise lead the gateway to the database or the
keys. So each component is opened relative to the one before (`openat` with `O_NOFOLLOW`, open(2)), and only regular files are read:
a pipe is opened without waiting for its other end, and refused. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moltbot_gateway.errors import FileMissing, WorkspaceError

# Of a whole path, and of one component (NAME_MAX of the usual file systems), in bytes.
MAX_PATH, MAX_NAME = 1024, 255
# Entries of one directory that are looked at; whoever has more is told that it was cut.
MAX_ENTRIES = 5_000
# How a file is called while it is being written.
_DRAFT = ".draft"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A regular file or a directory. `size` in bytes; `mtime_ns` since 1970."""

    path: str
    size: int
    mtime_ns: int
    directory: bool = False


def split_path(path: str) -> tuple[str, ...]:
    """The components of a relative path with `/` between them.

    Raises:
        WorkspaceError: absolute, empty, too long, or with `.`, `..` or characters that no name should have.
    """
    parts = tuple(path.split("/"))
    if not path or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        raise WorkspaceError(f"a path is 1 to {MAX_PATH} bytes long")
    if any(part in ("", ".", "..") for part in parts):
        raise WorkspaceError("a path is relative to the workspace, without empty parts, . or ..")
    if not path.isprintable() or any(len(part.encode()) > MAX_NAME for part in parts):
        raise WorkspaceError("a path has only printable characters, and at most 255 bytes between two /")
    return parts


def read_bytes(root: Path, path: str, limit: int) -> tuple[bytes, Entry]:
    """At most the first `limit` bytes of a file, and what it is; `Entry.size` tells whether there are more.

    Raises:
        FileMissing: there is none.
        WorkspaceError: the path is none, leads through a link, or what stands there is no regular file, or cannot be read.
    """
    parts = split_path(path)
    with _directory(root, parts[:-1], path) as folder:
        with _told(path):
            descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise WorkspaceError(f"{path} is no regular file")
            with _told(path):
                return _read(descriptor, limit), Entry(path, info.st_size, info.st_mtime_ns)
        finally:
            os.close(descriptor)


def get_entry(root: Path, path: str) -> Entry | None:
    """What stands there, `None` when nothing does or it is neither a regular file nor a directory. Raises as `read_bytes`."""
    parts = split_path(path)
    try:
        with _directory(root, parts[:-1], path) as folder, _told(path):
            return _entry(path, os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
    except FileMissing:
        return None


def list_directory(root: Path, path: str = "") -> tuple[Entry, ...]:
    """Regular files and directories in it, by name; what else stands there is left out. Empty when there is no such directory. Raises as
    `read_bytes`."""
    parts = split_path(path) if path else ()
    try:
        with _directory(root, parts, path or "the workspace") as folder, _told(path or "the workspace"):
            names = sorted(name for name in os.listdir(folder) if name.isprintable())[:MAX_ENTRIES]  # noqa: PTH208 - a descriptor
            entries = []
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    entries.append(_entry(f"{path}/{name}" if path else name, info))
            return tuple(entry for entry in entries if entry is not None)
    except FileMissing:
        return ()


def write_bytes(root: Path, path: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all, on disk when this returns; makes the directories that are missing. A link in its place is
    replaced, not followed. Raises as `read_bytes`."""
    parts = split_path(path)
    with _directory(root, parts[:-1], path, make=True) as folder, _told(path):
        draft = f".{secrets.token_hex(8)}{_DRAFT}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            os.rename(draft, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise
        os.fsync(folder)


def is_draft(path: str) -> bool:
    """Whether it is a file of `write_bytes` that was not finished."""
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(_DRAFT)


def make_directory(root: Path, path: str) -> None:
    """Make a directory and those above it where they are missing. Raises as `read_bytes`."""
    with _directory(root, split_path(path), path, make=True):
        pass


def remove(root: Path, path: str) -> None:
    """Remove a file, or a directory with what is in it, without following links; nothing there is fine. Raises as `read_bytes`."""
    parts = split_path(path)
    with contextlib.suppress(FileMissing), _directory(root, parts[:-1], path) as folder, _told(path):
        _remove(folder, parts[-1], depth=0)


def _remove(folder: int, name: str, depth: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if depth > 32:  # deeper than anything of ours; whoever nests more wants to exhaust the stack
        raise OSError(errno.ENAMETOOLONG, "too many directories in each other")
    inner = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        for item in os.listdir(inner):  # noqa: PTH208 - a descriptor
            _remove(inner, item, depth + 1)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


@contextlib.contextmanager
def _directory(root: Path, parts: tuple[str, ...], told: str, *, make: bool = False) -> Iterator[int]:
    with _told(told):
        descriptor = os.open(root, _DIRECTORY)
    try:
        for part in parts:
            with _told(told):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=descriptor)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn what the system says into words that do not show where the workspace stands."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {path}") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise WorkspaceError(f"{path} leads through a link or a file: only plain files in plain directories are used") from error
        raise WorkspaceError(f"{path}: {os.strerror(error.errno or errno.EIO)}") from error


def _entry(path: str, info: os.stat_result) -> Entry | None:
    if stat.S_ISDIR(info.st_mode):
        return Entry(path, 0, info.st_mtime_ns, directory=True)
    return Entry(path, info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else None


def _read(descriptor: int, limit: int) -> bytes:
    pieces, left = [], limit
    while left and (piece := os.read(descriptor, min(left, 2**20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
