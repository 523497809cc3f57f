"""How often a growing answer is told: at once, and then at most every 150 ms (the protocol's clients expect no more). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

# Seconds; what the official servers keep to.
INTERVAL = 0.15


@dataclass
class DeltaPacer:
    """Collects text. `push` says whether to tell it now; when not, tell it when `wait` seconds have passed."""

    interval: float = INTERVAL
    text: str = ""
    _told: int = 0
    _last: float | None = field(default=None)

    def push(self, more: str, now: float) -> bool:
        self.text += more
        return self._last is None or now - self._last >= self.interval

    def wait(self, now: float) -> float:
        """Seconds until the next telling is allowed."""
        return 0.0 if self._last is None else max(0.0, self._last + self.interval - now)

    def take(self, now: float) -> str:
        """What was not told yet; from here on it counts as told."""
        delta = self.text[self._told :]
        if delta:
            self._told, self._last = len(self.text), now
        return delta
