"""`python -m moltbot_gateway`: settings, signals, and one gateway until it is done.

Exit codes: 0 ended in order, 2 the settings cannot be used (the reason is one line on stderr each).
"""

from __future__ import annotations

import moltbot_gateway.without_collector  # noqa: F401 - before everything
import moltbot_trust.without_cryptography  # noqa: F401 - before anything that imports PyJWT

# isort: split

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

from moltbot_gateway import person_environment
from moltbot_gateway.app import running
from moltbot_gateway.life import Given
from moltbot_gateway.process import become_undumpable, started_at
from moltbot_gateway.settings import Settings
from moltbot_trust.clock import SystemClock
from moltbot_trust.errors import SettingsError, TrustError
from moltbot_trust.logs import configure_logging, get_logger
from moltbot_trust.settings import effective_settings, read_settings
from moltbot_trust.tls import fingerprint_of

log = get_logger("moltbot_gateway")


def main() -> int:
    gc.freeze()
    gc.enable()
    began = started_at()
    given = Given(person_environment.take(os.environ))
    try:
        settings = read_settings(Settings, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging(settings.log_format, settings.log_level)
    become_undumpable()
    try:
        # Of the certificate its fingerprint says enough.
        # Prompts and skills are a person's words: how much there is of them is all that a log needs.
        shown = effective_settings(settings) | {"tls_certificate": fingerprint_of(settings.tls_certificate), "agent": len(settings.agent)}
        log.info("starting", **shown)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, began, given))
    except (TrustError, OSError) as error:
        log.error("cannot start", reason=str(error))  # noqa: TRY400 - the reason says it all
        return 2
    return 0


async def _serve(settings: Settings, began: float, given: Given) -> None:
    loop = asyncio.get_running_loop()
    async with running(settings, SystemClock(), began=began, given=given) as live:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, live.gateway.terminate)
        await live.gateway.done.wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is there: an idle TLS socket costs a seventh of the memory."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
