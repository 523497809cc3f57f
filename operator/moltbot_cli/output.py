"""Text for people: tables, ages, sizes. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As kubectl prints: columns three spaces apart, nothing behind the last."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def age(time: str | None, now: datetime) -> str:
    """`2m`, `31h`, `3d` since an RFC 3339 time; `-` without one."""
    if not time:
        return "-"
    seconds = max((now - datetime.fromisoformat(time)).total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f}s"
    if seconds < 7200:
        return f"{seconds // 60:.0f}m"
    if seconds < 172800:
        return f"{seconds // 3600:.0f}h"
    return f"{seconds // 86400:.0f}d"


def size(count: int | None) -> str:
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def printable(text: object, limit: int = 128) -> str:
    """What a device says of itself is hostile text: nothing that moves a cursor or hides words."""
    return "".join(c if c.isprintable() else "?" for c in str(text or ""))[:limit]


def now() -> datetime:
    return datetime.now(UTC)
