"""The table against the typed models, and what stands in the documentation of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from moltbot_api.conditions import ConditionType, Reason
from moltbot_api.names import is_moltbot_name
from moltbot_api.spec import MoltbotSpec
from tests.bad_input.table import SECTIONS, TABLE, Row, Says, Tells, Where

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-input.md"


def is_taken(row: Row) -> bool:
    """Whether the typed models take it; `$…` of the table never stand where a pattern would refuse them."""
    try:
        MoltbotSpec.model_validate(row.spec)
    except ValidationError:
        return False
    return is_moltbot_name(row.name)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_models_refuse_what_the_schema_refuses_and_take_the_rest(row: Row) -> None:
    refused = row.refused is not None and row.refused.by_model
    concrete = "$" not in str(row.spec)
    if refused or concrete:
        assert is_taken(row) is not refused


@pytest.mark.parametrize("row", [row for row in TABLE if row.refused and row.refused.by_model], ids=lambda row: row.id)
def test_models_name_the_field_that_the_api_names(row: Row) -> None:
    """A spec from before an upgrade reaches the operator unchecked: its own words name the same field."""
    if not is_moltbot_name(row.name):
        return
    with pytest.raises(ValidationError) as refusal:
        MoltbotSpec.model_validate(row.spec)
    path = ".".join(str(part) for part in refusal.value.errors()[0]["loc"])
    assert row.refused is not None
    assert any(f"spec.{path}" in words for words in row.refused.words), path


def test_ids_and_words_are_unique_and_every_row_can_be_played() -> None:
    assert len({row.id for row in TABLE}) == len({row.wrong for row in TABLE}) == len(TABLE)
    assert [row.id for row in TABLE if not row.where or not row.told] == []
    # namespaces are `bad-<id>`, and a default host has room for the namespace itself
    assert [row.id for row in TABLE if not re.fullmatch(r"[a-z0-9-]{1,40}", row.id)] == []


def test_table_speaks_of_the_catalogue_alone() -> None:
    for row in TABLE:
        for told in row.told:
            if isinstance(told, Says):
                ConditionType(told.type)
            if isinstance(told, Says | Tells):
                Reason(told.reason)


@pytest.mark.parametrize(("section", "rows"), SECTIONS.items())
def test_every_row_stands_in_the_documentation(section: str, rows: tuple[Row, ...]) -> None:
    """The page is written by hand, its lines are the table's: `Row.line` prints them."""
    assert sum(map(len, SECTIONS.values())) == len(TABLE)
    _, found, text = PAGE.read_text(encoding="utf-8").partition(f"## {section}\n")
    assert found, f"{PAGE.name} has no section {section}"
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ") and not line.startswith("| what is wrong")]
    assert lines == [row.line() for row in rows], "\n".join(row.line() for row in rows)


@pytest.mark.parametrize("where", Where)
def test_every_place_has_rows(where: Where) -> None:
    assert any(where in row.where for row in TABLE)
