"""What stands between the `---` lines of a SKILL.md: the part of YAML that skills use, read with patience. Pure.

Known: `key: value`, quotes, `|` and `>` blocks, maps by indentation, `- ` lists, and JSON values (also over several lines, with commas too
many). A description with a colon in it is text, which YAML would refuse and authors write all the time. Not known: anchors, tags, several
documents. Why no YAML library: docs/adr/0009-front-matter-of-skills.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# Characters of the front matter, and maps in each other: it says a handful of things.
MAX_FRONT, MAX_DEPTH = 16_000, 6
# Lines of one JSON value: each is a try to read it, so more would be a way to keep us busy.
MAX_JSON_LINES = 100
_KEY = re.compile(r"""^(?P<key>[A-Za-z_][\w.-]*|"[^"]+"|'[^']+')\s*:(?:\s+(?P<value>.*))?$""")
# One item of a list in brackets: in quotes, or up to the next comma.
_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+)\s*(?:,|$)""")
_TOO_MANY_COMMAS = re.compile(r",(\s*[}\]])")


class FrontMatterError(ValueError):
    """Its text is a sentence for whoever wrote the skill."""


def split_front_matter(text: str) -> tuple[dict[str, object], str]:
    """The front matter and the rest. Without front matter the first is empty.

    Raises:
        FrontMatterError: it begins and does not end, is too long, or a line is none of what is known.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if not lines or lines[0].strip() != "---":
        return {}, text
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() in ("---", "...")), None)
    if end is None:
        raise FrontMatterError("the front matter begins with --- and has no --- at its end")
    front = lines[1:end]
    if sum(map(len, front)) > MAX_FRONT:
        raise FrontMatterError(f"the front matter has more than {MAX_FRONT} characters")
    return _Reader(front).mapping(0, 0), "\n".join(lines[end + 1 :])


def text_of(front: Mapping[str, object], name: str) -> str:
    """A text of it, empty when it is missing or something else."""
    value = front.get(name)
    return value if isinstance(value, str) else ""


def texts_of(front: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of texts; one text is a list of one."""
    value = front.get(name)
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def mapping_of(front: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = front.get(name)
    return value if isinstance(value, dict) else {}


class _Reader:
    """Lines, and where it is in them."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = [line.expandtabs(2).rstrip() for line in lines]
        self._at = 0

    def _peek(self) -> tuple[int, str] | None:
        """Indentation and words of the next line that says something."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            words = line.lstrip()
            if words and not words.startswith("#"):
                return len(line) - len(words), words
            self._at += 1
        return None

    def mapping(self, indent: int, depth: int) -> dict[str, object]:
        if depth > MAX_DEPTH:
            raise FrontMatterError(f"the front matter has maps more than {MAX_DEPTH} deep")
        found: dict[str, object] = {}
        while (here := self._peek()) is not None and here[0] >= indent:
            if here[0] > indent:
                raise FrontMatterError(f"line {self._at + 2} of the front matter is indented more than the one before")
            match = _KEY.match(here[1])
            if match is None:
                raise FrontMatterError(f"line {self._at + 2} of the front matter is not `name: value`")
            self._at += 1
            found[match["key"].strip("\"'")] = self._value((match["value"] or "").strip(), indent, depth)
        return found

    def _value(self, words: str, indent: int, depth: int) -> object:
        if words[:1] in ("|", ">") and len(words) <= 3:
            return self._block(indent, folded=words[0] == ">")
        if words and not words.startswith("#"):
            return self._json(words) if words[0] in "{[" else _scalar(words)
        below = self._peek()
        if below is None or below[0] < indent or (below[0] == indent and not below[1].startswith("- ")):
            return ""
        if below[1].startswith("- ") or below[1] == "-":
            return self._list(below[0])
        if below[1][0] in "{[":
            self._at += 1
            return self._json(below[1])
        return self.mapping(below[0], depth + 1) if below[0] > indent else ""

    def _list(self, indent: int) -> list[object]:
        items: list[object] = []
        while (here := self._peek()) is not None and here[0] == indent and here[1].startswith("-"):
            self._at += 1
            words = here[1][1:].strip()
            items.append(self._json(words) if words[:1] in ("{", "[") and words else _scalar(words))
        return items

    def _block(self, indent: int, *, folded: bool) -> str:
        taken: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line and len(line) - len(line.lstrip()) <= indent:
                break
            taken.append(line.strip() if folded else line)
            self._at += 1
        if folded:
            return " ".join(taken).strip()
        margin = min((len(line) - len(line.lstrip()) for line in taken if line), default=0)
        return "\n".join(line[margin:] for line in taken).strip("\n")

    def _json(self, words: str) -> object:
        """A value in brackets, on this line or over the next ones."""
        text, begun = words, self._at
        while True:
            try:
                return json.loads(_TOO_MANY_COMMAS.sub(r"\1", text))
            except (ValueError, RecursionError):
                ended = text.count("{") + text.count("[") <= text.count("}") + text.count("]")
                if ended or self._at >= min(len(self._lines), begun + MAX_JSON_LINES):
                    return _flow_list(words)
            text += "\n" + self._lines[self._at]
            self._at += 1


def _flow_list(words: str) -> object:
    """`[curl, jq]` as YAML writes it; anything else is the text that it is."""
    if words.startswith("[") and words.endswith("]") and not set("{}:") & set(words):
        return [_scalar(item.strip()) for item in _ITEM.findall(words[1:-1]) if item.strip()]
    raise FrontMatterError(f"a value of the front matter is no JSON: {words[:60]}")


def _scalar(words: str) -> object:
    if len(words) >= 2 and words[0] == words[-1] == "'":
        return words[1:-1].replace("''", "'")
    if len(words) >= 2 and words[0] == words[-1] == '"':
        try:
            return str(json.loads(words))
        except ValueError:
            return words[1:-1]
    plain = words.split(" #", 1)[0].rstrip()
    return {"true": True, "false": False, "null": ""}.get(plain.lower(), plain)
