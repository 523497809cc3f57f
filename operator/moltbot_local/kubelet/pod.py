"""One pod's life: what `decide` says is done with processes, volumes and probes, and told in the pod's status.

A worker is asked to look again (`wake`) after everything that may matter; what it does then depends only on what is true then. It ends
when the pod's object is gone or, at the end of a deletion, when it has removed the object itself.
"""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..claims import claim_directory
from ..errors import ApiError
from .addresses import taken_ports
from .decide import Decision, Phase, Stopping, decide_pod
from .environment import ConfigError, Surroundings, build_invocation
from .machine import Machine
from .podspec import Container, Json, parse_pod, sockets
from .prober import Prober
from .processes import CannotStart, Process
from .records import NODE, Record, began, build_status
from .volumes import MountError, build_volumes

log = logging.getLogger(__name__)

# How soon something is tried again that failed and tells nobody when it is mended (a port, a class of storage), in seconds.
RETRY_SECONDS = 2.0
# An image that does not exist appears at the earliest with the next start of this program; the kubelet's first back-off.
IMAGE_RETRY_SECONDS = 10.0
# kuberuntime_container.go: what of a log becomes a termination message.
MESSAGE_BYTES, MESSAGE_LINES = 2048, 80
SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")


class PodWorker:
    def __init__(self, machine: Machine, pod: Mapping[str, Json]) -> None:
        self.machine = machine
        self.spec = parse_pod(pod)
        self.records = {c.name: Record(c) for c in self.spec.containers}
        self.address = str((pod.get("status") or {}).get("podIP") or "")
        self.directory = machine.pod_directory(self.spec)
        self.volumes: dict[str, Path] | None = None
        self.stopping: Stopping | None = None
        # Why the kubelet itself ends the pod, and how it ended: from then on only the object is left.
        self.failed: tuple[str, str] | None = None
        self.done: Phase | None = None
        self.sources_changed = False
        self._wake = asyncio.Event()
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._retry: float | None = None
        self._restore(pod.get("status") or {})

    def _restore(self, status: Mapping[str, Json]) -> None:
        """A pod of an earlier run of this program: its processes are gone, its restart counts and address stay."""
        now = self.machine.clock.epoch()
        if status.get("phase") in ("Succeeded", "Failed"):
            self.done = Phase(status["phase"])
        for kind in ("initContainerStatuses", "containerStatuses"):
            for found in status.get(kind) or ():
                if found.get("name") in self.records:
                    self.records[found["name"]].on_new_machine(found, now)
        if self.address:
            self.machine.addresses.keep(self.address)

    def wake(self) -> None:
        self._wake.set()

    # --- the loop -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            while await self._look():
                pass
        finally:
            await self._leave()

    async def _look(self) -> bool:
        """One round; False when nothing is left to do."""
        self._wake.clear()
        machine, now = self.machine, self.machine.clock.epoch()
        pod = machine.store.find("pods", self.spec.name, self.spec.namespace)
        if pod is None or pod["metadata"]["uid"] != self.spec.uid:
            # Gone without us (deleted with grace 0): nothing of it may go on.
            self.stopping = Stopping(now, 0)
            pod = None
        else:
            self._see_end(pod, now)
        self._retry = None
        if self.done is None and self.stopping is None and not await self._prepare(pod):
            return await self._wait(None)
        facts = {name: record.facts(now) for name, record in self.records.items()}
        if self.done is not None:
            decision = Decision(done=self.done, initialized=True)
        else:
            decision = decide_pod(self.spec, facts, self.stopping, now)
            await self._act(decision, pod)
            if decision.done is not None and self.stopping is None:
                self.done = decision.done
        if pod is not None:
            self._tell(pod, decision)
        if decision.done is not None:
            if pod is None:
                return False
            if "deletionTimestamp" in pod["metadata"] or machine.shutting_down:
                if "deletionTimestamp" in pod["metadata"]:
                    self._remove_object()
                return False
            if self.failed is not None:
                self.done = Phase.FAILED
        return await self._wait(decision.again)

    def _see_end(self, pod: Mapping[str, Json], now: float) -> None:
        """Why the whole pod is to stop, if it is; a grace that was shortened counts from now."""
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:
            grace = float(meta.get("deletionGracePeriodSeconds") or 0)
        elif self.machine.shutting_down:
            grace, self.failed = self.spec.grace, SHUTDOWN
        elif self.spec.active_deadline is not None and now >= began(pod.get("status") or {}, now) + self.spec.active_deadline:
            grace = self.spec.grace
            self.failed = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        else:
            return
        if self.stopping is None or grace < self.stopping.grace:
            self.stopping = Stopping(now, grace)

    async def _wait(self, again: float | None) -> bool:
        times = [t for t in (again, self._retry, *(r.retry_at for r in self.records.values() if r.waiting)) if t is not None]
        if self.spec.active_deadline is not None and self.stopping is None and self.done is None:
            entry = self.machine.store.entry("pods", self.spec.name, self.spec.namespace)
            if entry is not None:
                now = self.machine.clock.epoch()
                times.append(began(entry.item.get("status") or {}, now) + self.spec.active_deadline)
        if not times:
            await self._wake.wait()
            return True
        seconds = max(min(times) - self.machine.clock.epoch(), 0)
        woken = asyncio.ensure_future(self._wake.wait())
        slept = asyncio.ensure_future(self.machine.clock.sleep(seconds))
        try:
            await asyncio.wait({woken, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()
        return True

    # --- before the first container -------------------------------------------------------------------------------------

    async def _prepare(self, pod: Mapping[str, Json] | None) -> bool:
        """Scheduled, an address, volumes. False: not yet, and the status says why."""
        assert pod is not None
        machine = self.machine
        claims, problem = self._claims()
        if problem:
            self._tell_unscheduled(pod, problem)
            return False
        if not (pod["spec"] or {}).get("nodeName"):
            machine.store.patch(
                "pods", self.spec.name, self.spec.namespace, {"spec": {"nodeName": NODE}}, subresource="binding", manager="kube-scheduler"
            )
            machine.recorder.normal(pod, "Scheduled", f"Successfully assigned {self.spec.namespace}/{self.spec.name} to {NODE}")
        if not self.address:
            self.address = machine.addresses.take([port for _, port in sockets(self.spec.containers)])
            # The address is told before anything else is done: who waits for the pod waits for that.
            self._tell(pod, Decision())
        if self.volumes is not None and not self.sources_changed:
            return True
        self.sources_changed = False
        for name in (".home", ".tmp", ".volumes", *self.records):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self.volumes = await build_volumes(self.spec.volumes, self.directory / ".volumes", self._surroundings(pod), claims)
        except MountError as error:
            machine.recorder.warning(pod, "FailedMount", str(error))
            self._retry = machine.clock.epoch() + RETRY_SECONDS
            if self.volumes is None:
                self._tell(pod, Decision())
                return False
        return True

    def _claims(self) -> tuple[dict[str, Path], str]:
        found: dict[str, Path] = {}
        for name in self.spec.claims():
            claim = self.machine.store.entry("persistentvolumeclaims", name, self.spec.namespace)
            if claim is None:
                return {}, f'0/1 nodes are available: persistentvolumeclaim "{name}" not found.'
            if "deletionTimestamp" in claim.item["metadata"] and self.volumes is None:
                return {}, f'0/1 nodes are available: persistentvolumeclaim "{name}" is being deleted.'
            if (claim.item.get("status") or {}).get("phase") != "Bound":
                return {}, "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
            found[name] = claim_directory(self.machine.data, claim.item)
        return found, ""

    def _tell_unscheduled(self, pod: Mapping[str, Json], problem: str) -> None:
        before = (pod.get("status") or {}).get("conditions") or []
        if any(c["type"] == "PodScheduled" and c.get("message") == problem for c in before):
            return
        self.machine.recorder.warning(pod, "FailedScheduling", problem)
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": problem}
        self._write_status({"phase": "Pending", "conditions": [condition]})

    def _surroundings(self, pod: Mapping[str, Json]) -> Surroundings:
        store, namespace = self.machine.store, self.spec.namespace

        def look(kind: str, name: str) -> Mapping[str, Json] | None:
            entry = store.entry(kind, name, namespace)
            return None if entry is None else entry.item

        return Surroundings(
            pod=pod,
            address=self.address,
            secret=lambda name: look("secrets", name),
            config_map=lambda name: look("configmaps", name),
            service=self.machine.resolve,
            volumes=self.volumes or {},
            home=self.directory / ".home",
            scratch=self.directory / ".tmp",
        )

    # --- containers -----------------------------------------------------------------------------------------------------

    async def _act(self, decision: Decision, pod: Mapping[str, Json] | None) -> None:
        now = self.machine.clock.epoch()
        for name in decision.kill:
            self.records[name].killed = True
            process = self.records[name].process
            if process is not None:
                process.kill()
        for name in decision.terminate:
            record = self.records[name]
            record.asked = now
            if record.process is not None:
                if pod is not None:
                    self.machine.recorder.normal(pod, "Killing", f"Stopping container {name}", self._field(record.container))
                record.process.terminate()
        for name in decision.start:
            if pod is not None:
                await self._start(self.records[name], pod)

    def _field(self, container: Container) -> str:
        kind = "containers" if container in self.spec.main else "initContainers"
        return f"spec.{kind}{{{container.name}}}"

    def _hold(self, record: Record, pod: Mapping[str, Json], reason: str, message: str, *, seconds: float, event: str) -> None:
        """It cannot start now: say so, and look again after so many seconds or when something is changed."""
        if record.waiting != (reason, message):
            self.machine.recorder.warning(pod, event, message, self._field(record.container))
        record.waiting = (reason, message)
        record.retry_at = self.machine.clock.epoch() + seconds

    async def _start(self, record: Record, pod: Mapping[str, Json]) -> None:
        machine, container = self.machine, record.container
        if container.image not in machine.images:
            known = ", ".join(sorted(machine.images))
            why = f'failed to pull image "{container.image}": on this machine only these images exist: {known}'
            if record.waiting is not None and record.waiting[0].startswith(("ErrImagePull", "ImagePullBackOff")):
                words = f'Back-off pulling image "{container.image}": ErrImagePull: {why}'
                self._hold(record, pod, "ImagePullBackOff", words, seconds=IMAGE_RETRY_SECONDS, event="BackOff")
            else:
                self._hold(record, pod, "ErrImagePull", why, seconds=IMAGE_RETRY_SECONDS, event="Failed")
            return
        taken = taken_ports(self.address, [port for _, port in sockets([container])])
        if taken:
            whose = machine.owner_of_port(self.address, taken[0], self.spec.uid)
            self._hold(
                record, pod, "PortTaken", f"port {taken[0]} of {self.address} is taken by {whose}", seconds=RETRY_SECONDS, event="Failed"
            )
            return
        try:
            # The environment is what is true now, not what was when the pod began: a restarted container sees changed Secrets.
            fresh = machine.store.find("pods", self.spec.name, self.spec.namespace) or pod
            invocation = build_invocation(self.spec, container, machine.images[container.image], self._surroundings(fresh))
        except ConfigError as error:
            self._hold(record, pod, error.reason, str(error), seconds=RETRY_SECONDS, event="Failed")
            return
        log_file = self.directory / container.name / f"{record.starts}.log"
        identity = f"{self.spec.namespace}/{self.spec.name}/{self.spec.uid}/{container.name}/{record.starts}"
        now = machine.clock.epoch()
        try:
            process = await machine.launcher.start(identity, invocation.argv, invocation.env, invocation.cwd, log_file)
        except CannotStart as error:
            machine.recorder.warning(pod, "Failed", f"Error: {error}", self._field(container))
            record.on_failed_start(str(error), now)
            self.wake()
            return
        record.on_start(process, now)
        machine.recorder.normal(pod, "Started", f"Started container {container.name}", self._field(container))
        if container.pre_stop is not None:
            machine.recorder.warning(pod, "NotCarriedOut", "preStop hooks are not carried out on this machine", self._field(container))
        self._spawn(container.name, self._follow(record, process, log_file))
        prober = Prober(record, invocation, self.address, self.machine, wake=self.wake, unhealthy=partial(self._say_unhealthy, record))
        self._spawn(container.name, prober.run())
        if record.starts == 1 or record.restarts:
            self.wake()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.setdefault(name, []).append(asyncio.create_task(work, name=f"{self.spec.name}/{name}"))

    async def _follow(self, record: Record, process: Process, log_file: Path) -> None:
        how = await process.wait()
        message = ""
        if how.code != 0 and record.container.termination_fallback:
            message = await asyncio.to_thread(read_tail, log_file)
        for task in self._tasks.pop(record.container.name, []):
            if task is not asyncio.current_task():
                task.cancel()
        record.on_exit(how, message, self.machine.clock.epoch())
        entry = self.machine.store.entry("pods", self.spec.name, self.spec.namespace)
        wait = record.backoff.until(record.ended.at) - self.machine.clock.epoch() if record.ended else 0
        if entry is not None and wait > 0 and self.stopping is None and self.spec.restarts(record.container, how.code):
            pod = f"{self.spec.name}_{self.spec.namespace}({self.spec.uid})"
            words = f"Back-off restarting failed container {record.container.name} in pod {pod}"
            self.machine.recorder.warning(entry.item, "BackOff", words, self._field(record.container))
        self.wake()

    def _say_unhealthy(self, record: Record, words: str) -> None:
        entry = self.machine.store.entry("pods", self.spec.name, self.spec.namespace)
        if entry is not None and self.stopping is None:
            self.machine.recorder.warning(entry.item, "Unhealthy", words, self._field(record.container))

    # --- telling, leaving -----------------------------------------------------------------------------------------------

    def _tell(self, pod: Mapping[str, Json], decision: Decision) -> None:
        if self.done is not None and (pod.get("status") or {}).get("phase") == self.done.value:
            return  # said before, perhaps by an earlier run
        status = build_status(
            self.spec,
            self.records,
            decision,
            pod.get("status") or {},
            address=self.address,
            ready_to_start=self.volumes is not None,
            now=self.machine.clock.epoch(),
            failed=self.failed,
        )
        self._write_status(status)

    def _write_status(self, status: dict[str, Json]) -> None:
        def change(present: dict[str, Json]) -> dict[str, Json]:
            return {**present, "status": status}

        with contextlib.suppress(ApiError):  # the object went away between
            self.machine.store.patch(
                "pods", self.spec.name, self.spec.namespace, change, subresource="status", manager="kubelet"
            )  # fmt: skip

    def _remove_object(self) -> None:
        with contextlib.suppress(ApiError):
            self.machine.store.delete("pods", self.spec.name, self.spec.namespace, uid=self.spec.uid, grace_seconds=0)

    async def _leave(self) -> None:
        """Nothing of the pod runs on after this: whatever ended us, its processes are killed and gone."""
        for record in self.records.values():
            if record.process is not None:
                record.process.kill()
                await record.process.wait()
        for task in [task for tasks in self._tasks.values() for task in tasks]:
            task.cancel()
        self.machine.addresses.give_back(self.address)
        entry = self.machine.store.entry("pods", self.spec.name, self.spec.namespace)
        if entry is None or entry.item["metadata"]["uid"] != self.spec.uid:
            await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)


def read_tail(path: Path) -> str:
    """The end of a log, as a termination message. Blocking."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - MESSAGE_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-MESSAGE_LINES:]) + ("\n" if text.endswith("\n") else "")
