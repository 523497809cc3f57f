"""`/healthz` (the process works) and `/readyz` (it holds the Lease and has seen the cluster), and `/metrics` on a listener of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from moltbot_operator.metrics import REGISTRY


def health_application(ready: Callable[[], bool]) -> web.Application:
    """The probes. The event loop answering is the life sign: everything of the operator runs on it."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(status=503, text="not yet\n")

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    return application


def metrics_application() -> web.Application:
    """Prometheus' text format, without secrets."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    return application


@asynccontextmanager
async def serving(application: web.Application, listen: tuple[str, int] | None) -> AsyncIterator[int | None]:
    """Serve while within; the port, or None when `listen` is None. Raises OSError when the port is taken."""
    if listen is None:
        yield None
        return
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *listen).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
