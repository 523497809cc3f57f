"""Durations as people write them in a Moltbot: ``never``, ``90s``, ``10m``, ``1h`` (api.md)."""

from __future__ import annotations

import re

DURATION_PATTERN = r"^(never|[1-9][0-9]{0,4}[smh])$"
_DURATION = re.compile(r"^([1-9][0-9]{0,4})([smh])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
# Shorter and the handshake itself (a snapshot, a quiesce, a commit) would be most of what an assistant does (architecture, rule 5a).
MINIMUM_IDLE_SECONDS = 10


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


def format_duration(seconds: float) -> str:
    """A duration as kubectl prints ages: ``45s``, ``12m``, ``3h``, ``5d``; negative values are ``0s``."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size or (unit != "m" and whole >= size and whole % size == 0):
            return f"{whole // size}{unit}"
    return f"{whole}s"
