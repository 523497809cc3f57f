"""Field ownership and server-side apply."""

from __future__ import annotations

from dataclasses import dataclass

from .patch import merge_patch
from .resources import Object, Resource


@dataclass(frozen=True)
class Writer:
    """Who writes: one record of `metadata.managedFields`. `time` is RFC 3339."""

    manager: str
    operation: str  # Apply | Update
    api_version: str
    subresource: str
    time: str


def track(resource: Resource, old: Object | None, new: Object, writer: Writer) -> None:
    """Set `new.metadata.managedFields` after an ordinary write."""


def apply(resource: Resource, live: Object, config: Object, writer: Writer, *, force: bool) -> Object:
    merged: Object = merge_patch(live, config)
    return merged
