"""StatefulSet with 0 or 1 replicas: revisions, the pod `NAME-0`, status.

Source: kubernetes/pkg/controller/statefulset (stateful_set_control.go, stateful_set_utils.go). Not here: more than one replica,
volumeClaimTemplates, pod management policies (they differ only from two replicas on).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..clock import Clock, from_rfc3339
from ..errors import ApiError
from ..events import Recorder
from ..history import Change
from ..selectors import from_label_selector
from ..store import Store
from .loop import Key
from .owners import controller_of, is_controlled_by, is_ready, key_of, keys_of_owner, owner_reference

# rand.SafeEncodeString: how hashes become part of a name
SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
REVISION_LABEL = "controller-revision-hash"


@dataclass(frozen=True)
class Create:
    pod: dict[str, Any]


@dataclass(frozen=True)
class Delete:
    name: str
    uid: str
    # An event's words, "" for a plain scaling down.
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    action: Create | Delete | None
    status: dict[str, Any]
    # When a pod becomes available though nothing changes (minReadySeconds).
    again: float | None = None


def safe_hash(value: object) -> str:
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return "".join(SAFE_LETTERS[byte % len(SAFE_LETTERS)] for byte in digest[:10])


def revision_name(statefulset: Mapping[str, Any]) -> str:
    """The revision of the present template."""
    return f"{statefulset['metadata']['name']}-{safe_hash(statefulset['spec']['template'])}"


def build_pod(statefulset: Mapping[str, Any], revision: str) -> dict[str, Any]:
    meta, template = statefulset["metadata"], statefulset["spec"]["template"]
    name = f"{meta['name']}-0"
    template_meta = template.get("metadata") or {}
    metadata: dict[str, Any] = {
        "name": name,
        "generateName": f"{meta['name']}-",
        "namespace": meta["namespace"],
        "labels": {
            **(template_meta.get("labels") or {}),
            "apps.kubernetes.io/pod-index": "0",
            REVISION_LABEL: revision,
            "statefulset.kubernetes.io/pod-name": name,
        },
        "ownerReferences": [owner_reference(statefulset)],
    }
    if template_meta.get("annotations"):
        metadata["annotations"] = template_meta["annotations"]
    spec = {**template["spec"], "hostname": name}
    if statefulset["spec"].get("serviceName"):
        spec["subdomain"] = statefulset["spec"]["serviceName"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def decide_statefulset(statefulset: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], now: float) -> Plan:
    """`pods`: those that it controls, whatever their state."""
    spec, old = statefulset["spec"], statefulset.get("status") or {}
    wanted = min(int(spec.get("replicas", 1)), 1)
    update = revision_name(statefulset)
    current = old.get("currentRevision") or update
    pod = next((p for p in pods if p["metadata"]["name"] == f"{statefulset['metadata']['name']}-0"), None)
    on_delete = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 0)
    again: float | None = None
    if pod is not None:
        ending = "deletionTimestamp" in pod["metadata"]
        revision = (pod["metadata"].get("labels") or {}).get(REVISION_LABEL)
        counts["replicas"] = 1
        if is_ready(pod) and (pod.get("status") or {}).get("phase") == "Running":
            counts["readyReplicas"] = 1
            available_at = _available_at(pod, int(spec.get("minReadySeconds") or 0))
            counts["availableReplicas"] = int(available_at <= now)
            again = available_at if available_at > now else None
        if not ending:
            counts["currentReplicas"], counts["updatedReplicas"] = int(revision == current), int(revision == update)
        if not on_delete and not ending and revision == update and counts["readyReplicas"] == wanted:
            current = update
            counts["currentReplicas"] = 1
    elif not on_delete and wanted == 0:
        current = update
    status: dict[str, Any] = {
        "observedGeneration": statefulset["metadata"].get("generation", 0),
        "replicas": counts["replicas"],
        "availableReplicas": counts["availableReplicas"],
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    }
    for word in ("readyReplicas", "currentReplicas", "updatedReplicas"):
        if counts[word]:
            status[word] = counts[word]
    if "deletionTimestamp" in statefulset["metadata"]:
        return Plan(None, status, again)
    return Plan(_decide_action(statefulset, pod, wanted, update, on_delete=on_delete), status, again)


def _decide_action(
    statefulset: Mapping[str, Any], pod: Mapping[str, Any] | None, wanted: int, update: str, *, on_delete: bool
) -> Create | Delete | None:
    if pod is None:
        return Create(build_pod(statefulset, update)) if wanted else None
    meta = pod["metadata"]
    if "deletionTimestamp" in meta:
        return None  # the next one only when this one is really gone
    if wanted == 0:
        return Delete(meta["name"], meta["uid"])
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Failed", "Succeeded"):
        return Delete(
            meta["name"],
            meta["uid"],
            f"StatefulSet {meta['namespace']}/{statefulset['metadata']['name']} is recreating {phase} Pod {meta['name']}",
        )
    if not on_delete and (meta.get("labels") or {}).get(REVISION_LABEL) != update:
        return Delete(meta["name"], meta["uid"])
    return None


def _available_at(pod: Mapping[str, Any], min_ready: int) -> float:
    if min_ready == 0:
        return 0
    return next(
        (from_rfc3339(c["lastTransitionTime"]) + min_ready for c in pod["status"]["conditions"] if c["type"] == "Ready"),
        float("inf"),
    )


class StatefulSetController:
    name = "statefulset-controller"
    kinds = frozenset({"statefulsets.apps", "pods"})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._events = Recorder(store, clock, self.name)

    def keys(self, change: Change) -> Iterable[Key]:
        if change.key == "statefulsets.apps":
            yield key_of(change)
            return
        yield from keys_of_owner(change, "StatefulSet")
        name = change.entry.item["metadata"]["name"]
        if name.endswith("-0"):  # in somebody's way, or gone out of it, or to be adopted
            yield change.namespace, name.removesuffix("-0")

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("statefulsets.apps", key[1], key[0])
        if entry is None:
            return None
        statefulset = entry.item
        pod = self._store.entry("pods", f"{key[1]}-0", key[0])
        if pod is not None and self._adopt(statefulset, pod.item):
            pod = self._store.entry("pods", f"{key[1]}-0", key[0])
        plan = decide_statefulset(statefulset, [pod.item] if pod and is_controlled_by(pod.item, statefulset) else [], self._clock.epoch())
        self._keep_revision(statefulset, plan.status["updateRevision"])
        if int(statefulset["spec"].get("replicas", 1)) > 1:
            self._events.warning(statefulset, "TooManyReplicas", "on this machine a StatefulSet has 0 or 1 replicas; one is run")
        try:
            self._act(statefulset, plan.action)
        finally:
            self._write_status(statefulset, plan.status)
        return plan.again

    def _act(self, statefulset: Mapping[str, Any], action: Create | Delete | None) -> None:
        namespace, name = statefulset["metadata"]["namespace"], statefulset["metadata"]["name"]
        match action:
            case Create(pod):
                try:
                    self._store.create("pods", pod, manager="kube-controller-manager")
                except ApiError as error:
                    words = f"create Pod {name}-0 in StatefulSet {name} failed error: {error}"
                    self._events.warning(statefulset, "FailedCreate", words)
                    raise
                self._events.normal(statefulset, "SuccessfulCreate", f"create Pod {name}-0 in StatefulSet {name} successful")
            case Delete(pod_name, uid, reason):
                if reason:
                    self._events.warning(statefulset, "RecreatingFailedPod", reason)
                self._store.delete("pods", pod_name, namespace, uid=uid)
                self._events.normal(statefulset, "SuccessfulDelete", f"delete Pod {pod_name} in StatefulSet {name} successful")
            case None:
                pass

    def _adopt(self, statefulset: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
        """A pod that nobody controls and the selector selects becomes ours, as after an orphaning deletion."""
        if controller_of(pod) is not None or "deletionTimestamp" in pod["metadata"] or "deletionTimestamp" in statefulset["metadata"]:
            return False
        if not from_label_selector(statefulset["spec"]["selector"]).matches(pod):
            return False
        owners = [*(pod["metadata"].get("ownerReferences") or ()), owner_reference(statefulset)]
        meta = pod["metadata"]
        self._store.patch("pods", meta["name"], meta["namespace"], {"metadata": {"uid": meta["uid"], "ownerReferences": owners}})
        return True

    def _keep_revision(self, statefulset: Mapping[str, Any], revision: str) -> None:
        """The ControllerRevision of the present template; the others stay until their StatefulSet goes (few, and small)."""
        meta = statefulset["metadata"]
        if "deletionTimestamp" in meta or self._store.entry("controllerrevisions.apps", revision, meta["namespace"]) is not None:
            return
        ours = [
            e
            for e in self._store.entries("controllerrevisions.apps", meta["namespace"])
            if is_controlled_by(e.item, statefulset)
        ]  # fmt: skip
        newest = max((int(e.item.get("revision") or 0) for e in ours), default=0)
        limit = int(statefulset["spec"].get("revisionHistoryLimit", 10))
        used = {(statefulset.get("status") or {}).get(word) for word in ("currentRevision", "updateRevision")}
        old = sorted((e.item for e in ours if e.item["metadata"]["name"] not in used), key=lambda item: int(item["revision"]))
        for item in old[: max(len(old) - limit, 0)]:
            self._store.delete("controllerrevisions.apps", item["metadata"]["name"], meta["namespace"])
        self._store.create(
            "controllerrevisions.apps",
            {
                "metadata": {
                    "name": revision,
                    "namespace": meta["namespace"],
                    "labels": {
                        **((statefulset["spec"]["template"].get("metadata") or {}).get("labels") or {}),
                        "controller.kubernetes.io/hash": revision.removeprefix(f"{meta['name']}-"),
                    },
                    "ownerReferences": [owner_reference(statefulset)],
                },
                "data": {"spec": {"template": {**statefulset["spec"]["template"], "$patch": "replace"}}},
                "revision": newest + 1,
            },
            manager="kube-controller-manager",
        )

    def _write_status(self, statefulset: Mapping[str, Any], status: dict[str, Any]) -> None:
        meta = statefulset["metadata"]
        entry = self._store.entry("statefulsets.apps", meta["name"], meta["namespace"])
        if entry is None or entry.item["metadata"]["uid"] != meta["uid"]:
            return
        present = {key: value for key, value in (entry.item.get("status") or {}).items() if key != "conditions"}
        if present != status:
            changes = {**dict.fromkeys(present, None), **status}
            self._store.patch_status(
                "statefulsets.apps", meta["name"], meta["namespace"], changes, uid=meta["uid"], manager="kube-controller-manager"
            )
