"""What `kubectl get` prints of the built-in kinds. Source: `k8s.io/kubernetes/pkg/printers/internalversion`, seen on a 1.36 server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .resources import Column, Object

NONE = "<none>"


def _get(item: Any, path: str, default: Any = None) -> Any:
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return default if item is None else item


def _pod_ready(pod: Object) -> str:
    statuses = [*_get(pod, "status.containerStatuses", [])]
    total = len(_get(pod, "spec.containers", []))
    for container in _get(pod, "spec.initContainers", []):
        if container.get("restartPolicy") == "Always":
            total += 1
            statuses += [item for item in _get(pod, "status.initContainerStatuses", []) if item.get("name") == container["name"]]
    return f"{sum(bool(item.get('ready')) for item in statuses)}/{total}"


def _pod_status(pod: Object) -> str:
    reason = _get(pod, "status.reason") or _get(pod, "status.phase") or "Unknown"
    restartable = {item["name"] for item in _get(pod, "spec.initContainers", []) if item.get("restartPolicy") == "Always"}
    initializing = False
    total = len(_get(pod, "spec.initContainers", []))
    for index, status in enumerate(_get(pod, "status.initContainerStatuses", [])):
        ended, waiting = _get(status, "state.terminated"), _get(status, "state.waiting")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if status.get("name") in restartable and status.get("started"):
            continue
        if ended is not None:
            reason = "Init:" + (ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
        elif waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = "Init:" + waiting["reason"]
        else:
            reason = f"Init:{index}/{total}"
        initializing = True
        break
    if not initializing:
        running = False
        for status in reversed(_get(pod, "status.containerStatuses", [])):
            ended, waiting = _get(status, "state.terminated"), _get(status, "state.waiting")
            if waiting is not None and waiting.get("reason"):
                reason = waiting["reason"]
            elif ended is not None:
                reason = ended.get("reason") or (
                    f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}"
                )
            elif status.get("ready") and _get(status, "state.running") is not None:
                running = True
        if reason == "Completed" and running:
            reason = "Running"
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else str(reason)


def _pod_restarts(pod: Object) -> str:
    statuses = [*_get(pod, "status.containerStatuses", []), *_get(pod, "status.initContainerStatuses", [])]
    return str(sum(int(status.get("restartCount") or 0) for status in statuses))


def _names(containers: list[Object]) -> str:
    return ",".join(item.get("name", "") for item in containers) or NONE


def _images(containers: list[Object]) -> str:
    return ",".join(item.get("image", "") for item in containers) or NONE


def _labels(selector: Object | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items())) or NONE


def _ports(service: Object) -> str:
    return ",".join(f"{port['port']}/{port['protocol']}" for port in _get(service, "spec.ports", [])) or NONE


def _modes(modes: list[str]) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(mode, mode) for mode in modes)


def _node_status(node: Object) -> str:
    conditions: list[Object] = _get(node, "status.conditions", [])
    ready: Object = next((item for item in conditions if item.get("type") == "Ready"), {})
    words = ["Ready" if ready.get("status") == "True" else "NotReady"]
    return ",".join([*words, "SchedulingDisabled"] if _get(node, "spec.unschedulable") else words)


def _address(node: Object, kind: str) -> str:
    return next((str(item["address"]) for item in _get(node, "status.addresses", []) if item.get("type") == kind), NONE)


def _job_status(job: Object) -> str:
    for condition in _get(job, "status.conditions", []):
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            return "Complete" if condition["type"] == "Complete" else "Failed"
    if _get(job, "spec.suspend"):
        return "Suspended"
    return "Running"


def _event_object(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _column(name: str, value: str | Callable[[Object], Any], kind: str = "string", priority: int = 0, default: Any = "") -> Column:
    if callable(value):
        return Column(name, kind, value, priority=priority)
    path: str = value
    return Column(name, kind, lambda item: _get(item, path, default), priority=priority)


_AGE = Column("Age", "date", ".metadata.creationTimestamp")

COLUMNS: dict[str, tuple[Column, ...]] = {
    "Namespace": (_column("Status", "status.phase"), _AGE),
    "Node": (
        _column("Status", _node_status),
        _column("Roles", lambda _: NONE),
        _AGE,
        _column("Version", "status.nodeInfo.kubeletVersion"),
        _column("Internal-IP", lambda item: _address(item, "InternalIP"), priority=1),
        _column("External-IP", lambda item: _address(item, "ExternalIP"), priority=1),
        _column("OS-Image", "status.nodeInfo.osImage", priority=1, default="<unknown>"),
        _column("Kernel-Version", "status.nodeInfo.kernelVersion", priority=1, default="<unknown>"),
        _column("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", priority=1, default="<unknown>"),
    ),
    "Pod": (
        _column("Ready", _pod_ready),
        _column("Status", _pod_status),
        _column("Restarts", _pod_restarts),
        _AGE,
        _column("IP", "status.podIP", priority=1, default=NONE),
        _column("Node", "spec.nodeName", priority=1, default=NONE),
        _column("Nominated Node", "status.nominatedNodeName", priority=1, default=NONE),
        _column("Readiness Gates", lambda _: NONE, priority=1),
    ),
    "Secret": (_column("Type", "type"), _column("Data", lambda item: len(item.get("data") or {}), "integer"), _AGE),
    "ConfigMap": (_column("Data", lambda item: len(item.get("data") or {}) + len(item.get("binaryData") or {}), "integer"), _AGE),
    "Service": (
        _column("Type", "spec.type"),
        _column("Cluster-IP", "spec.clusterIP", default=NONE),
        _column("External-IP", lambda _: NONE),
        _column("Port(s)", _ports),
        _AGE,
        _column("Selector", lambda item: _labels(_get(item, "spec.selector")), priority=1),
    ),
    "ServiceAccount": (_column("Secrets", lambda item: len(item.get("secrets") or ()), "integer"), _AGE),
    "PersistentVolumeClaim": (
        _column("Status", lambda item: "Terminating" if "deletionTimestamp" in item["metadata"] else _get(item, "status.phase", "")),
        _column("Volume", "spec.volumeName"),
        _column("Capacity", "status.capacity.storage"),
        _column("Access Modes", lambda item: _modes(_get(item, "status.accessModes", []))),
        _column("StorageClass", "spec.storageClassName"),
        _column("VolumeAttributesClass", lambda _: "<unset>"),
        _AGE,
        _column("VolumeMode", "spec.volumeMode", priority=1, default="<unset>"),
    ),
    "PersistentVolume": (
        _column("Capacity", "spec.capacity.storage"),
        _column("Access Modes", lambda item: _modes(_get(item, "spec.accessModes", []))),
        _column("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        _column("Status", "status.phase"),
        _column("Claim", lambda item: f"{_get(item, 'spec.claimRef.namespace', '')}/{_get(item, 'spec.claimRef.name', '')}".strip("/")),
        _column("StorageClass", "spec.storageClassName"),
        _AGE,
    ),
    "Event": (
        Column("Last Seen", "date", lambda item: item.get("lastTimestamp") or item.get("eventTime") or item.get("firstTimestamp")),
        _column("Type", "type"),
        _column("Reason", "reason"),
        _column("Object", _event_object),
        _column("Message", lambda item: str(item.get("message") or "").strip()),
        _column("Name", "metadata.name", priority=1),
    ),
    "StatefulSet": (
        _column("Ready", lambda item: f"{_get(item, 'status.readyReplicas', 0)}/{_get(item, 'spec.replicas', 0)}"),
        _AGE,
        _column("Containers", lambda item: _names(_get(item, "spec.template.spec.containers", [])), priority=1),
        _column("Images", lambda item: _images(_get(item, "spec.template.spec.containers", [])), priority=1),
    ),
    "ControllerRevision": (
        _column(
            "Controller",
            lambda item: next(
                (
                    f"{owner['kind'].lower()}.{owner['apiVersion'].partition('/')[0]}/{owner['name']}"
                    for owner in _get(item, "metadata.ownerReferences", [])
                ),
                NONE,
            ),
        ),
        _column("Revision", "revision", "integer", default=0),
        _AGE,
    ),
    "CronJob": (
        _column("Schedule", "spec.schedule"),
        _column("Timezone", "spec.timeZone", default=NONE),
        _column("Suspend", lambda item: str(bool(_get(item, "spec.suspend"))), "boolean"),
        _column("Active", lambda item: len(_get(item, "status.active", [])), "integer"),
        Column("Last Schedule", "date", ".status.lastScheduleTime"),
        _AGE,
        _column("Containers", lambda item: _names(_get(item, "spec.jobTemplate.spec.template.spec.containers", [])), priority=1),
        _column("Images", lambda item: _images(_get(item, "spec.jobTemplate.spec.template.spec.containers", [])), priority=1),
    ),
    "Job": (
        _column("Status", _job_status),
        _column("Completions", lambda item: f"{_get(item, 'status.succeeded', 0)}/{_get(item, 'spec.completions', 1)}"),
        _AGE,
        _column("Containers", lambda item: _names(_get(item, "spec.template.spec.containers", [])), priority=1),
        _column("Images", lambda item: _images(_get(item, "spec.template.spec.containers", [])), priority=1),
    ),
    "NetworkPolicy": (_column("Pod-Selector", lambda item: _labels(_get(item, "spec.podSelector.matchLabels"))), _AGE),
    "StorageClass": (
        _column("Provisioner", "provisioner"),
        _column("ReclaimPolicy", "reclaimPolicy"),
        _column("VolumeBindingMode", "volumeBindingMode"),
        _column("AllowVolumeExpansion", lambda item: bool(item.get("allowVolumeExpansion")), "boolean"),
        _AGE,
    ),
    "Lease": (_column("Holder", "spec.holderIdentity"), _AGE),
    "CustomResourceDefinition": (Column("Created At", "date", lambda item: item["metadata"]["creationTimestamp"], format="date-time"),),
}
