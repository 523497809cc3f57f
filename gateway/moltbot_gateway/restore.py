"""Waiting for the state (rules 8 and 9): asked of the state container from the first moment on, or chosen here where there is no bucket.

Either way it goes on until there is something to open: a choice to wait is told in a condition and asked again, never a crash.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from moltbot_gateway.conditions import STATE_READY, Condition, Conditions
from moltbot_gateway.life import Opened
from moltbot_gateway.settings import Settings
from moltbot_trust.clock import Clock
from moltbot_trust.control import ControlClient, ControlError, Refused
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.logs import get_logger
from moltbot_trust.seals import pod_audience
from moltbot_trust.tls import fingerprint_of

log = get_logger("moltbot_gateway.restore")

# Seconds. The container listens within a second or so; its answer waits up to a second by itself.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
# A choice to wait depends on what a person does to the volume.
LOCAL_PAUSE = 5.0
# From then on the container is missing, not late.
PATIENCE = 15.0


async def wait_for_container(settings: Settings, ring: KeyRing, clock: Clock, conditions: Conditions) -> Opened:
    """Ask the state container until it has restored."""
    client = ControlClient(
        settings.state_url,
        fingerprint_of(settings.tls_certificate),
        ring,
        Purpose.GATEWAY_STATE,
        pod_audience(settings.pod_uid),
        clock=clock,
    )
    pause, began = FIRST_PAUSE, clock.monotonic()
    async with client:
        while True:
            try:
                opened = _read_restored(await client.get("/restored"), conditions)
                if opened is not None:
                    return opened
                pause = FIRST_PAUSE
            except ControlError as error:
                if clock.monotonic() - began > PATIENCE or isinstance(error, Refused):
                    text = f"The state container does not answer: {error}. The conversations stay closed until it does."
                    _tell(conditions, Condition(STATE_READY, "False", "StateContainerMissing", text))
            await clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _read_restored(answer: dict[str, object], conditions: Conditions) -> Opened | None:
    lineage, sequence = answer.get("lineage"), answer.get("sequence")
    if answer.get("restored") is True:
        # Null: an ephemeral state without a verified snapshot yet records nothing (rule 8).
        if isinstance(lineage, str) and isinstance(sequence, int):
            return Opened(lineage, sequence)
        return Opened(None, None)
    choice = answer.get("choice")
    if isinstance(choice, dict) and choice.get("kind") == "wait" and choice.get("reason"):
        _tell(conditions, Condition(STATE_READY, "False", str(choice["reason"])[:64], str(choice.get("message", ""))))
    return None


def _tell(conditions: Conditions, condition: Condition) -> None:
    if conditions.get(STATE_READY) != condition:
        conditions.set(condition)
        log.warning("waiting for the state", reason=condition.reason, message=condition.message)


async def open_local(settings: Settings, clock: Clock, conditions: Conditions) -> Opened:
    """Rule 8's function, called here. The state directory is locked from here on, until `Opened.release` or the end of the process."""
    while True:
        chosen = await asyncio.to_thread(_choose, settings)
        if isinstance(chosen, Opened):
            return chosen
        _tell(conditions, chosen)
        await clock.sleep(LOCAL_PAUSE)


def _choose(settings: Settings) -> Opened | Condition:
    # Imported late: with a bucket none of it is needed.
    from moltbot_state.choice import Storage
    from moltbot_state.lineage import Mark
    from moltbot_state.local_volume import StateWaits, open_without_bucket

    recorded = None
    if settings.recorded_lineage and settings.recorded_sequence is not None:
        recorded = Mark(settings.recorded_lineage, settings.recorded_sequence)
    try:
        opened = open_without_bucket(
            Path(settings.state_dir),
            pod_uid=settings.pod_uid,
            recorded=recorded,
            storage=Storage(settings.storage.value),
            lose_on_restart=settings.lose_on_restart,
        )
    except StateWaits as error:
        return Condition(STATE_READY, "False", error.reason, str(error))
    except OSError as error:
        text = f"The state directory cannot be used ({error}): check the volume and its permissions (fsGroup)."
        return Condition(STATE_READY, "False", "StateUnreadable", text)
    log.info("state chosen", kind=opened.kind.value, reason=opened.reason)
    if not opened.records:
        return Opened(None, None, opened.close)
    return Opened(opened.mark.lineage, opened.mark.sequence, opened.close)
