"""Metrics of the router: Prometheus text, labels from closed sets only. Off unless an address is set."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder


class Metrics:
    """One registry per router, so that tests have their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter("moltbot_router_answers", "HTTP requests by what was done with them.", ["answer"], registry=self.registry)
        self._wakes = Counter("moltbot_router_wakes", "Wakes by outcome.", ["outcome"], registry=self.registry)
        self._wake_seconds = Histogram(
            "moltbot_router_wake_seconds",
            "From the first held request to the open pod.",
            buckets=(0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50),
            registry=self.registry,
        )
        self.held = Gauge("moltbot_router_held_requests", "Requests held now.", registry=self.registry)
        self.connections = Gauge("moltbot_router_connections", "Open WebSockets.", registry=self.registry)

    def answered(self, answer: str) -> None:
        """One HTTP request; the names are those of `path.decide.Answer` and of the refusals."""
        self._answers.labels(answer).inc()

    def woke(self, seconds: float) -> None:
        """A wake that ended with an open pod."""
        self._wakes.labels("awake").inc()
        self._wake_seconds.observe(seconds)

    def wake_failed(self) -> None:
        """A wake that was told as failed."""
        self._wakes.labels("failed").inc()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """`GET /metrics`."""
        if request.path != "/metrics":
            return web.Response(status=404)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self.registry), headers={"Content-Type": content_type})
