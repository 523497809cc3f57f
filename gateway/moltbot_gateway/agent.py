"""The assistant itself, put together when its state opens: queue and turns, tools, prompt, costs. What each part does is its own
module's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from moltbot_gateway.activity import ActivityClock
from moltbot_gateway.agent_config import AgentConfig, Confinement
from moltbot_gateway.chat.asking import Asking
from moltbot_gateway.chat.calls import Calls
from moltbot_gateway.chat.compaction import Compaction, CompactionSettings, only_files
from moltbot_gateway.chat.ledger import Ledger
from moltbot_gateway.chat.rounds import Rounds
from moltbot_gateway.chat.turn import Turn, TurnParts, TurnSettings
from moltbot_gateway.chat.turns import Turns
from moltbot_gateway.conditions import Conditions
from moltbot_gateway.hub import Hub
from moltbot_gateway.models.base import Model
from moltbot_gateway.models.facts import cost_micros, facts_of
from moltbot_gateway.store.database import Database
from moltbot_gateway.tools.approvals import Approvals
from moltbot_gateway.tools.host import ToolHost
from moltbot_gateway.tools.toolbox import Toolbox
from moltbot_trust.clock import Clock


class _Prompt:
    def __init__(self, name: str) -> None:
        self._name = name

    async def for_session(self, *, private: bool, heartbeat: bool) -> tuple[str, ...]:
        return (f"You are {self._name}, a personal AI assistant.",)


@dataclass(frozen=True)
class Surroundings:
    """What the gateway has for it. `default_model`: who answers where a conversation chose nobody. `advance` is called whenever something
    moved (report's `progress`)."""

    name: str
    default_model: str
    config: AgentConfig
    database: Database
    model: Model
    hub: Hub
    clock: Clock
    activity: ActivityClock
    conditions: Conditions
    advance: Callable[[], None]


class Agent:
    def __init__(self, here: Surroundings) -> None:
        config, database, clock = here.config, here.database, here.clock
        self.config, self.zone = config, time_zone(config.time_zone)
        self.toolbox = Toolbox([], config.denied_tools)
        self.ledger = Ledger(database, clock, config.limits, self.zone, cost_micros)
        self.host = ToolHost(
            database.path.parent / "workspace", {}, time_zone=config.time_zone, confine=config.confinement is not Confinement.POD
        )
        self.approvals = Approvals(config, database, here.hub, clock, confined=self.host.is_confined)
        calls = Calls(self.approvals, clock)
        flush = CompactionSettings(here.default_model, facts_of, lambda: only_files(self.toolbox.offered()))
        self.compaction = Compaction(database, here.model, calls, self.ledger, clock=clock, settings=flush)
        parts = TurnParts(
            database,
            Asking(database, here.model, clock, here.advance),
            Rounds(database, calls, clock, here.advance),
            self.toolbox,
            _Prompt(here.name),
            self.ledger,
            self.compaction,
            clock,
            here.conditions,
            here.advance,
        )
        settings = TurnSettings(here.default_model, here.model.provider, config.thinking, stamp=self._stamp)
        self.turns = Turns(database, here.hub, clock, Turn(parts, settings), activity=here.activity, advance=here.advance)

    def _stamp(self, at_ms: int) -> str:
        return f"[{datetime.fromtimestamp(at_ms / 1000, self.zone):%a %Y-%m-%d %H:%M %Z}]"


def time_zone(name: str) -> tzinfo:
    """UTC where the name is unknown; the operator has said so."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC
