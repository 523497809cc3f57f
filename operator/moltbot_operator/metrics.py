"""Metrics of the operator (prometheus-client). Labels come from closed sets only."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECONCILES = Counter("moltbot_operator_reconciles_total", "Reconciles by outcome.", ["outcome"], registry=REGISTRY)
RECONCILE_SECONDS = Histogram(
    "moltbot_operator_reconcile_seconds", "Duration of a reconcile.", buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600), registry=REGISTRY
)
QUEUE_DEPTH = Gauge("moltbot_operator_queue_depth", "Moltbots that wait to be reconciled.", registry=REGISTRY)
QUEUE_WAIT_SECONDS = Histogram(
    "moltbot_operator_queue_wait_seconds",
    "Time from being due to being reconciled.",
    buckets=(0.001, 0.01, 0.1, 1, 10, 60),
    registry=REGISTRY,
)
CHILD_WRITES = Counter("moltbot_operator_child_writes_total", "Writes of children by kind and verb.", ["kind", "verb"], registry=REGISTRY)
STATUS_WRITES = Counter("moltbot_operator_status_writes_total", "Writes of a Moltbot's status.", registry=REGISTRY)
MOLTBOTS = Gauge("moltbot_operator_moltbots", "Moltbots by phase.", ["phase"], registry=REGISTRY)
WAKE_SECONDS = Histogram(
    "moltbot_operator_wake_seconds",
    "From scale-up to answering, as the operator saw it.",
    buckets=(0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
    registry=REGISTRY,
)
LEADING = Gauge("moltbot_operator_leading", "1 while this process holds the Lease.", registry=REGISTRY)
