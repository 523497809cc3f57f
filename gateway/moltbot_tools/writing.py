"""`write` and `edit`. A file is whole at every moment: the new text goes into a file beside it that takes its place."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from moltbot_tools.frames import Params, ToolFault
from moltbot_tools.paths import Places, explained, open_file
from moltbot_tools.reading import encoding_of

# Bytes of a file that `edit` changes: more is no text that a model edits by hand.
MAX_EDIT = 8 * 2**20
# Of a diff for the card.
MAX_DIFF = 8000


def write(places: Places, params: Params) -> dict[str, object]:
    """`{path, bytes, created}`. Missing directories are made."""
    path = places.for_writing(params.text("path"))
    shown = places.shown(path)
    data = params.text("content").encode("utf-8", "replace")
    created = not path.exists()
    if not created and not path.is_file():
        raise ToolFault("not-a-file", f"{shown} is there and is no file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)
    except OSError as error:
        raise explained(error, shown) from error
    return {"path": shown, "bytes": len(data), "created": created}


def edit(places: Places, params: Params) -> dict[str, object]:
    """`{path, replacements, diff, line}`: `old` becomes `new`, once, or everywhere with `all`. Encoding and ends of lines stay."""
    path = places.for_writing(params.text("path"))
    shown = places.shown(path)
    old, new = params.text("old"), params.text("new")
    if not old:
        raise ToolFault("invalid", "old is empty; `write` makes a new file")
    if old == new:
        raise ToolFault("invalid", "old and new are the same")
    text, encoding = _load(path, shown)
    # A model writes \n; a file with \r\n throughout keeps them.
    if "\r\n" in text and "\r\n" not in old and "\n" not in text.replace("\r\n", ""):
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    count = text.count(old)
    if not count:
        raise ToolFault("no-match", f"old is not in {shown}, character for character.{_nearest(text, old)}")
    if count > 1 and not params.flag("all"):
        lines = _lines_of(text, old)
        raise ToolFault("ambiguous", f"old is in {shown} {count} times (lines {lines}): give more of what is around it, or set all")
    changed = text.replace(old, new)
    try:
        replace(path, changed.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict"))
    except UnicodeEncodeError as error:
        raise ToolFault("invalid", f"{shown} is in {encoding}, which cannot hold the new text") from error
    except OSError as error:
        raise explained(error, shown) from error
    line = text.count("\n", 0, text.index(old)) + 1
    return {"path": shown, "replacements": count, "diff": _diff(text, changed, shown), "line": line}


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`, with the permissions it had. Raises OSError; then nothing has changed."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o666 & ~_umask()
    # In the same directory: only there a rename is atomic. A short name: the file's own may be as long as names can be.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _load(path: Path, shown: str) -> tuple[str, str]:
    with os.fdopen(open_file(path, shown), "rb") as file:
        data = file.read(MAX_EDIT + 1)
    if len(data) > MAX_EDIT:
        raise ToolFault("too-large", f"{shown} has more than {MAX_EDIT} bytes; change it with a program")
    encoding = encoding_of(data[:8192])
    if encoding is None:
        raise ToolFault("binary", f"{shown} is a binary file, not text")
    # A byte order mark stays as the first character.
    if encoding == "utf-8-sig":
        encoding = "utf-8"
    elif encoding == "utf-16":
        encoding = "utf-16-le" if data[:2] == b"\xff\xfe" else "utf-16-be"
    # Bytes that are no UTF-8 further down survive as they are.
    return data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict"), encoding


def _lines_of(text: str, old: str) -> str:
    lines: list[str] = []
    at = text.find(old)
    while at >= 0 and len(lines) < 10:
        lines.append(str(text.count("\n", 0, at) + 1))
        at = text.find(old, at + len(old))
    return ", ".join(lines) + (" …" if at >= 0 else "")


def _nearest(text: str, old: str) -> str:
    """A hint: where almost the same stands."""
    from difflib import get_close_matches

    wanted = next((line for line in old.splitlines() if line.strip()), "")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if wanted and line.split() == wanted.split():
            part = lines[number : number + min(6, len(old.splitlines()))]
            return f" From line {number + 1} it differs in white space or further on; the file has:\n" + "\n".join(part)
    if len(text) > 200_000 or not wanted:
        return " Read the part that you want to change again."
    close = get_close_matches(wanted, lines, n=1, cutoff=0.6)
    if not close:
        return " Read the part that you want to change again."
    return f" The nearest is line {lines.index(close[0]) + 1}:\n{close[0][:500]}"


def _diff(before: str, after: str, name: str) -> str:
    """Unified, bounded."""
    if len(before) + len(after) > 1_000_000:
        return ""
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=3)
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > MAX_DIFF:
            return "\n".join([*kept, "…"])
        kept.append(line)
    return "\n".join(kept)
