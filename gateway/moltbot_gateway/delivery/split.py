"""A long text as parts that a channel takes. Pure.

Cut at the end of a paragraph, else of a line, else of a word, else anywhere. A fence of code that is cut is closed, and opened again in the
next part, so that each part reads by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# Below it a part could not hold the two lines of a fence and anything between them. Characters.
LEAST_LIMIT = 64
# A cut this far before the end (share of the room) is still better at a paragraph's end than later inside a sentence.
_EARLIEST = 0.3
# Longer ones, and more than this of what a fence is called (characters), would leave no room for the code.
_FENCE = re.compile(r"^ {0,3}(`{3,16}|~{3,16})(?![`~])[ \t]*([^\n]*)$", re.MULTILINE)
_MAX_INFO = 20


@dataclass(frozen=True)
class _Fence:
    """`at`: where its line begins; -1 when it was opened in an earlier part."""

    marker: str
    info: str
    at: int

    @property
    def opening(self) -> str:
        return f"{self.marker}{self.info}\n"


def split(text: str, limit: int) -> list[str]:
    """Parts of at most `limit` characters, in order; none for a text of nothing but white space.

    Raises:
        ValueError: a limit below LEAST_LIMIT.
    """
    if limit < LEAST_LIMIT:
        raise ValueError(f"a part has at least {LEAST_LIMIT} characters")
    parts: list[str] = []
    rest, fence = text.strip("\n").rstrip(), None
    while rest:
        head = fence.opening if fence is not None else ""
        if len(head) + len(rest) <= limit:
            parts.append(head + rest)
            break
        end, following, fence = _cut(rest, limit - len(head), fence)
        piece = head + rest[:end]
        parts.append(f"{piece}\n{fence.marker}" if fence is not None else piece)
        rest = rest[following:]
        if fence is None:
            rest = rest.lstrip("\n")
    return [part for part in parts if part.strip()]


def _cut(rest: str, room: int, fence: _Fence | None) -> tuple[int, int, _Fence | None]:
    """Where the part ends, where the next begins, and the fence that is open there."""
    end, following = _find_end(rest, room, inside=fence is not None)
    inside = _open_at(rest[:end], fence)
    if inside is None:
        return end, following, None
    if inside.at > 0:
        before = rest[: inside.at].rstrip()
        if before and (len(before) >= room * _EARLIEST or not rest[inside.at : end].partition("\n")[2].strip()):
            return len(before), inside.at, None  # the whole fence goes into the next part
    first = rest.find("\n", inside.at) + 1 if inside.at >= 0 else 0
    end, following = _find_end(rest, room - len(inside.marker) - 1, inside=True, least=first)
    still = _open_at(rest[:end], fence)
    return end, following, None if still is None else replace(still, at=-1)


def _find_end(rest: str, room: int, *, inside: bool, least: int = 0) -> tuple[int, int]:
    """The best place within the first `room` characters: end of the part, beginning of the next. Inside a fence lines count, and their
    indentation is kept. Beyond `least`."""
    earliest = max(int(room * _EARLIEST), least)
    if not inside:
        paragraph = rest.rfind("\n\n", earliest, room + 2)
        if paragraph > 0:
            return paragraph, paragraph + 2
    line = rest.rfind("\n", earliest if not inside else least, room + 1)
    if line > 0:
        return line, line + 1
    if not inside:
        space = rest.rfind(" ", earliest, room + 1)
        if space > 0:
            return space, space + 1
    return room, room


def _open_at(text: str, fence: _Fence | None) -> _Fence | None:
    """The fence that is open at the end of this text (CommonMark 4.5)."""
    for match in _FENCE.finditer(text):
        marker, info = match[1], match[2].strip()
        if fence is None:
            if marker[0] == "`" and "`" in info:
                continue  # code within a line
            fence = _Fence(marker, "".join(info.split()[:1])[:_MAX_INFO], match.start())
        elif marker[0] == fence.marker[0] and len(marker) >= len(fence.marker) and not info:
            fence = None
    return fence
