"""Following a collection: list, watch, resume where it stopped, list again when the server has forgotten.

One task a collection. What the caller sees is a stream without holes: after a new list it gets the difference to what it had been told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from moltbot_kube.client import Kube
from moltbot_kube.errors import ApiError, BadRequest, Gone, KubeError
from moltbot_kube.resources import Object, Resource

logger = logging.getLogger(__name__)

# The server ends a watch after so long (seconds; drawn from the range so that a thousand watches do not come back at once).
SERVER_SECONDS = (240, 360)
# A server that keeps bookmarks sends one a minute; two and a half without a byte means that the connection is dead, whatever TCP says
# (Kopf #955, #996 tell of watches that died in silence).
SILENCE_SECONDS = 150.0
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 15.0


class Change(Enum):
    """What a watch tells. SYNCED: everything of a list has been told; it comes again after each new list, without an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    SYNCED = "SYNCED"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`object` is the object after the change, the last one known for DELETED, `{}` for SYNCED.

    After a hole in the watch only `metadata` {name, namespace, uid} of a deleted object may be known.
    """

    change: Change
    object: Object


@dataclass(frozen=True, slots=True)
class Scope:
    """What is followed: a kind in one namespace (None: in all), narrowed by selectors ("": not)."""

    resource: Resource
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what (seconds), and by what: tests inject."""

    server_seconds: tuple[int, int] = SERVER_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    first_retry: float = FIRST_RETRY_SECONDS
    last_retry: float = LAST_RETRY_SECONDS
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def watch(kube: Kube, scope: Scope, patience: Patience | None = None) -> AsyncIterator[WatchEvent]:
    """Follow `scope` until cancelled or closed. Errors of the API are waited out, with growing pauses, never raised."""
    patience = patience or Patience()
    known: dict[tuple[str, str], tuple[str, str]] = {}  # (namespace, name) → (uid, resourceVersion): what the caller was told
    version: str | None = None
    failures = 0
    while True:
        try:
            if version is None:
                listing = await kube.list(
                    scope.resource, scope.namespace, label_selector=scope.label_selector, field_selector=scope.field_selector
                )
                for event in _difference(scope.resource, known, listing.items):
                    yield event
                version = listing.resource_version
                yield WatchEvent(Change.SYNCED, {})
            async with kube.open_watch(
                scope.resource,
                scope.namespace,
                version,
                label_selector=scope.label_selector,
                field_selector=scope.field_selector,
                server_seconds=random.randint(*patience.server_seconds),  # noqa: S311 - spreads load, guards nothing
                silence_seconds=patience.silence_seconds,
            ) as events:
                async for raw in events:
                    failures = 0
                    version = _version(raw["object"]) or version
                    event_or_none = _told(known, raw)
                    if event_or_none is not None:
                        yield event_or_none
            failures = 0
        except Gone:
            version = None  # the server no longer keeps what came after it
            failures += 1
            if failures == 1:
                continue
        except KubeError as error:
            failures += 1
            if isinstance(error, BadRequest):
                version = None
            level = logging.DEBUG if failures == 1 else logging.WARNING
            logger.log(level, "watch interrupted", extra={"resource": str(scope.resource), "error": str(error), "failures": failures})
            wait = error.retry_after if isinstance(error, ApiError) else None
            await patience.sleep(max(wait or 0.0, _pause(failures, patience)))
            continue
        if failures:
            await patience.sleep(_pause(failures, patience))


def _pause(failures: int, patience: Patience) -> float:
    """Seconds before the next attempt: doubling, half of it drawn, so that clients cut off together do not return together."""
    full = min(patience.last_retry, patience.first_retry * 2.0 ** min(failures - 1, 16))
    return full * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _version(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")


def _told(known: dict[tuple[str, str], tuple[str, str]], raw: Object) -> WatchEvent | None:
    """The event to pass on, or None for a bookmark; `known` follows."""
    kind, obj = str(raw.get("type")), raw["object"]
    key = _key(obj)
    match kind:
        case "ADDED" | "MODIFIED":
            uid = str(obj["metadata"].get("uid") or "")
            change = Change.MODIFIED if key in known else Change.ADDED
            known[key] = (uid, _version(obj))
            return WatchEvent(change, obj)
        case "DELETED":
            known.pop(key, None)
            return WatchEvent(Change.DELETED, obj)
        case _:
            return None


def _difference(resource: Resource, known: dict[tuple[str, str], tuple[str, str]], items: list[Object]) -> list[WatchEvent]:
    """What a new list changes against what was told; `known` becomes the list. One of the same name and another uid is deleted first."""
    events: list[WatchEvent] = []
    present = {_key(item): item for item in items}

    def deleted(key: tuple[str, str]) -> WatchEvent:
        metadata = {"namespace": key[0], "name": key[1], "uid": known[key][0]}
        return WatchEvent(Change.DELETED, {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata})

    events.extend(deleted(key) for key in known if key not in present)
    for key, item in present.items():
        uid, version = str(item["metadata"].get("uid") or ""), _version(item)
        before = known.get(key)
        if before is not None and before[0] != uid:
            events.append(deleted(key))
            before = None
        if before is None:
            events.append(WatchEvent(Change.ADDED, item))
        elif before[1] != version:
            events.append(WatchEvent(Change.MODIFIED, item))
    known.clear()
    known.update({key: (str(item["metadata"].get("uid") or ""), _version(item)) for key, item in present.items()})
    return events
