"""A Kubernetes whose controllers and kubelet run: the miniature one, started here, or the real one of KUBECONFIG (marked `cluster`).

The same tests run against both, so that what the miniature one does is what the real one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moltbot_local.controllers import open_controllers
from moltbot_local.home import kubeconfig_text
from moltbot_local.kubelet.processes import open_launcher
from moltbot_local.kubelet.service import Kubelet
from moltbot_local.local_api import open_api
from moltbot_local.manifests import ensure_namespace
from tests.contract.client import Client, from_kubeconfig

# An image with python3 that the cluster has: `make e2e` has built it.
IMAGE = os.environ.get("MOLTBOT_CONTRACT_IMAGE", "localhost/moltbot-gateway:dev")
# A real kubelet notices an exit at its next relist and pulls nothing; the deadline only ends a failing test.
PATIENCE_SECONDS = 90.0


class AheadClock:
    """Real time, moved: a schedule of minutes need not be waited for."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def epoch(self) -> float:
        return time.time() + self.ahead

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Running:
    """A client in a namespace of this test's own."""

    def __init__(self, client: Client, clock: AheadClock | None) -> None:
        self.client, self._clock = client, clock
        self.local = clock is not None

    def almost(self, seconds_of_minute: int) -> None:
        """On the miniature one: let it be that second of a minute before the controllers look again."""
        if self._clock is not None:
            self._clock.ahead += (seconds_of_minute - self._clock.epoch()) % 60

    async def until(self, path: str, condition: Callable[[Any], Any]) -> Any:
        """The object, as soon as it is so. None stands for its absence."""
        latest: Any = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    answer = await self.client.get(path)
                    latest = None if answer.code == 404 else answer.ok()
                    if condition(latest):
                        return latest
                    await asyncio.sleep(0.05 if self.local else 0.3)
        except TimeoutError:
            pytest.fail(f"{path} stayed {latest}")

    async def items(self, path: str) -> list[Any]:
        return list((await self.client.get(path)).ok()["items"])

    def pod(self, name: str = "") -> str:
        return self.client.core("pods", name)

    def statefulset(self, name: str = "") -> str:
        return self.client.of("apps", "v1", "statefulsets", name)


@asynccontextmanager
async def open_local(directory: Path) -> AsyncIterator[Running]:
    clock = AheadClock()
    async with AsyncExitStack() as stack:
        launcher = await open_launcher(directory / "processes.lock", orphan_grace=2)
        stack.push_async_callback(launcher.close)
        pods = directory / "pods"
        api = await stack.enter_async_context(open_api(directory / "objects", clock, {"person": "t"}, log_root=pods))
        for name in ("default", "kube-system"):
            ensure_namespace(api.store, name)
        kubelet = Kubelet(api.store, clock, launcher, {IMAGE: ()}, directory)
        tasks = [asyncio.create_task(kubelet.run()), asyncio.create_task(open_controllers(api.store, clock, directory).run())]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        stack.push_async_callback(end)
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(kubeconfig_text(api.url, "person", "t", authority=api.authority))
        client = await stack.enter_async_context(from_kubeconfig(kubeconfig))
        yield Running(client, clock)


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Running]:
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        pytest.skip("KUBECONFIG names no cluster")
    async with from_kubeconfig(Path(kubeconfig)) as client:
        yield Running(client, None)


@pytest.fixture(params=["local", pytest.param("cluster", marks=pytest.mark.cluster)])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    opening = open_local(tmp_path) if request.param == "local" else open_cluster()
    async with opening as running:
        name = running.client.namespace = f"contract-{uuid.uuid4().hex[:8]}"
        (await running.client.create("/api/v1/namespaces", {"metadata": {"name": name}})).ok()
        # As soon as it has its account, pods are admitted.
        await running.until(running.client.core("serviceaccounts", "default"), lambda found: found is not None)
        try:
            yield running
        finally:
            await running.client.delete(f"/api/v1/namespaces/{name}")


def python(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-u", "-c", code], **more}


def sleeper(seconds_to_end: float = 0) -> str:
    """Runs until SIGTERM, then takes so long to end."""
    return (
        "import signal, sys, time\n"
        f"def end(*_):\n time.sleep({seconds_to_end}); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nwhile True: time.sleep(60)\n"
    )


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 20, **spec}}


def statefulset(name: str, *containers: dict[str, Any], replicas: int = 0, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 20, "containers": list(containers), **spec}}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "OnDelete"},
            "template": template,
        },
    }


def is_ready(pod: Any) -> bool:
    conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def containers(pod: Any) -> dict[str, Any]:
    status = (pod or {}).get("status") or {}
    return {c["name"]: c for c in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))}
