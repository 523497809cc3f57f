"""Parts that a channel takes: nothing is lost, none is too long, and each reads by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moltbot_gateway.delivery.split import LEAST_LIMIT, split

WORDS = "The quick brown fox jumps over the lazy dog."  # 44 characters


def test_a_short_text_is_one_part() -> None:
    assert split("hello", 64) == ["hello"]
    assert split("\n\nhello\n", 64) == ["hello"]
    assert split(" \n ", 64) == []


def test_paragraphs_then_lines_then_words() -> None:
    assert split(f"{WORDS}\n\n{WORDS}", 64) == [WORDS, WORDS]
    assert split(f"{WORDS}\n{WORDS}\n{WORDS}", 100) == [f"{WORDS}\n{WORDS}", WORDS]
    assert split(f"{WORDS} {WORDS}", 64) == [f"{WORDS} The quick brown fox", "jumps over the lazy dog."]
    assert split("x" * 150, 64) == ["x" * 64, "x" * 64, "x" * 22]


def test_a_fence_that_is_cut_is_closed_and_opened_again() -> None:
    code = "\n".join(f"    line {number}" for number in range(12))
    parts = split(f"```python\n{code}\n```\nafter", 80)
    assert len(parts) > 2
    assert all(part.startswith("```python\n") for part in parts[:-1])
    assert [len(re.findall(r"^```", part, re.MULTILINE)) for part in parts] == [2] * len(parts)
    assert [line for part in parts for line in part.split("\n") if line.startswith("    line")] == code.split("\n")
    assert parts[-1].endswith("\n```\nafter")


def test_a_fence_that_fits_into_the_next_part_is_left_whole() -> None:
    fence = "~~~\na\nb\n~~~"
    assert split(f"{WORDS}\n{fence}", 64) == [f"{WORDS}\n{fence}"]
    assert split(f"{WORDS}\n\n{WORDS}\n{fence}", 64)[-1].count("~~~") == 2


def test_a_limit_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        split("hello", 10)


LIMITS = st.integers(LEAST_LIMIT, 300)


def _solid(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(st.text(st.sampled_from("ab \n"), max_size=2000), LIMITS)
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_and_no_part_is_too_long(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(0 < len(part) <= limit for part in parts)
    assert _solid("".join(parts)) == _solid(text)


LINES = st.lists(
    st.sampled_from(["```", "~~~~", "```python", "    indented code", "", WORDS, "`x`", "see ```x``` there", "word " * 30]), max_size=60
)


@given(LINES, LIMITS)
@settings(max_examples=300, deadline=None)
def test_each_part_with_fences_reads_by_itself(lines: list[str], limit: int) -> None:
    """Every fence that is opened in a part is closed in it, unless the text itself leaves it open at its very end."""
    parts = split("\n".join(lines), limit)
    assert all(0 < len(part) <= limit for part in parts)
    assert [_closed(part) for part in parts[:-1]] == [True] * (len(parts) - 1)
    assert _between_fences(parts) == _between_fences(lines)


def _between_fences(texts: list[str]) -> str:
    lines = [line for text in texts for line in text.split("\n")]
    return _solid("".join(line for line in lines if not line.startswith(("```", "~~~"))))


def _closed(part: str) -> bool:
    marker = ""
    for line in part.split("\n"):
        match = re.fullmatch(r" {0,3}(`{3,}|~{3,})(.*)", line)
        if match is None:
            continue
        if not marker:
            marker = "" if match[1][0] == "`" and "`" in match[2] else match[1]
        elif match[1][0] == marker[0] and len(match[1]) >= len(marker) and not match[2].strip():
            marker = ""
    return not marker
