"""The turn that a session is at: what is known of it while it runs. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moltbot_gateway.chat.pace import DeltaPacer
from moltbot_gateway.chat.telling import Telling
from moltbot_gateway.models.base import Usage
from moltbot_gateway.store.records import Message, Run, RunStatus


@dataclass(frozen=True)
class Ended:
    """How a run ended, for whoever waits for it. `text`: the assistant's last words; `error`: a sentence when it failed."""

    status: RunStatus
    text: str
    error: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass
class Step:
    """What of the present step has come."""

    words: DeltaPacer = field(default_factory=DeltaPacer)
    thoughts: DeltaPacer = field(default_factory=DeltaPacer)
    timer: asyncio.TimerHandle | None = None
    keeper: asyncio.Task[None] | None = None
    kept_at: float = 0.0

    def settle(self) -> None:
        """Nothing more is told later."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass
class Active:
    """`ending` is set when it is to end before its end. `tasks` is what then has to be cancelled: the wait for the model, calls."""

    run: Run
    began: float
    telling: Telling
    keep: Callable[[str], bool] | None = None
    joined: list[Run] = field(default_factory=list)
    ending: RunStatus | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    cost_micros: int | None = 0
    steps: int = 0
    last_words: Message | None = None
    step: Step = field(default_factory=Step)

    def end(self, status: RunStatus) -> None:
        if self.ending is None:
            self.ending = status
            for task in self.tasks:
                task.cancel()

    def add(self, usage: Usage, cost_micros: int | None) -> None:
        self.usage += usage
        self.cost_micros = None if self.cost_micros is None or cost_micros is None else self.cost_micros + cost_micros
