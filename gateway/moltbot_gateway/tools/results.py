"""Reading what the confined child answered. It is hostile input: what has another type than it should counts as absent."""

from __future__ import annotations

import math
from collections.abc import Mapping

Result = Mapping[str, object]


def text_in(result: Result, name: str) -> str:
    value = result.get(name)
    return value if isinstance(value, str) else ""


def number_in(result: Result, name: str) -> int:
    value = result.get(name)
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def objects_in(result: Result, name: str) -> list[Result]:
    value = result.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts_in(result: Result, name: str) -> list[str]:
    value = result.get(name)
    return [str(one) for one in value] if isinstance(value, list) else []
