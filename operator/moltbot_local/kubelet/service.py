"""The kubelet: a worker for every pod, woken by what changes in the store."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..clock import Clock
from ..errors import ApiError
from ..events import Recorder
from ..history import Change
from ..selectors import matching_labels
from ..store import Store
from .addresses import SHARED, Addresses, whole_loopback_answers
from .machine import Machine
from .pod import PodWorker
from .podspec import sockets
from .probes import open_session
from .processes import Launcher
from .records import NODE, NODE_ADDRESS

log = logging.getLogger(__name__)

# What a pod's environment and volumes are made of.
SOURCES = frozenset({"secrets", "configmaps"})


class Kubelet:
    """`run()` until cancelled; `drain()` first, so that every pod ends within its own grace and its object says so."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        launcher: Launcher,
        images: Mapping[str, tuple[str, ...]],
        data: Path,
        *,
        distinct: bool | None = None,
    ) -> None:
        self.store = store
        self.workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._clock = clock
        self._launcher = launcher
        self._images, self._data = images, data
        self._distinct = whole_loopback_answers() if distinct is None else distinct
        self.machine: Machine | None = None
        self.started = asyncio.Event()

    async def run(self) -> None:
        (self._data / "pods").mkdir(parents=True, exist_ok=True, mode=0o700)
        async with open_session() as session:
            self.machine = Machine(
                store=self.store,
                clock=self._clock,
                launcher=self._launcher,
                addresses=Addresses(distinct=self._distinct, kept=self._data / "last-address"),
                images=self._images,
                data=self._data,
                recorder=Recorder(self.store, self._clock, "kubelet"),
                session=session,
                resolve=self.resolve,
                owner_of_port=self.owner_of_port,
            )
            self._register_node()
            await self._sweep()
            try:
                await self._follow()
            finally:
                for _, task in self.workers.values():
                    task.cancel()
                await asyncio.gather(*(task for _, task in self.workers.values()), return_exceptions=True)

    async def _follow(self) -> None:
        history = self.store.history
        while True:
            position = history.end
            for entry in self.store.entries("pods"):
                self._see_pod(entry.item["metadata"]["uid"], entry.item)
            for worker, _ in self.workers.values():
                worker.wake()
            self.started.set()
            with contextlib.suppress(ApiError):  # 410: too far behind, so look at everything again
                while True:
                    await history.changed(position)
                    changes = history.after(position)
                    position = history.end
                    for change in changes:
                        self._see(change)

    def _see(self, change: Change) -> None:
        item = change.entry.item
        if change.key == "pods":
            if change.type != "DELETED":
                self._see_pod(item["metadata"]["uid"], item)
            found = self.workers.get(item["metadata"]["uid"])
            # Its own status is no news to a worker.
            if found is not None and (change.type != "MODIFIED" or _asks(item) != _asks(change.before.item if change.before else {})):
                found[0].wake()
        elif change.key in SOURCES or change.key == "persistentvolumeclaims":
            for worker, _ in self.workers.values():
                if worker.spec.namespace == change.namespace:
                    worker.sources_changed |= change.key in SOURCES
                    for record in worker.records.values():
                        record.retry_at = 0
                    worker.wake()

    def _see_pod(self, uid: str, item: Mapping[str, object]) -> None:
        if uid in self.workers or self.machine is None or self.machine.shutting_down:
            return
        worker = PodWorker(self.machine, item)
        task = asyncio.create_task(worker.run(), name=f"pod {worker.spec.namespace}/{worker.spec.name}")
        self.workers[uid] = (worker, task)
        task.add_done_callback(lambda done: self._ended(uid, done))

    def _ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        worker, _ = self.workers.pop(uid)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a pod's worker failed, it is taken up again: %s/%s", worker.spec.namespace, worker.spec.name, exc_info=error)
            asyncio.get_running_loop().call_later(1, self._see_again, uid)

    def _see_again(self, uid: str) -> None:
        entry = next((e for e in self.store.entries("pods") if e.item["metadata"]["uid"] == uid), None)
        if entry is not None:
            self._see_pod(uid, entry.item)

    def _register_node(self) -> None:
        with contextlib.suppress(ApiError):
            if self.store.find("nodes", NODE) is None:
                self.store.create("nodes", {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}, "spec": {}})
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "this machine runs pods as processes"}
            addresses = [{"type": "InternalIP", "address": NODE_ADDRESS}, {"type": "Hostname", "address": NODE}]
            self.store.patch_status("nodes", NODE, None, {"conditions": [ready], "addresses": addresses})

    async def _sweep(self) -> None:
        """Directories of pods that are gone."""
        kept = {"{namespace}_{name}_{uid}".format(**entry.item["metadata"]) for entry in self.store.entries("pods")}
        for directory in (self._data / "pods").iterdir():
            if directory.name not in kept:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def drain(self) -> None:
        """End every pod within its grace; their objects stay, marked as ended by a shutdown. Cancellation is safe."""
        if self.machine is None:
            return
        self.machine.shutting_down = True
        tasks = []
        for worker, task in self.workers.values():
            worker.wake()
            tasks.append(task)
        if tasks:
            await asyncio.wait(tasks)

    def running(self) -> list[str]:
        """Names of the pods that have a process now."""
        return sorted(w.spec.name for w, _ in self.workers.values() if any(r.process for r in w.records.values()))

    # --- what pods ask about each other ---------------------------------------------------------------------------------

    def resolve(self, name: str, namespace: str) -> str | None:
        """The address of the pod behind a Service; a pod that is ending only when there is no other."""
        service = self.store.entry("services", name, namespace)
        selector = (service.item.get("spec") or {}).get("selector") if service is not None else None
        if not selector:
            return None
        found = [entry.item for entry in self.store.entries("pods", namespace, matching_labels(selector))]
        found = [p for p in found if (p.get("status") or {}).get("podIP") and p["status"].get("phase") not in ("Succeeded", "Failed")]
        found.sort(key=lambda pod: ("deletionTimestamp" in pod["metadata"], pod["metadata"]["creationTimestamp"]))
        return str(found[0]["status"]["podIP"]) if found else None

    def owner_of_port(self, address: str, port: int, uid: str) -> str:
        for worker, _ in self.workers.values():
            running = [r.container for r in worker.records.values() if r.process is not None]
            if worker.spec.uid != uid and worker.address == address and any(number == port for _, number in sockets(running)):
                shared = ": only 127.0.0.1 answers on this machine, so one Moltbot can be awake at a time" if address == SHARED else ""
                return f"pod {worker.spec.namespace}/{worker.spec.name}{shared}; it can start when that one has ended"
        return f"another program (`lsof -nP -i :{port}` names it); it can start when that one has ended"


def _asks(pod: Mapping[str, object]) -> object:
    """What of a pod's object concerns its worker: that it ends, and how fast."""
    meta = pod.get("metadata")
    if not isinstance(meta, Mapping):
        return None
    return meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
