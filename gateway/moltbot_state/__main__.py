"""`python -m moltbot_state`: the state container. `python -m moltbot_state backup`: the backup's client."""

from __future__ import annotations

import moltbot_trust.without_cryptography  # noqa: F401 - before anything that imports PyJWT

# isort: split

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from moltbot_trust.errors import SettingsError, TrustError
from moltbot_trust.logs import configure_logging, get_logger
from moltbot_trust.settings import effective_settings, read_settings

if TYPE_CHECKING:
    from moltbot_state.control import GatewayControl

STARTED = time.monotonic()
# What a first worker needs to be under way before this process spends time on its own imports.
BEGIN_SECONDS = 0.25
# For the answer of /exit to leave.
LEAVE_SECONDS = 0.1
log = get_logger("moltbot_state")


async def run_container() -> int:
    """Until SIGTERM (then the last flush) or POST /exit (then at once). Exit code.

    Order of the end: 1 no more opening or snapshots of our own, 2 the flush, while control still answers, 3 control and metrics,
    4 the lock of the state directory.
    """
    from moltbot_state.container import Container
    from moltbot_state.layout import StateDir
    from moltbot_state.settings import StateSettings
    from moltbot_state.workers import Workers
    from moltbot_trust.clock import SystemClock
    from moltbot_trust.keys import STATE_PURPOSES, KeyRing

    settings = read_settings(StateSettings, os.environ)
    configure_logging(settings.log_format, settings.log_level)
    log.info("starting", **effective_settings(settings))
    ring = KeyRing.parse(settings.keys.reveal())
    ring.require(STATE_PURPOSES)
    stop, leave = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = LateGateway()
    container = Container(settings, StateDir(Path(settings.state_dir)), Workers(os.environ), gateway, SystemClock())
    running = asyncio.create_task(container.run(), name="state")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEGIN_SECONDS):
            await container.begun.wait()
    from moltbot_state.control import GatewayControl, serve, serve_metrics

    gateway.control = GatewayControl(settings, ring)
    try:
        server = await serve(container, settings, ring, leave.set)
        metrics = await serve_metrics(container, settings)
        container.counters.timings["listeningMs"] = round((time.monotonic() - STARTED) * 1000)
        ends = [running, asyncio.create_task(stop.wait()), asyncio.create_task(leave.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        broken = running.done() and not running.cancelled() and running.exception() is not None
        for task in ends:
            task.cancel()
        results = await asyncio.gather(*ends, return_exceptions=True)
        if broken:
            log.error("the state container failed", error=repr(results[0]))
            return 1
        if leave.is_set():
            log.info("leaving as asked; starting again reads the settings anew")
            await asyncio.sleep(LEAVE_SECONDS)
        else:
            await container.flush()
        for runner in (server, metrics):
            if runner is not None:
                await runner.cleanup()
        return 0
    finally:
        running.cancel()
        await gateway.control.close()
        container.close()


class LateGateway:
    """The gateway's control, which is imported only after the first worker runs; nothing is staged before that."""

    control: GatewayControl

    async def stage(self, stage_id: str, unless: str | None) -> tuple[str, str | None]:
        """As `container.Gateway`."""
        return await self.control.stage(stage_id, unless)


def main(arguments: list[str]) -> int:
    """Exit code 2: the settings, in words, once."""
    try:
        match arguments:
            case []:
                return asyncio.run(run_container())
            case ["backup"]:
                from moltbot_state import backup
                from moltbot_state.settings import BackupSettings

                settings = read_settings(BackupSettings, os.environ)
                configure_logging(settings.log_format, settings.log_level)
                return backup.main(settings)
            case _:
                print("usage: python -m moltbot_state [backup]", file=sys.stderr)
                return 2
    except (SettingsError, TrustError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
