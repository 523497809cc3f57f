"""The facts of a start, as far as the state directory and the settings know them."""

from __future__ import annotations

from moltbot_state.choice import NOT_ASKED, Facts
from moltbot_state.layout import DATABASE_VERSION, StateDir
from moltbot_state.restore import look_at_local, read_choice
from moltbot_state.settings import StateSettings


def make_facts(settings: StateSettings, state: StateDir) -> Facts:
    """What the choice depends on; the bucket's answer is not asked yet."""
    return Facts(
        local=look_at_local(state),
        bucket=NOT_ASKED,
        recorded=settings.recorded,
        storage=settings.storage,
        lose_on_restart=settings.lose_on_restart,
        supported=DATABASE_VERSION,
        earlier=read_choice(state, settings.pod_uid),
    )
