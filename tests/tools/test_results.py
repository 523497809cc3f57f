"""Numbers as a child that was taken over may write them: JSON's readers take more than JSON allows."""

from __future__ import annotations

import json

import pytest

from moltbot_gateway.tools.results import number_in


@pytest.mark.parametrize(
    ("said", "number"),
    [("7", 7), ("7.9", 7), ("-1", -1), ('"7"', 0), ("null", 0), ("1e999", 0), ("-Infinity", 0), ("NaN", 0), ("[7]", 0)],
)
def test_what_is_no_number_counts_as_absent(said: str, number: int) -> None:
    assert number_in(json.loads(f'{{"bytes": {said}}}'), "bytes") == number
