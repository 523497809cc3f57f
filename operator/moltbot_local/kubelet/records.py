"""What the kubelet knows of each container of a running pod, and how that looks as `status`: no I/O, the time is given."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..clock import from_rfc3339, to_rfc3339
from .backoff import Backoff
from .decide import Decision, Ended, Facts, Phase
from .podspec import Container, Json, PodSpec
from .processes import Exit, Process

NODE = "this-machine"
NODE_ADDRESS = "127.0.0.1"


@dataclass
class Record:
    """One container's life in its pod. `starts` counts its processes, so that the restart count of the running one is one less."""

    container: Container
    starts: int = 0
    process: Process | None = None
    started_at: float = 0
    container_id: str = ""
    ended: Ended | None = None
    # How the latest process ended, as `terminated` of a container state; kept while the next one waits or runs.
    terminated: dict[str, Json] | None = None
    started: bool = False
    ready: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    asked: float | None = None
    killed: bool = False
    unhealthy: float | None = None
    # Why it cannot start, and when that is looked at again.
    waiting: tuple[str, str] | None = None
    retry_at: float = 0

    @property
    def restarts(self) -> int:
        return max(self.starts - 1, 0)

    def facts(self, now: float) -> Facts:
        return Facts(
            runs=self.process is not None,
            started=self.started,
            ended=self.ended,
            backoff=self.backoff,
            asked=self.asked,
            killed=self.killed,
            unhealthy=self.unhealthy,
            blocked=self.waiting is not None and now < self.retry_at,
        )

    def on_start(self, process: Process, now: float) -> None:
        if self.ended is not None:
            self.backoff = self.backoff.restarted(self.ended.at, now)
        self.starts += 1
        self.process, self.started_at, self.container_id = process, now, f"local://{uuid.uuid4().hex}"
        self.ended = self.asked = self.unhealthy = self.waiting = None
        self.killed = False
        self.started = self.container.startup is None
        self.ready = self.started and self.container.readiness is None

    def on_exit(self, how: Exit, message: str, now: float) -> None:
        self.process = None
        self.started = self.ready = self.killed = False
        self.asked = self.unhealthy = None
        self.ended = Ended(how.code, now)
        self.terminated = {
            "exitCode": how.code,
            "reason": "Completed" if how.code == 0 else "Error",
            "startedAt": to_rfc3339(self.started_at),
            "finishedAt": to_rfc3339(now),
            "containerID": self.container_id,
        }
        if how.signal:
            self.terminated["signal"] = how.signal
        if message:
            self.terminated["message"] = message

    def on_failed_start(self, message: str, now: float) -> None:
        """The program could not be executed: as a runtime's StartError."""
        if self.ended is not None:
            self.backoff = self.backoff.restarted(self.ended.at, now)
        self.starts += 1
        self.started_at, self.container_id = now, f"local://{uuid.uuid4().hex}"
        self.on_exit(Exit(128, 0), message, now)
        assert self.terminated is not None
        self.terminated["reason"] = "StartError"

    def on_startup_passed(self) -> None:
        self.started = True
        self.ready = self.container.readiness is None

    def on_new_machine(self, status: Mapping[str, Json], now: float) -> None:
        """A status from before this kubelet started: its process is gone, as after a reboot of a node."""
        state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
        running = state.get("running")
        ran = bool(running or state.get("terminated") or last)
        self.starts = int(status.get("restartCount") or 0) + (1 if ran else 0)
        self.container_id = status.get("containerID") or ""
        if running:
            self.terminated = {
                "exitCode": 255,
                "reason": "Unknown",
                "startedAt": running.get("startedAt"),
                "finishedAt": to_rfc3339(now),
                "containerID": self.container_id,
            }
        else:
            self.terminated = state.get("terminated") or last

    def status(self, spec: PodSpec, now: float) -> dict[str, Json]:
        state: dict[str, Json]
        last: dict[str, Json] = {}
        if self.process is not None:
            state = {"running": {"startedAt": to_rfc3339(self.started_at)}}
            last = {"terminated": self.terminated} if self.terminated else {}
        elif self.waiting is not None:
            state = {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
            last = {"terminated": self.terminated} if self.terminated else {}
        elif self.ended is not None and spec.restarts(self.container, self.ended.code) and self.backoff.until(self.ended.at) > now:
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": self.backoff_words(spec)}}
            last = {"terminated": self.terminated} if self.terminated else {}
        elif self.ended is not None:
            state = {"terminated": self.terminated}
        else:
            reason = "PodInitializing" if spec.init and self.container in spec.main else "ContainerCreating"
            state = {"waiting": {"reason": reason}}
            last = {"terminated": self.terminated} if self.terminated else {}
        # A classic init container is ready when it has done its work.
        done = self.container in spec.init and not self.container.sidecar and self.ended is not None and self.ended.code == 0
        found: dict[str, Json] = {
            "name": self.container.name,
            "image": self.container.image,
            "imageID": f"local://{self.container.image}" if self.starts else "",
            "ready": done or (self.process is not None and self.ready),
            "started": self.process is not None and self.started,
            "restartCount": self.restarts,
            "state": state,
            "lastState": last,
        }
        if self.container_id:
            found["containerID"] = self.container_id
        return found

    def backoff_words(self, spec: PodSpec) -> str:
        minutes, seconds = divmod(int(self.backoff.seconds), 60)
        wait = f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
        return f"back-off {wait} restarting failed container={self.container.name} pod={spec.name}_{spec.namespace}({spec.uid})"


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> dict[str, Json]:
    found: dict[str, Json] = {"type": kind, "status": "True" if holds else "False"}
    return found | ({"reason": reason, "message": message} if not holds and reason else {})


def _names(containers: Sequence[str]) -> str:
    return f"[{' '.join(containers)}]"


def _conditions(statuses: Mapping[str, dict[str, Json]], spec: PodSpec, decision: Decision, ready_to_start: bool) -> list[dict[str, Json]]:
    initialized = decision.initialized or decision.done is Phase.SUCCEEDED
    incomplete = [
        c.name for c in spec.init if not (statuses[c.name]["started"] if c.sidecar else statuses[c.name]["ready"])
    ]  # fmt: skip
    unready = [c.name for c in spec.containers if (c.sidecar or c in spec.main) and not statuses[c.name]["ready"]]
    done = decision.done is Phase.SUCCEEDED
    reason = "PodCompleted" if done else "PodFailed" if decision.done else "ContainersNotReady"
    words = f"containers with unready status: {_names(unready)}" if not decision.done else ""
    is_ready = initialized and not unready and decision.done is None
    return [
        _condition("PodReadyToStartContainers", ready_to_start),
        _condition("Initialized", initialized, "ContainersNotInitialized", f"containers with incomplete status: {_names(incomplete)}"),
        _condition("Ready", is_ready, reason, words),
        _condition("ContainersReady", is_ready, reason, words),
        _condition("PodScheduled", True),
    ]


def keep_times(conditions: list[dict[str, Any]], before: Sequence[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """`lastTransitionTime` moves only with `status`."""
    old = {c["type"]: c for c in before}
    for condition in conditions:
        previous = old.get(condition["type"])
        same = previous is not None and previous.get("status") == condition["status"]
        condition["lastProbeTime"] = None
        condition["lastTransitionTime"] = previous["lastTransitionTime"] if same and previous else to_rfc3339(now)
    return conditions


def _phase(records: Mapping[str, Record], spec: PodSpec, decision: Decision) -> str:
    if decision.done is not None:
        return decision.done.value
    mains = [records[c.name] for c in spec.main]
    if not decision.initialized and not any(r.process or r.ended for r in mains):
        return "Pending"
    # A container that never ran keeps its pod pending.
    return "Running" if all(r.process or r.ended or r.starts for r in mains) else "Pending"


def build_status(
    spec: PodSpec,
    records: Mapping[str, Record],
    decision: Decision,
    before: Mapping[str, Json],
    *,
    address: str,
    ready_to_start: bool,
    now: float,
    failed: tuple[str, str] | None = None,
) -> dict[str, Json]:
    """The whole `status`. `before`: the present one. `failed`: (reason, message) when the kubelet ends the pod."""
    statuses = {name: record.status(spec, now) for name, record in records.items()}
    status: dict[str, Json] = {
        "phase": _phase(records, spec, decision),
        "conditions": keep_times(_conditions(statuses, spec, decision, ready_to_start), before.get("conditions") or (), now),
        "hostIP": NODE_ADDRESS,
        "hostIPs": [{"ip": NODE_ADDRESS}],
        "qosClass": before.get("qosClass") or "Burstable",
        "startTime": before.get("startTime") or to_rfc3339(now),
        "containerStatuses": [statuses[c.name] for c in spec.main],
    }
    if spec.init:
        status["initContainerStatuses"] = [statuses[c.name] for c in spec.init]
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    if failed is not None:
        status |= {"reason": failed[0], "message": failed[1]}
        if decision.done is not None:
            status["phase"] = "Failed"
    return status


def began(status: Mapping[str, Json], now: float) -> float:
    return from_rfc3339(status["startTime"]) if status.get("startTime") else now
