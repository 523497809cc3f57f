"""Objects of a person, read by name and kept for a while (rule 10): never listed, never watched, and asked for their metadata alone while
unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from moltbot_kube import Kube, Object, Resource
from moltbot_kube.resources import CONFIG_MAPS
from moltbot_trust.clock import Clock

# How old what is known of one may be (seconds): a changed one is in force within these.
AWAKE_SECONDS = 15.0
ASLEEP_SECONDS = 300.0


@dataclass(slots=True)
class _Entry:
    """`content`: the object as JSON, which is a fifth of what it is as dicts; None when there is none. `version`: its resourceVersion."""

    checked: float
    content: bytes | None
    version: str

    def live(self) -> Object | None:
        if self.content is None:
            return None
        found: Object = json.loads(self.content)
        return found


class NamedObjects:
    """Of one kind, one for the process. Objects stay in memory as long as their Moltbot does (`forget`)."""

    def __init__(self, kube: Kube, clock: Clock, resource: Resource) -> None:
        self._kube, self._clock, self._resource = kube, clock, resource
        self._entries: dict[tuple[str, str], _Entry] = {}

    async def get_live(self, namespace: str, name: str, *, max_age: float) -> Object | None:
        """The object as the API served it, or None; at most `max_age` seconds old. Raises KubeError."""
        return (await self._checked(namespace, name, max_age)).live()

    async def _checked(self, namespace: str, name: str, max_age: float) -> _Entry:
        now = self._clock.monotonic()
        entry = self._entries.get((namespace, name))
        if entry is not None and now - entry.checked < max_age:
            return entry
        if entry is not None and entry.content is not None:
            metadata = await self._kube.get_metadata(self._resource, name, namespace)
            version = (metadata or {}).get("metadata", {}).get("resourceVersion")
            if metadata is not None and version == entry.version:
                entry.checked = now
                return entry
            if metadata is None:
                return self._put(namespace, name, None, now)
        return self._put(namespace, name, await self._kube.get(self._resource, name, namespace), now)

    def put(self, live: Object) -> None:
        """Take in the answer of a write of ours."""
        metadata = live["metadata"]
        self._put(str(metadata["namespace"]), str(metadata["name"]), live, self._clock.monotonic())

    def drop(self, namespace: str, name: str) -> None:
        """Have it read again at the next question."""
        self._entries.pop((namespace, name), None)

    def _put(self, namespace: str, name: str, live: Object | None, now: float) -> _Entry:
        content, version = None, ""
        if live is not None:
            live["metadata"].pop("managedFields", None)
            content, version = json.dumps(live, separators=(",", ":")).encode(), str(live["metadata"].get("resourceVersion") or "")
        entry = _Entry(now, content, version)
        self._entries[namespace, name] = entry
        return entry

    def forget(self, namespace: str, names: set[str]) -> None:
        """Drop what is known of these."""
        for name in names:
            self._entries.pop((namespace, name), None)


class ConfigMapStore(NamedObjects):
    """ConfigMaps that a spec names. Ours are followed by a watch."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        super().__init__(kube, clock, CONFIG_MAPS)

    async def get(self, namespace: str, name: str, *, max_age: float) -> Mapping[str, str] | None:
        """Its text, by key, or None; binary data is no text. Raises KubeError."""
        live = await self.get_live(namespace, name, max_age=max_age)
        return None if live is None else {str(key): str(value) for key, value in (live.get("data") or {}).items()}
