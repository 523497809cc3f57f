"""How a person starts the `moltbot` that belongs to this process: a checkout's is in a virtual environment that no terminal looks into."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

NAME = "moltbot"


@dataclass(frozen=True)
class OwnCommand:
    """`words`: what works in the directory in which this process was started. `directory`: to be put into PATH, so that its name alone
    works; None: it does already."""

    words: str = NAME
    directory: Path | None = None

    @property
    def export(self) -> str:
        """The line for a terminal; empty where none is needed."""
        return f'export PATH={shlex.quote(str(self.directory))}:"$PATH"' if self.directory is not None else ""


def find_own_command(path: str | None, beside: Path, here: Path) -> OwnCommand:
    """`path`: the terminal's PATH. `beside`: this process's interpreter. `here`: the working directory."""
    program = beside.parent / NAME
    found = shutil.which(NAME, path=path or "")
    if not program.is_file() or (found is not None and program.samefile(found)):
        return OwnCommand()
    shown = program.relative_to(here) if program.is_relative_to(here) else program
    return OwnCommand(shlex.quote(str(shown)), program.parent)
