"""Where the data of a claim lives. The claim controller makes and removes these directories, the kubelet gives them to pods."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def admit_claim(claim: dict[str, Any], classes: Iterable[Mapping[str, Any]]) -> None:
    """A new claim that names no class gets the default one, where there is one; of several the newest, then the first by name."""
    spec = claim["spec"]
    if "storageClassName" in spec:
        return
    found = [one["metadata"] for one in classes if (one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"]
    newest = max((meta["creationTimestamp"] for meta in found), default=None)
    if newest is not None:
        spec["storageClassName"] = min(meta["name"] for meta in found if meta["creationTimestamp"] == newest)


def claim_directory(data: Path, claim: Mapping[str, Any]) -> Path:
    """Namespace and name for people, the uid so that a new claim of an old name never finds the old data."""
    meta = claim["metadata"]
    return data / "claims" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
