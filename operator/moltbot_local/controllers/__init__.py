"""The controllers of the miniature Kubernetes.

Each is a pure `decide_…` (objects and time in, actions out) and a thin class that carries it out; `loop` runs them all. They are
level-triggered: what they do depends on what is stored now, and a restart changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from ..clock import Clock
from ..store import Store
from .claim import ClaimController
from .cronjob import CronJobController
from .expiry import EventExpiry
from .garbage import GarbageCollector
from .job import JobController
from .loop import Controller, ControllerLoop
from .namespace import NamespaceController
from .statefulset import StatefulSetController


def open_controllers(store: Store, clock: Clock, data: Path) -> ControllerLoop:
    """All of them. `data`: the directory under which claims get theirs."""
    controllers: Sequence[Controller] = (
        NamespaceController(store, clock),
        GarbageCollector(store, clock),
        ClaimController(store, clock, data),
        CronJobController(store, clock),
        JobController(store, clock),
        StatefulSetController(store, clock),
        EventExpiry(store, clock),
    )
    return ControllerLoop(store, clock, controllers)


__all__ = ["Controller", "ControllerLoop", "open_controllers"]
