"""What the gateway has for the assistant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moltbot_gateway.activity import ActivityClock
from moltbot_gateway.agent_config import AgentConfig
from moltbot_gateway.conditions import Conditions
from moltbot_gateway.hub import Hub
from moltbot_gateway.models.base import Model
from moltbot_gateway.store.database import Database
from moltbot_gateway.tools.base import Tool
from moltbot_trust.clock import Clock


@dataclass(frozen=True)
class Surroundings:
    """`default_model`: who answers where a conversation chose nobody. `current`: the directory of the state.
    `person`: what a person put into the environment. `tools`: more than the ordinary ones. `admit`: whether new work may begin; `advance`
    is called whenever something moved (report's `progress`)."""

    name: str
    default_model: str
    config: AgentConfig
    current: Path
    person: Mapping[str, str]
    tools: Sequence[Tool]
    database: Database
    model: Model
    hub: Hub
    clock: Clock
    activity: ActivityClock
    conditions: Conditions
    admit: Callable[[], bool]
    advance: Callable[[], None]
