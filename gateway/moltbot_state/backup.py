"""`python -m moltbot_state backup`: what a pod of the backup CronJob runs. It asks the state container for a snapshot and ends.

Exit code 0: backed up, or unchanged. 1: not, and why is one line on standard error and in the termination message. 2: the settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from moltbot_state.settings import BackupSettings
from moltbot_trust.clock import Clock, SystemClock
from moltbot_trust.control import BadAnswer, ControlClient, Refused, Unreachable
from moltbot_trust.errors import TrustError
from moltbot_trust.keys import BACKUP_PURPOSES, KeyRing, Purpose

TERMINATION_MESSAGE = Path("/dev/termination-log")
# A first snapshot of gigabytes takes minutes; the Job's own deadline is longer.
SNAPSHOT_SECONDS = 540.0
# The pod's name may not resolve yet, or its pod may just be ending.
ATTEMPTS, PAUSE_SECONDS = 5, 3.0


async def back_up(settings: BackupSettings, clock: Clock | None = None) -> tuple[int, str]:
    """Exit code and one line."""
    time = clock or SystemClock()
    try:
        ring = KeyRing.parse(settings.keys.reveal())
        ring.require(BACKUP_PURPOSES)
        client = ControlClient(
            settings.state_url,
            settings.certificate,
            ring,
            Purpose.BACKUP_STATE,
            f"moltbot:{settings.uid}",
            timeout_seconds=SNAPSHOT_SECONDS,
        )
    except (TrustError, ValueError) as error:
        return 2, f"The backup's settings are not right: {error}"
    async with client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await client.post("/snapshot", {"reason": "scheduled"})
            except Unreachable as error:
                if attempt < ATTEMPTS:
                    await time.sleep(PAUSE_SECONDS)
                    continue
                return 1, f"GatewayUnreachable: the state container of {settings.namespace}/{settings.name} does not answer ({error})"
            except Refused as error:
                return 1, f"{error.error}: {error.message}"
            except BadAnswer as error:
                return 1, f"BadReport: {error}"
            snapshot = answer.get("snapshot")
            name = snapshot.get("id") if isinstance(snapshot, dict) else None
            return 0, f"{answer.get('result')}: {name}"
    raise AssertionError("not reached")


def main(settings: BackupSettings, message: Path = TERMINATION_MESSAGE) -> int:
    code, line = asyncio.run(back_up(settings))
    line = " ".join(line.split())[:1024]
    print(line, file=sys.stderr)
    with contextlib.suppress(OSError):
        if message.exists():
            message.write_text(line)
    return code
