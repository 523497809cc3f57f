"""What a gateway is begun with, and what is known of how it opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from moltbot_gateway.tools.base import Tool


@dataclass(frozen=True)
class Opened:
    """Where the opened state stands in its lineage; `None` where nothing is recorded (`loseOnRestart`). `release` lets go of the
    state directory, once nobody writes any more."""

    lineage: str | None
    sequence: int | None
    release: Callable[[], None] = lambda: None


@dataclass
class Timings:
    """Milliseconds since the process began, `None` until then."""

    listening: int | None = None
    restored: int | None = None
    open: int | None = None

    def to_json(self) -> dict[str, object]:
        return {"listeningMs": self.listening, "restoredMs": self.restored, "openMs": self.open}


@dataclass(frozen=True)
class Given:
    """What a person put into the environment (`PERSON_ENV_<n>`), and tools beyond the ordinary ones."""

    person: Mapping[str, str] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
