"""Programs that run on after their call: what they wrote and were not asked for yet, what they are told, how they ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from moltbot_tools.frames import Params, ToolFault

# At once, and those that ended and were not looked at.
MAX_RUNNING, MAX_KEPT = 16, 32
# Characters that are kept of each.
MAX_TEXT = 65_536
# Of what it is told in one call (bytes): a pipe holds as much, so that a program that does not read never makes the host wait.
MAX_STDIN = 65_536
MAX_WAIT = 60.0

Answer = Callable[[dict[str, object]], None]


class Background:
    """One program. `stdin` is the host's end."""

    def __init__(self, name: str, command: str, worker: int, stdin: int) -> None:
        self.name, self.command, self.worker = name, command, worker
        self.began = time.monotonic()
        self.result: dict[str, object] | None = None
        self.looked_at = False
        self._stdin: int | None = stdin
        os.set_blocking(stdin, False)
        self._text = ""
        self._dropped = 0

    @property
    def running(self) -> bool:
        return self.result is None

    def add(self, text: str) -> None:
        """More output; of what nobody asks for the oldest goes."""
        self._text += text
        if len(self._text) > MAX_TEXT:
            self._dropped += len(self._text) - MAX_TEXT
            self._text = self._text[-MAX_TEXT:]

    def ended(self, result: dict[str, object]) -> None:
        self.result = result
        self.close_stdin()

    def has_news(self) -> bool:
        return bool(self._text) or not self.running

    def news(self) -> dict[str, object]:
        """What was written since the last look, and how it stands."""
        text, dropped = self._text, self._dropped
        self._text, self._dropped = "", 0
        self.looked_at = not self.running
        return {**self.row(), "output": text, "dropped": dropped}

    def row(self) -> dict[str, object]:
        ended = self.result or {}
        state: dict[str, object] = {name: ended[name] for name in ("exitCode", "signal", "ended") if name in ended}
        return {
            "name": self.name,
            "command": self.command[:200],
            "running": self.running,
            "seconds": round(time.monotonic() - self.began, 1) if self.running else round(_milliseconds(ended) / 1000, 1),
            **state,
        }

    def tell(self, params: Params) -> None:
        """Raises ToolFault."""
        data = params.text("text").encode("utf-8", "replace")
        if self._stdin is None:
            raise ToolFault("ended", f"{self.name} takes no more input")
        if len(data) > MAX_STDIN:
            raise ToolFault("too-large", f"at most {MAX_STDIN} bytes at once")
        try:
            written = os.write(self._stdin, data) if data else 0
        except BlockingIOError:
            written = 0
        except BrokenPipeError as error:
            self.close_stdin()
            raise ToolFault("ended", f"{self.name} takes no more input") from error
        if written < len(data):
            raise ToolFault("io", f"{self.name} does not read its input: {written} of {len(data)} bytes were taken")
        if params.flag("end"):
            self.close_stdin()

    def close_stdin(self) -> None:
        if self._stdin is not None:
            with contextlib.suppress(OSError):
                os.close(self._stdin)
            self._stdin = None


def _milliseconds(result: dict[str, object]) -> float:
    value = result.get("durationMs")
    return value if isinstance(value, int | float) else 0.0


class Shelf:
    """All of a host's. Names are p1, p2 …"""

    def __init__(self) -> None:
        self._all: dict[str, Background] = {}
        self._number = 0
        self._waiting: list[tuple[Background, float, Answer]] = []

    def admit(self) -> str:
        """The name of the next. Raises ToolFault when there are too many."""
        if sum(one.running for one in self._all.values()) >= MAX_RUNNING:
            raise ToolFault("denied", f"{MAX_RUNNING} programs run in the background already; end one of them first")
        self._number += 1
        return f"p{self._number}"

    def put(self, program: Background) -> None:
        self._all[program.name] = program
        over = [one for one in self._all.values() if not one.running]
        for one in sorted(over, key=lambda one: not one.looked_at)[: max(0, len(over) - MAX_KEPT)]:
            del self._all[one.name]

    def get(self, name: str) -> Background:
        """Raises ToolFault."""
        if name not in self._all:
            raise ToolFault("not-found", f"no program {name[:40]} runs in the background; they end when the tool process ends")
        return self._all[name]

    def rows(self) -> list[dict[str, object]]:
        return [one.row() for one in self._all.values()]

    def poll(self, params: Params, answer: Answer) -> None:
        """Answer with its news, after at most `wait` seconds. Raises ToolFault."""
        program = self.get(params.text("name"))
        wait = max(0.0, min(params.number("wait", 0), MAX_WAIT))
        self._waiting.append((program, time.monotonic() + wait, answer))
        self.serve()

    def serve(self) -> float | None:
        """Answer who need not wait any longer; seconds until the next of the others must be answered."""
        now = time.monotonic()
        waiting, self._waiting = self._waiting, []
        for program, deadline, answer in waiting:
            if program.has_news() or now >= deadline:
                answer(program.news())
            else:
                self._waiting.append((program, deadline, answer))
        return max(0.0, min(deadline for _, deadline, _ in self._waiting) - now) if self._waiting else None
