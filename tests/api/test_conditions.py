"""The catalogue of conditions is closed, and each reason is explained to people."""

from __future__ import annotations

import re
from pathlib import Path

from moltbot_api.conditions import ConditionType, Reason

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/conditions.md").read_text(encoding="utf-8")


def test_every_reason_and_condition_is_explained_and_nothing_else() -> None:
    explained = set(re.findall(r"`([A-Z][A-Za-z]+)`", PAGE)) - {"Auto"}
    known = {str(value) for value in (*Reason, *ConditionType)}
    assert explained == known
