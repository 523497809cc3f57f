"""Where a path of a request leads, in words that the model understands when it leads out of the workspace.

The kernel is what holds; a check of names, as here, always loses a race against whoever swaps a link. It gives the better answer, and is
all there is where a person said that the pod is the boundary.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from moltbot_tools.frames import ToolFault

# Folders that a listing of everything passes over: of tools, and ours.
HIDDEN = frozenset({".git", ".hg", ".svn", ".tmp", "node_modules", "__pycache__", ".venv"})


@dataclass(frozen=True)
class Places:
    """`readable`: what tools may read besides the workspace."""

    workspace: Path
    readable: tuple[Path, ...] = ()

    def for_reading(self, text: str) -> Path:
        """The real path of a file that may be read. Raises ToolFault."""
        return self._resolve(text, (self.workspace, *self.readable))

    def for_writing(self, text: str) -> Path:
        """The real path of a file in the workspace; where a link leads, since that is what is written. Raises ToolFault."""
        path = self._resolve(text, (self.workspace,))
        if path == self.workspace:
            raise ToolFault("not-a-file", f"{text} is the workspace itself, not a file")
        return path

    def shown(self, path: Path) -> str:
        """As the model wrote or would write it."""
        return str(path.relative_to(self.workspace)) if path.is_relative_to(self.workspace) else str(path)

    def _resolve(self, text: str, within: tuple[Path, ...]) -> Path:
        if not text or "\0" in text:
            raise ToolFault("invalid", "path is empty or has a NUL character in it")
        given = Path(self.workspace, text.removeprefix("~/") if text.startswith("~/") else text)
        try:
            path = Path(os.path.realpath(given))
        except OSError as error:
            raise explained(error, text) from error
        # /proc/self/root and its like are links into anywhere, and realpath names where they lead.
        if any(path == place or path.is_relative_to(place) for place in within):
            return path
        raise outside(text)


def outside(text: str) -> ToolFault:
    return ToolFault("outside", f"{text} is outside the workspace. Tools reach files in the workspace, and may read the system's own.")


def explained(error: OSError, text: str) -> ToolFault:
    """An error of the operating system as an answer."""
    match error:
        case FileNotFoundError():
            return ToolFault("not-found", f"{text} does not exist")
        case IsADirectoryError():
            return ToolFault("not-a-file", f"{text} is a directory")
        case NotADirectoryError():
            return ToolFault("not-found", f"a part of {text} is no directory")
        case PermissionError():
            return ToolFault("denied", f"no permission for {text}: it belongs to somebody else, or lies outside the workspace")
    return ToolFault("io", f"{text}: {(error.strerror or 'input/output error').lower()}")


def open_file(path: Path, shown: str) -> int:
    """Descriptor of a regular file, to read. Never waits: a pipe that nobody writes, or a device, is refused.

    Raises:
        ToolFault: it is not there, or is no file.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise explained(error, shown) from error
    mode = os.fstat(opened).st_mode
    if stat.S_ISREG(mode):
        return opened
    os.close(opened)
    if stat.S_ISDIR(mode):
        raise ToolFault("not-a-file", f"{shown} is a directory; `list` shows what is in it")
    kind = "a named pipe" if stat.S_ISFIFO(mode) else "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a socket"
    raise ToolFault("not-a-file", f"{shown} is {kind}, not a file")


def directory(places: Places, text: str) -> Path:
    """The directory in which a program runs. Raises ToolFault."""
    path = places.for_reading(text) if text else places.workspace
    if not path.is_dir():
        raise ToolFault("not-found", f"{text} is no directory")
    return path
