"""A miniature cluster without HTTP for tests: the store, the controllers' loop with a clock that stands still, or a real kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from moltbot_local.builtin import builtin_registry
from moltbot_local.clock import SystemClock
from moltbot_local.controllers.loop import Controller, ControllerLoop
from moltbot_local.controllers.statefulset import StatefulSetController
from moltbot_local.journal import Journal
from moltbot_local.kubelet.processes import open_launcher
from moltbot_local.kubelet.service import Kubelet
from moltbot_local.store import Store
from tests.fakes.clock import FakeClock

# The image that the real cluster of the tests has too.
IMAGE = "localhost/python:base"
LABELS = {"app": "x"}


def new_store(directory: Path | None = None, clock: FakeClock | None = None) -> Store:
    journal = Journal(directory)
    store = Store(builtin_registry(), journal, clock=clock)
    if store.find("namespaces", "default") is None:
        store.create("namespaces", {"metadata": {"name": "default"}, "spec": {"finalizers": ["kubernetes"]}})
    return store


def pod_status(store: Store, name: str, **status: Any) -> None:
    store.patch("pods", name, "default", {"status": status}, subresource="status")


def make_ready(store: Store, name: str) -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-24T08:00:00Z"}
    pod_status(store, name, phase="Running", podIP="127.77.0.9", conditions=[condition])


def bind(store: Store, name: str) -> None:
    """As the scheduler: only then a deletion waits for the kubelet."""
    store.patch("pods", name, "default", {"spec": {"nodeName": "n"}}, subresource="binding")


class Cluster:
    """The controllers alone; a test plays the kubelet."""

    def __init__(self, *controllers: Callable[[Store, FakeClock], Controller]) -> None:
        self.clock = FakeClock()
        self.store = new_store(clock=self.clock)
        self._make = controllers
        self.restart()

    def restart(self) -> None:
        """Controllers that know nothing of the past."""
        self.loop = ControllerLoop(self.store, self.clock, [make(self.store, self.clock) for make in self._make])

    def step(self, seconds: float = 0) -> None:
        self.clock.set(seconds)
        self.loop.step()


class Machine:
    """Controllers and kubelet with real processes and real time."""

    def __init__(self, store: Store, kubelet: Kubelet, data: Path) -> None:
        self.store, self.kubelet, self.data = store, kubelet, data

    def pod(self, name: str) -> dict[str, Any]:
        return self.store.find("pods", name, "default") or {}

    async def until(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        """As soon as the store says so; the deadline only ends a failing test."""
        async with asyncio.timeout(seconds):
            while True:
                position = self.store.history.end
                if value := condition():
                    return value
                await self.store.history.changed(position)

    async def until_phase(self, name: str, phase: str) -> dict[str, Any]:
        await self.until(lambda: self.pod(name).get("status", {}).get("phase") == phase)
        return self.pod(name)

    async def until_ready(self, name: str) -> dict[str, Any]:
        def ready() -> bool:
            return any(c["type"] == "Ready" and c["status"] == "True" for c in self.pod(name).get("status", {}).get("conditions", ()))

        await self.until(ready)
        return self.pod(name)

    async def until_gone(self, name: str) -> None:
        await self.until(lambda: not self.pod(name))

    def container(self, pod: str, name: str) -> dict[str, Any]:
        status = self.pod(pod).get("status", {})
        found = [c for c in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())) if c["name"] == name]
        return found[0] if found else {}

    def log(self, pod: str, container: str, restart: int = 0) -> str:
        meta = self.pod(pod)["metadata"]
        path = self.data / "pods" / f"default_{pod}_{meta['uid']}" / container / f"{restart}.log"
        return path.read_text() if path.exists() else ""

    def events(self, name: str) -> list[tuple[str, str]]:
        return [(e["reason"], e["message"]) for e in self.store.list("events") if e["involvedObject"]["name"] == name]


@asynccontextmanager
async def open_machine(
    data: Path,
    *,
    distinct: bool | None = None,
    controllers: Sequence[Callable[[Store, Any], Controller]] = (StatefulSetController,),
) -> AsyncIterator[Machine]:
    store = new_store(data / "store")
    launcher = await open_launcher(data / "lock", orphan_grace=2)
    kubelet = Kubelet(store, SystemClock(), launcher, {IMAGE: ()}, data, distinct=distinct)
    loop = ControllerLoop(store, SystemClock(), [make(store, SystemClock()) for make in controllers])
    tasks = [asyncio.create_task(kubelet.run()), asyncio.create_task(loop.run())]
    try:
        await kubelet.started.wait()
        yield Machine(store, kubelet, data)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await launcher.close()
        store._journal.close()


def python(code: str, name: str = "main", **more: Any) -> dict[str, Any]:
    """A container that runs this."""
    return {"name": name, "image": IMAGE, "command": ["python3", "-u", "-S", "-c", code], **more}


# A server of nothing that says when it is asked to end; `wait` seconds later it does.
def sleeper(name: str, wait: float = 0, code: int = 0) -> str:
    return (
        "import signal, sys, time\n"
        f"def end(*_):\n print('{name} asked', time.time()); time.sleep({wait}); print('{name} ends', time.time()); sys.exit({code})\n"
        f"signal.signal(signal.SIGTERM, end)\nprint('{name} up', time.time())\nwhile True: time.sleep(60)\n"
    )


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5, **spec},
    }


def statefulset(name: str, *containers: dict[str, Any], replicas: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": LABELS},
            "updateStrategy": {"type": "OnDelete"},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": list(containers), **spec},
            },
        },
    }
