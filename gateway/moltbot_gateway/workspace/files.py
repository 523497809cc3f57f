"""The files of a workspace: how a new one begins, what the resource puts there, and what a page or the prompt reads of them.

Blocking: call it in a thread. Only `beneath` opens anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moltbot_gateway.agent_config import WorkspaceFile
from moltbot_gateway.errors import FileMissing, WorkspaceError
from moltbot_gateway.workspace import beneath

# Characters of one file that stand in the prompt.
MAX_PROMPT_FILE = 20_000
# Bytes of a file that a page reads or writes, and that the resource may put here: far more than a prompt holds.
MAX_FILE = 256 * 1024
MEMORY, NOTES, SKILLS = "MEMORY.md", "memory", "skills"
# Files of the workspace that a page lists beside the known ones, and how deep it looks.
MAX_LISTED, MAX_DEPTH = 300, 4
HEARTBEAT, BOOTSTRAP = "HEARTBEAT.md", "BOOTSTRAP.md"
# BOOTSTRAP last: it tells the assistant that everything else is there.
TEMPLATES = ("AGENTS.md", "SOUL.md", "USER.md", "IDENTITY.md", "TOOLS.md", HEARTBEAT, BOOTSTRAP)
KNOWN = (*TEMPLATES, MEMORY)
# While it is there the workspace is being made; a process killed meanwhile goes on where it stopped.
_BEGUN = ".new"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Shown:
    """A file as a list shows it. `missing`: it could be there and is not; then size and time are 0."""

    name: str
    size: int
    updated_ms: int
    missing: bool = False


def prepare(root: Path, given: Sequence[WorkspaceFile]) -> list[str]:
    """Make the workspace, with the templates where it is new, and write what the resource gives. Returns what could not be written, in
    sentences.

    A new workspace gets each template once: what a person or the assistant removed later stays removed.
    """
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    for folder in ("", NOTES):
        for entry in _drafts(root, folder):
            beneath.remove(root, entry.path)
    # What begins with a dot is no one's words (`.tmp`, `.skills`).
    new = all(path.name.startswith(".") for path in root.iterdir()) or beneath.get_entry(root, _BEGUN) is not None
    if new:
        beneath.write_bytes(root, _BEGUN, b"")
    problems = [problem for file in given if (problem := _write_given(root, file))]
    if new:
        for name in TEMPLATES:
            if beneath.get_entry(root, name) is None:
                beneath.write_bytes(root, name, (_TEMPLATES / name).read_bytes())
    try:
        beneath.make_directory(root, NOTES)
    except WorkspaceError as error:
        problems.append(str(error))
    if new:
        beneath.remove(root, _BEGUN)
    return problems


def _drafts(root: Path, folder: str) -> list[beneath.Entry]:
    """What a process that was killed in the middle of a write left."""
    try:
        return [entry for entry in beneath.list_directory(root, folder) if beneath.is_draft(entry.path)]
    except WorkspaceError:
        return []


def _write_given(root: Path, file: WorkspaceFile) -> str:
    shown = file.path[:80]
    try:
        if any(part.startswith(".") for part in beneath.split_path(file.path)):
            raise WorkspaceError("names that begin with a dot are not written from the resource")
        content = file.content.encode("utf-8", "replace")
        if len(content) > MAX_FILE:
            raise WorkspaceError(f"a file has at most {MAX_FILE} bytes")
        if file.always:
            if not _holds(root, file.path, content):
                beneath.write_bytes(root, file.path, content)
        elif beneath.get_entry(root, file.path) is None or _is_template(root, file.path):
            beneath.write_bytes(root, file.path, content)
    except WorkspaceError as error:
        return f"workspace file {shown!r}: {error}"
    return ""


def _is_template(root: Path, path: str) -> bool:
    """Whether it is as a new workspace begins: nobody's words yet, which the resource's, when they come later, are not kept out by."""
    return path in TEMPLATES and _holds(root, path, (_TEMPLATES / path).read_bytes())


def _holds(root: Path, path: str, content: bytes) -> bool:
    try:
        there, entry = beneath.read_bytes(root, path, len(content))
    except WorkspaceError:
        return False
    return there == content and entry.size == len(content)


def read_for_prompt(root: Path, path: str) -> str:
    """What the prompt has of a file: bounded, with a note where it was cut. Empty when there is none.

    Raises:
        WorkspaceError: it is a link or no plain file.
    """
    try:
        content, entry = beneath.read_bytes(root, path, 4 * MAX_PROMPT_FILE)
    except FileMissing:
        return ""
    text = content.decode("utf-8", "replace")
    if len(text) <= MAX_PROMPT_FILE and entry.size <= len(content):
        return text.strip()
    note = (
        f"[Cut here: these are the first {MAX_PROMPT_FILE} characters of {entry.size} bytes. Read the rest of {path} with the read tool.]"
    )
    return f"{text[:MAX_PROMPT_FILE].rstrip()}\n\n{note}"


def check_name(name: str) -> str:
    """A file that pages may read and write: any of the workspace whose name says that it is somebody's (no part begins with a dot).

    Raises:
        WorkspaceError: any other.
    """
    if any(part.startswith(".") for part in beneath.split_path(name)):
        raise WorkspaceError(f"{name[:80]!r}: names that begin with a dot are nobody's words, and not shown here")
    return name


def list_files(root: Path) -> list[Shown]:
    """The known files, there or not, then notes with the newest name first, then skills, then whatever else was put there."""
    shown = []
    for name in KNOWN:
        entry = beneath.get_entry(root, name)
        there = entry is not None and not entry.directory
        shown.append(_shown(entry) if entry is not None and there else Shown(name, 0, 0, missing=True))
    notes = [entry for entry in list_notes(root) if entry.path != MEMORY]
    shown += [_shown(entry) for entry in sorted(notes, key=lambda entry: entry.path, reverse=True)]
    for folder in beneath.list_directory(root, SKILLS):
        entry = beneath.get_entry(root, f"{folder.path}/SKILL.md") if folder.directory else None
        if entry is not None and not entry.directory:
            shown.append(_shown(entry))
    listed = {one.name for one in shown}
    return shown + [one for one in _others(root) if one.name not in listed]


def _others(root: Path) -> list[Shown]:
    """What stands in the workspace, files before folders, in order of their names; not too deep, and not too many."""
    found: list[Shown] = []
    pending = [""]
    while pending and len(found) < MAX_LISTED:
        folder = pending.pop(0)
        entries = [entry for entry in beneath.list_directory(root, folder) if not entry.path.rpartition("/")[2].startswith(".")]
        found += [_shown(entry) for entry in entries if not entry.directory]
        if folder.count("/") < MAX_DEPTH - 1:
            pending += [entry.path for entry in entries if entry.directory and entry.path != SKILLS]
    return found[:MAX_LISTED]


def list_notes(root: Path) -> list[beneath.Entry]:
    """What memory is made of: MEMORY.md and `memory/*.md`."""
    memory = beneath.get_entry(root, MEMORY)
    found = [] if memory is None else [memory]
    found += [entry for entry in beneath.list_directory(root, NOTES) if entry.path.endswith(".md")]
    return [entry for entry in found if not entry.directory]


def read_file(root: Path, name: str) -> tuple[str, Shown]:
    """Content of one that pages may read. Raises FileMissing, WorkspaceError."""
    content, entry = beneath.read_bytes(root, check_name(name), MAX_FILE)
    if entry.size > len(content):
        raise WorkspaceError(f"{name} has {entry.size} bytes; at most {MAX_FILE} are shown here")
    if b"\0" in content:
        raise WorkspaceError(f"{name} is no text")
    return content.decode("utf-8", "replace"), _shown(entry)


def write_file(root: Path, name: str, text: str) -> Shown:
    """Replace one that pages may write. Raises WorkspaceError."""
    content = text.encode("utf-8", "replace")
    if len(content) > MAX_FILE:
        raise WorkspaceError(f"a file has at most {MAX_FILE} bytes here")
    beneath.write_bytes(root, check_name(name), content)
    entry = beneath.get_entry(root, name)
    return Shown(name, len(content), 0) if entry is None else _shown(entry)


def _shown(entry: beneath.Entry) -> Shown:
    return Shown(entry.path, entry.size, entry.mtime_ns // 1_000_000)
