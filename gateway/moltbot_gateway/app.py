"""The process: its listeners, and the order in which they come and go.

    up    TLS, both ports listening → the state waited for → opened → metrics
    down  (commit or SIGTERM: nothing new is taken) → turns ended → clients told → listeners closed → database closed

Turns end before the sockets close, so that whoever listens hears how.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from moltbot_gateway.agent_config import parse_agent_config
from moltbot_gateway.control import Control
from moltbot_gateway.edge.server import Server
from moltbot_gateway.errors import StateError
from moltbot_gateway.gateway import Gateway
from moltbot_gateway.life import Given
from moltbot_gateway.models.base import Model
from moltbot_gateway.models.building import build_model
from moltbot_gateway.restore import open_local, wait_for_container
from moltbot_gateway.settings import Settings
from moltbot_trust.clock import Clock
from moltbot_trust.keys import GATEWAY_PURPOSES, KeyRing
from moltbot_trust.logs import get_logger
from moltbot_trust.tls import server_context

log = get_logger("moltbot_gateway")

# Seconds for answers that are being written when the listeners close.
SHUTDOWN_SECONDS = 2.0
# A database that cannot be opened is tried again: a person may mend the volume.
OPEN_PAUSE = 5.0


@dataclass(frozen=True)
class Running:
    """What a test needs to know of a running gateway."""

    gateway: Gateway
    port: int
    control_port: int


@contextlib.asynccontextmanager
async def running(
    settings: Settings, clock: Clock, *, began: float, model: Model | None = None, given: Given | None = None
) -> AsyncIterator[Running]:
    """A gateway that listens and opens its state as soon as there is one; leaving the block ends it in order.

    Raises:
        TrustError: keys or certificate cannot be used.
        OSError: a port is taken.
    """
    ring = KeyRing.parse(settings.keys.reveal())
    ring.require(GATEWAY_PURPOSES)
    context = server_context(settings.tls_certificate, settings.tls_private_key.reveal())
    found = model or build_model(settings, parse_agent_config(settings.agent), clock)
    gateway = Gateway(settings, found, clock, began=began, given=given)
    server = Server(gateway, ring)
    runners = [_runner(server.application()), _runner(Control(gateway).application(ring))]
    for runner in runners:
        await runner.setup()
    opening: asyncio.Task[None] | None = None
    try:
        # Asked before the sockets are there: listening takes a few milliseconds, the state container up to a second.
        opening = asyncio.create_task(_open(gateway, ring, runners))
        ports = []
        for runner, port in zip(tuple(runners), (settings.listen_port, settings.listen_control_port), strict=True):
            site = web.TCPSite(runner, settings.pod_ip, port, ssl_context=context)
            await site.start()
            ports.append(runner.addresses[0][1])
        gateway.listening(*ports)
        yield Running(gateway, ports[0], ports[1])
    finally:
        gateway.handshake.terminate()
        if opening is not None:
            opening.cancel()
            await asyncio.wait({opening})
        await gateway.end_turns()
        await server.close()
        for runner in runners:
            await runner.cleanup()
        await gateway.close()


def _runner(application: web.Application) -> web.AppRunner:
    return web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)


async def _open(gateway: Gateway, ring: KeyRing, runners: list[web.AppRunner]) -> None:
    settings, clock = gateway.settings, gateway.clock
    while True:
        if settings.state_url:
            opened = await wait_for_container(settings, ring, clock, gateway.conditions)
        else:
            opened = await open_local(settings, clock, gateway.conditions)
        try:
            await gateway.open(opened)
            break
        except StateError as error:
            log.error("the state cannot be opened", reason=str(error))  # noqa: TRY400 - the reason says it all
        except Exception:  # a task's boundary: an opening that failed unseen would look like one that takes long
            log.exception("opening failed")
        await clock.sleep(OPEN_PAUSE)
    if settings.metrics_port:
        from moltbot_gateway.metrics import metrics_application

        runner = _runner(await metrics_application(gateway))
        runners.append(runner)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.pod_ip, settings.metrics_port).start()
        except OSError as error:
            log.warning("no metrics", port=settings.metrics_port, reason=str(error))
