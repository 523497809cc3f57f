"""Metrics, on a port of their own, plain. prometheus_client is imported once the state is open: no start waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from moltbot_gateway.gateway import Gateway
from moltbot_gateway.handshake import State

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry


def _load() -> Any:
    import prometheus_client
    import prometheus_client.core

    return prometheus_client


class _Collector:
    """Reads the plain counts when somebody asks. Labels come from closed sets."""

    def __init__(self, client: Any, gateway: Gateway) -> None:
        self._core, self._gateway = client.core, gateway

    def collect(self) -> Iterator[Any]:
        core, gateway, counts = self._core, self._gateway, self._gateway.measurements
        state = core.GaugeMetricFamily("moltbot_gateway_state", "1 for the state that the gateway is in.", labels=["state"])
        for one in State:
            state.add_metric([one.value], float(gateway.state is one))
        yield state
        yield core.GaugeMetricFamily("moltbot_gateway_connections", "Open WebSockets.", value=counts.connections)
        yield core.GaugeMetricFamily("moltbot_gateway_busy", "1 while a turn or request runs.", value=float(bool(gateway.busy)))
        turns = core.CounterMetricFamily("moltbot_gateway_turns", "Turns by their end.", labels=["end"])
        for end, count in sorted(counts.turns.items()):
            turns.add_metric([end], count)
        yield turns
        failures = core.CounterMetricFamily("moltbot_gateway_turn_failures", "Turns that failed, by kind.", labels=["kind"])
        for kind, count in sorted(counts.failures.items()):
            failures.add_metric([kind], count)
        yield failures
        requests = core.CounterMetricFamily("moltbot_gateway_requests", "Frames answered, by outcome.", labels=["outcome"])
        for outcome, count in sorted(counts.requests.items()):
            requests.add_metric([outcome], count)
        yield requests
        yield core.CounterMetricFamily("moltbot_gateway_turn_seconds", "Seconds spent in turns.", value=counts.turn_seconds)
        yield core.CounterMetricFamily("moltbot_gateway_tokens", "Tokens used since the process began.", value=counts.tokens)
        yield core.CounterMetricFamily("moltbot_gateway_not_accepted", "New work refused while quiesced.", value=counts.not_accepted)
        for name, value in gateway.timings.to_json().items():
            if isinstance(value, int):
                word = name.removesuffix("Ms")
                yield core.GaugeMetricFamily(
                    f"moltbot_gateway_{word}_seconds", f"From the start of the process to {word}.", value=value / 1000
                )


async def metrics_application(gateway: Gateway) -> web.Application:
    """`GET /metrics`."""
    client = await asyncio.to_thread(_load)
    registry: CollectorRegistry = client.CollectorRegistry()
    collector: Any = _Collector(client, gateway)
    registry.register(collector)
    client.ProcessCollector(registry=registry)

    async def show(request: web.Request) -> web.Response:
        return web.Response(body=client.generate_latest(registry), headers={"Content-Type": client.CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", show)
    return application
