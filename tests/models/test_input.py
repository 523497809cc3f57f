"""The input of a call, as models write it."""

from __future__ import annotations

import pytest

from moltbot_gateway.models.claude_answer import read_input


@pytest.mark.parametrize(
    ("text", "value"),
    [("", {}), (" \n", {}), ("{}", {}), ('{"a": [1, 2.5, -1e3, null, true]}', {"a": [1, 2.5, -1000.0, None, True]})],
)
def test_an_object_is_the_input(text: str, value: dict[str, object]) -> None:
    assert read_input(text) == (value, "")


@pytest.mark.parametrize(
    "text",
    ["[1]", "7", '{"a": 1', '{"a": NaN}', '{"a": [-Infinity]}', '{"a": 1e999}', '{"a": -1e999}', '{"a": ' + "[" * 100_000, "words"],
)
def test_anything_else_is_kept_as_text(text: str) -> None:
    assert read_input(text) == ({}, text)
