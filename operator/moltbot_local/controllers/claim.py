"""PersistentVolumeClaims: bound to a directory of this machine, protected while a pod uses them, removed with their data (reclaim Delete).

Source: kubernetes/pkg/controller/volume/{persistentvolume,pvcprotection}. Volumes bind at once, as class `standard` of most small
clusters does; there are no PersistentVolume objects, the claim's directory is the volume.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..claims import claim_directory
from ..clock import Clock
from ..events import Recorder
from ..history import Change
from ..store import Store
from .loop import Key
from .owners import key_of

log = logging.getLogger(__name__)

PROTECTION = "kubernetes.io/pvc-protection"
# A directory on its way out: whatever dies between, only such ones are ever removed without asking.
DOOMED = ".deleting-"


@dataclass(frozen=True)
class Protect:
    pass


@dataclass(frozen=True)
class Bind:
    pass


@dataclass(frozen=True)
class Explain:
    """It stays pending: (event type, reason, message)."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Remove:
    """Nothing uses it: data first, then the finalizer."""


def is_used(claim: str, pods: Iterable[Mapping[str, Any]]) -> bool:
    """A pod that has not ended mounts it."""
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        volumes = pod["spec"].get("volumes") or ()
        if any((v.get("persistentVolumeClaim") or {}).get("claimName") == claim for v in volumes):
            return True
    return False


def decide_claim(
    claim: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], classes: frozenset[str]
) -> Protect | Bind | Explain | Remove | None:  # fmt: skip
    """`pods`: those of its namespace; `classes`: the StorageClasses that exist."""
    meta, spec = claim["metadata"], claim["spec"]
    protected = PROTECTION in (meta.get("finalizers") or ())
    if "deletionTimestamp" in meta:
        return Remove() if protected and not is_used(meta["name"], pods) else None
    if not protected:
        return Protect()
    if (claim.get("status") or {}).get("phase") == "Bound":
        return None
    wanted = spec.get("storageClassName")
    if not wanted or spec.get("volumeName"):
        words = "no persistent volumes available for this claim and no storage class is set"
        return Explain("Normal", "FailedBinding", words)
    if wanted not in classes:
        return Explain("Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{wanted}" not found')
    return Bind()


class ClaimController:
    name = "persistentvolume-controller"
    kinds = frozenset({"persistentvolumeclaims", "pods", "storageclasses.storage.k8s.io"})

    def __init__(self, store: Store, clock: Clock, data: Path) -> None:
        self._store, self._data = store, data
        self._events = Recorder(store, clock, self.name)
        self._finish()

    def _finish(self) -> None:
        """Removals that an earlier run did not bring to an end."""
        (self._data / "claims").mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self._data / "claims").glob(f"{DOOMED}*"):
            shutil.rmtree(directory, ignore_errors=True)

    def keys(self, change: Change) -> Iterable[Key]:
        item = change.entry.item
        if change.key == "persistentvolumeclaims":
            yield key_of(change)
        elif change.key == "pods":
            for volume in item["spec"].get("volumes") or ():
                if "persistentVolumeClaim" in volume:
                    yield change.namespace, volume["persistentVolumeClaim"]["claimName"]
        else:
            for entry in self._store.entries("persistentvolumeclaims"):
                yield entry.item["metadata"]["namespace"], entry.item["metadata"]["name"]

    def sync(self, key: Key) -> float | None:
        entry = self._store.entry("persistentvolumeclaims", key[1], key[0])
        if entry is None:
            return None
        claim = entry.item
        classes = frozenset(e.item["metadata"]["name"] for e in self._store.entries("storageclasses.storage.k8s.io"))
        match decide_claim(claim, [e.item for e in self._store.entries("pods", key[0])], classes):
            case Protect():
                finalizers = [*(claim["metadata"].get("finalizers") or ()), PROTECTION]
                self._store.patch("persistentvolumeclaims", key[1], key[0], {"metadata": {"finalizers": finalizers}})
            case Bind():
                self._bind(claim)
            case Explain(kind, reason, message):
                (self._events.warning if kind == "Warning" else self._events.normal)(claim, reason, message)
            case Remove():
                self._remove(claim)
            case None:
                pass
        return None

    def _bind(self, claim: Mapping[str, Any]) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        claim_directory(self._data, claim).mkdir(parents=True, exist_ok=True, mode=0o700)
        volume = f"pvc-{meta['uid']}"
        change = {
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}},
            "spec": {"volumeName": volume},
        }
        self._store.patch("persistentvolumeclaims", meta["name"], meta["namespace"], change, subresource="binding")
        status = {"phase": "Bound", "accessModes": spec.get("accessModes") or ["ReadWriteOnce"], "capacity": spec["resources"]["requests"]}
        self._store.patch_status("persistentvolumeclaims", meta["name"], meta["namespace"], status, uid=meta["uid"])
        self._events.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {volume}")

    def _remove(self, claim: Mapping[str, Any]) -> None:
        meta = claim["metadata"]
        directory = claim_directory(self._data, claim)
        doomed = directory.with_name(DOOMED + meta["uid"])
        if directory.exists():
            directory.rename(doomed)
        kept = [f for f in meta.get("finalizers") or () if f != PROTECTION]
        change = {"metadata": {"uid": meta["uid"], "finalizers": kept}}
        self._store.patch("persistentvolumeclaims", meta["name"], meta["namespace"], change)
        shutil.rmtree(doomed, ignore_errors=True)
        log.info("the data of a deleted claim was removed: %s/%s", meta["namespace"], meta["name"])
