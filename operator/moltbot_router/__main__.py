"""`python -m moltbot_router`: settings, logging, the Kubernetes connection, and the router until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from moltbot_kube import ConnectionSettingsError, Kube
from moltbot_router.app import Router
from moltbot_router.cluster import KubeView, KubeWrites
from moltbot_router.settings import Settings
from moltbot_trust.clock import SystemClock
from moltbot_trust.errors import SettingsError
from moltbot_trust.logs import configure_logging, get_logger
from moltbot_trust.settings import effective_settings, read_settings

log = get_logger("moltbot_router")


async def run(settings: Settings) -> int:
    """Serve until told to stop; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        kube = await Kube.connect(settings.kubeconfig or None, user_agent="moltbot-router")
    except ConnectionSettingsError as error:
        log.error("no cluster to serve", error=str(error))  # noqa: TRY400 - the sentence says it all
        return 2
    async with kube:
        view = KubeView(kube, settings.watch_namespaces)
        router = Router(settings, view, KubeWrites(kube, view), SystemClock())
        watching = asyncio.create_task(view.run(), name="watch")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await router.start()
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        except OSError as error:
            log.error("cannot listen", error=str(error))  # noqa: TRY400
            return 1
        finally:
            await router.close()
            for task in (watching, stopping):
                task.cancel()
            results = await asyncio.gather(watching, stopping, return_exceptions=True)
        broken = results[0]
        if isinstance(broken, Exception):
            log.error("watching broke", error=repr(broken))
            return 1
    return 0


def main() -> int:
    """The program."""
    try:
        settings = read_settings(Settings, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"moltbot_router: {error}\n")
        return 2
    configure_logging(settings.log_format, settings.log_level)
    log.info("starting", **{f"setting_{name}": value for name, value in effective_settings(settings).items()})
    try:
        import uvloop
    except ImportError:
        return asyncio.run(run(settings))
    return int(uvloop.run(run(settings)))


if __name__ == "__main__":
    sys.exit(main())
