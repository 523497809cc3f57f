"""Durations as people write them in a Moltbot: ``never``, ``90s``, ``10m``, ``1h`` (api.md); intervals have days too."""

from __future__ import annotations

import re

DURATION_PATTERN = r"^(never|[1-9][0-9]{0,4}[smh])$"
_DURATION = re.compile(r"^([1-9][0-9]{0,4})([smh])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
INTERVAL_PATTERN = r"^[1-9][0-9]{0,4}[smhd]$"
_INTERVAL = re.compile(INTERVAL_PATTERN)


def parse_duration(text: str) -> int | None:
    """Seconds, or ``None`` for ``never``.

    Raises:
        ValueError: the text is not a duration; the message says how one is written.
    """
    if text == "never":
        return None
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write never, or a whole number with s, m or h, such as 10m")
    return int(match[1]) * _SECONDS[match[2]]


def parse_interval(text: str) -> int:
    """Seconds of ``30m``, ``6h``, ``1d``.

    Raises:
        ValueError: the text is not an interval; the message says how one is written.
    """
    if _INTERVAL.match(text) is None:
        raise ValueError(f"{text!r} is not an interval: write a whole number with s, m, h or d, such as 30m")
    return int(text[:-1]) * _SECONDS[text[-1]]
