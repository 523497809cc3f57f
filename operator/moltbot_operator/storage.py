"""Whether the state has a place to live: StorageReady, and what keeps a Moltbot from being started (api.md, persistence). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from moltbot_api.conditions import Reason
from moltbot_api.names import Children
from moltbot_api.spec import MoltbotSpec
from moltbot_kube import Object
from moltbot_operator.drift import parse_quantity
from moltbot_operator.lifecycle.observed import Obstacle
from moltbot_operator.lifecycle.status import Truth
from moltbot_operator.says import Says

DEFAULT_CLASS_ANNOTATION = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class StorageView:
    """`claim`: the live claim, None when absent. `default_class`: whether the cluster has one, None when it could not be asked.

    `other`: the older Moltbot that mounts the same existing claim. `has_pod`: a pod waits for the claim.
    """

    claim: Object | None
    has_bucket: bool
    default_class: bool | None = None
    other: str | None = None
    has_pod: bool = False


@dataclass(frozen=True, slots=True)
class StorageVerdict:
    """The condition, and why the Moltbot may not be started."""

    says: Says
    obstacle: Obstacle | None = None


def _blocked(reason: Reason, message: str) -> StorageVerdict:
    return StorageVerdict(Says(Truth.FALSE, reason, message), Obstacle(Reason.STORAGE_NOT_READY, message))


def decide_storage(name: str, spec: MoltbotSpec, view: StorageView) -> StorageVerdict:
    """Where the state lives and whether it can."""
    persistence = spec.persistence
    if persistence is not None and persistence.ephemeral:
        if view.has_bucket:
            return StorageVerdict(Says(Truth.TRUE, Reason.EPHEMERAL, "The memory lives in the bucket and is restored at each wake."))
        if persistence.lose_on_restart:
            words = "The memory is lost at every sleep and restart, as loseOnRestart accepts."
            return StorageVerdict(Says(Truth.TRUE, Reason.LOSE_ON_RESTART, words))
        return _blocked(
            Reason.NO_BUCKET_FOR_EPHEMERAL,
            "persistence.ephemeral needs a bucket: name persistence.bucket, or put "
            "R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY and CF_ACCOUNT_ID "
            "into a Secret of secretsFrom; or accept the loss with loseOnRestart: true",
        )
    existing = persistence.existing_claim if persistence else None
    claim = existing or Children(name).state
    if view.other is not None:
        return _blocked(Reason.CLAIM_IN_USE, f"PersistentVolumeClaim {claim} is Moltbot {view.other}'s: each needs its own")
    if view.claim is None:
        if existing is not None:
            return _blocked(Reason.CLAIM_MISSING, f"PersistentVolumeClaim {claim} of persistence.existingClaim does not exist: create it")
        return StorageVerdict(Says(Truth.UNKNOWN, Reason.CLAIM_PENDING, f"PersistentVolumeClaim {claim} is being made"))
    if view.claim["metadata"].get("deletionTimestamp"):
        return _blocked(Reason.CLAIM_LOST, f"PersistentVolumeClaim {claim} is being deleted")
    phase = (view.claim.get("status") or {}).get("phase")
    if phase == "Bound":
        note = _size_note(spec, view.claim)
        return StorageVerdict(Says(Truth.TRUE, Reason.BOUND, f"PersistentVolumeClaim {claim} is bound.{note}"))
    if phase == "Lost":
        return _blocked(
            Reason.CLAIM_LOST, f"PersistentVolumeClaim {claim} has lost its volume: bring the volume back, or restore from a bucket"
        )
    named_class = (view.claim.get("spec") or {}).get("storageClassName")
    if not named_class and view.default_class is False:
        return _blocked(
            Reason.NO_STORAGE_CLASS,
            "the cluster has no default StorageClass: name one in persistence.storageClassName (kubectl get storageclass), or choose "
            "persistence.ephemeral with a bucket",
        )
    if view.has_pod:
        words = f"PersistentVolumeClaim {claim} is not bound yet; kubectl describe pvc {claim} says why"
        return StorageVerdict(Says(Truth.FALSE, Reason.CLAIM_PENDING, words))
    return StorageVerdict(Says(Truth.UNKNOWN, Reason.CLAIM_PENDING, f"PersistentVolumeClaim {claim} is bound when the pod first starts"))


def _size_note(spec: MoltbotSpec, claim: Object) -> str:
    wanted = spec.persistence.size if spec.persistence else None
    capacity = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    if wanted is None or capacity is None:
        return ""
    one, other = parse_quantity(wanted), parse_quantity(capacity)
    if one is None or other is None or one == other:
        return ""
    if one < other:
        return f" It has {capacity}: a claim cannot shrink to {wanted}."
    return f" It grows from {capacity} to {wanted}; kubectl describe pvc says how far that is."


def adjust_claim(desired: Object, live: Object | None) -> Object:
    """The claim as it can be applied: what cannot change any more stays as it is (class), and it never shrinks."""
    if live is None:
        return desired
    spec, there = dict(desired["spec"]), live.get("spec") or {}
    if "storageClassName" in spec and there.get("storageClassName") is not None:
        spec["storageClassName"] = there["storageClassName"]
    if there.get("accessModes"):
        spec["accessModes"] = there["accessModes"]
    has = ((there.get("resources") or {}).get("requests") or {}).get("storage")
    wanted, present = parse_quantity(spec["resources"]["requests"]["storage"]), parse_quantity(has) if has is not None else None
    if wanted is not None and present is not None and wanted < present:
        spec["resources"] = {"requests": {"storage": has}}
    return {**desired, "spec": spec}


def default_class_exists(classes: Iterable[Object]) -> bool:
    """Whether one of these StorageClasses is the default one."""
    return any((one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS_ANNOTATION) == "true" for one in classes)
