"""What every measurement shares: repeated runs in turn, medians, and a table that says what was compared."""

from __future__ import annotations

import os
import socket
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Series:
    """Repeated values of one thing, in one unit."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        return max(self.values)


def in_turn(subjects: Sequence[tuple[str, Callable[[], dict[str, tuple[float, str]]]]], runs: int) -> dict[tuple[str, str], Series]:
    """Runs the subjects in turn (A B A B …), one warm-up first, so that a drifting machine slows all of them alike.

    A subject answers with its figures: name → (value, unit).
    """
    collected: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for round_number in range(runs + 1):
        for subject, call in subjects:
            for figure, (value, unit) in call().items():
                if round_number:
                    collected.setdefault((subject, figure), (unit, []))[1].append(value)
    return {key: Series(key[1], unit, tuple(values)) for key, (unit, values) in collected.items()}


def table(results: dict[tuple[str, str], Series], *, floor: str) -> str:
    """A Markdown table: median, worst, and the ratio of medians to the floor's."""
    lines = ["| what | figure | median | worst | × floor |", "|---|---|---|---|---|"]
    for (subject, figure), series in results.items():
        base = results.get((floor, figure))
        ratio = f"{series.median / base.median:.2f}" if base and base.median else "–"
        lines.append(f"| {subject} | {figure} | {series.median:.3g} {series.unit} | {series.worst:.3g} {series.unit} | {ratio} |")
    return "\n".join(lines)


def machine() -> str:
    """One line about where this ran."""
    import platform

    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - /proc
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """Seconds of the processor that a process has had so far, its ended children apart (Linux; in steps of a hundredth)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of loopback that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
