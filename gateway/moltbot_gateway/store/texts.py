"""What goes into a column: text that SQLite takes, and JSON. Half a surrogate pair is valid JSON and comes from models, programs and
strangers alike; UTF-8 has no bytes for it.
"""

from __future__ import annotations

import json


def storable(text: str) -> str:
    """The text, with a question mark for what is none."""
    return text.encode("utf-8", "replace").decode()


def to_json(value: object) -> str:
    """What is no JSON stands in it as its words."""
    return storable(json.dumps(value, ensure_ascii=False, default=str))
