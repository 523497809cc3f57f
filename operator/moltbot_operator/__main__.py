"""`python -m moltbot_operator`: settings, signals, exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

from moltbot_operator.settings import Settings
from moltbot_trust.clock import SystemClock
from moltbot_trust.errors import SettingsError, TrustError
from moltbot_trust.logs import configure_logging, get_logger
from moltbot_trust.settings import effective_settings, read_settings

log = get_logger("moltbot_operator")


async def run(settings: Settings) -> int:
    """Until SIGTERM or SIGINT (0), or until something ends that the operator cannot be without (1)."""
    # only now: wrong settings are told before half a second of imports
    from moltbot_kube import ConnectionSettingsError, Kube
    from moltbot_operator.app import run_operator
    from moltbot_operator.lease import LeaseLost

    # What imports made stays for ever. Left out, full collections are cheap and frequent, and what Kopf leaves in cycles for every event
    # (84 KiB a Moltbot at a restart, measured) is freed soon.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with await Kube.connect(user_agent="moltbot-operator") as kube:
            log.info("operator starting", server=kube.connection.server, settings=effective_settings(settings))
            await run_operator(kube, settings, SystemClock(), stop)
    except (ConnectionSettingsError, LeaseLost, TrustError, OSError) as error:
        log.error("operator ends", error=str(error))  # noqa: TRY400 - said in words, a trace helps nobody
        return 1
    log.info("operator stopped")
    return 0


def main() -> int:
    try:
        settings = read_settings(Settings, os.environ)
        if problems := settings.problems():
            raise SettingsError(problems)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings.log_format, settings.log_level)
    return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
