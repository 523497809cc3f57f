"""The hash annotation of a child: SHA-256 of its desired manifest (rule 1). Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from moltbot_api.names import ANNOTATION_HASH
from moltbot_operator.manifests.plan import Manifest


def canonical(value: object) -> bytes:
    """One byte string for equal JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def hash_of(manifest: Mapping[str, Any], key: bytes | None = None) -> str:
    """Hex hash of the manifest without its own hash annotation; keyed (HMAC) where it holds secrets, so that nobody can try guesses."""
    metadata = dict(manifest.get("metadata") or {})
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != ANNOTATION_HASH}
    metadata["annotations"] = annotations
    content = canonical({**manifest, "metadata": metadata})
    return hmac.digest(key, content, hashlib.sha256).hex() if key is not None else hashlib.sha256(content).hexdigest()


def with_hash(manifest: Manifest, key: bytes | None = None) -> Manifest:
    """The manifest with its hash annotation."""
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION_HASH: hash_of(manifest, key)}
    return {**manifest, "metadata": metadata}


def hash_annotation(live: Mapping[str, Any]) -> str | None:
    """The hash that a live object carries, or None."""
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    value = annotations.get(ANNOTATION_HASH)
    return value if isinstance(value, str) else None
