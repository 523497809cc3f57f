"""What the informers have seen: objects by kind and key, and the moments of a wake. Filled by the handlers, read by everything else.

May be behind the API by a moment; answers of our own writes are taken in at once (`observe`), so that nothing is written twice for that.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from moltbot_api.names import FIELD_MANAGER, FIELD_MANAGER_CREATE, LABEL_NAME, Children
from moltbot_kube import Object, Resource
from moltbot_kube.resources import CRON_JOBS, MOLTBOT_SNAPSHOTS, MOLTBOTS, NETWORK_POLICIES, PODS, STATEFUL_SETS
from moltbot_operator.lifecycle.observed import Key, WakeTimes
from moltbot_trust.clock import Clock

# Kinds under whose `spec` nobody else may own a field (rule 1).
_OURS_ALONE = (STATEFUL_SETS, CRON_JOBS, NETWORK_POLICIES)
_FOREIGN = "moltbot.dev/internal-foreign"  # key within our copy of an object, never sent anywhere


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])


# Read at every pass of every Moltbot, or many times in one; all else is packed: as dicts the children of a thousand Moltbots are 100 MiB.
_UNPACKED = (MOLTBOTS, PODS)


@dataclass(frozen=True, slots=True)
class _Packed:
    """An object as compressed JSON, and what is looked at without unpacking it."""

    uid: str
    version: str
    content: bytes

    @classmethod
    def of(cls, obj: Object) -> _Packed:
        metadata = obj["metadata"]
        raw = json.dumps(obj, separators=(",", ":")).encode()
        return cls(str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or ""), zlib.compress(raw, 1))

    def unpack(self) -> Object:
        found: Object = json.loads(zlib.decompress(self.content))
        return found


class World:
    """One for the process, used from one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[Resource, dict[tuple[str, str], Object | _Packed]] = {}
        self._wakes: dict[Key, WakeTimes] = {}
        self._owners: dict[str, str] = {}  # uid of a gateway pod → uid of its Moltbot, for who talks to it
        self._snapshots: dict[Key, set[tuple[str, str]]] = {}

    # filling

    def put(self, resource: Resource, obj: Object) -> None:
        """What a watch event says."""
        kept = _slim(resource, obj)
        key = _key(kept)
        old = self._objects.setdefault(resource, {}).get(key)
        if old is not None and _is_older(kept, old):
            return
        self._objects[resource][key] = kept if resource in _UNPACKED else _Packed.of(kept)
        if resource is STATEFUL_SETS:
            self._note_scale(_unpacked(old), kept)
        elif resource is PODS:
            self._note_pod(_unpacked(old), kept)
        elif resource is MOLTBOT_SNAPSHOTS:
            self._snapshots.setdefault(Key(key[0], str(kept.get("spec", {}).get("moltbot", ""))), set()).add(key)

    def observe(self, resource: Resource, obj: Object) -> None:
        """The answer of a read or write of ours."""
        self.put(resource, obj)

    def drop(self, resource: Resource, obj: Object) -> None:
        """What a DELETED event says; a successor of the same name stays."""
        key = _key(obj)
        known = self._objects.get(resource, {})
        uid = str(obj["metadata"].get("uid") or "")
        if key in known and _uid(known[key]) == uid:
            del known[key]
            if resource is PODS:
                self._owners.pop(uid, None)
            elif resource is MOLTBOT_SNAPSHOTS:
                self._snapshots.get(Key(key[0], str(obj.get("spec", {}).get("moltbot", ""))), set()).discard(key)
            elif resource is MOLTBOTS:
                self._wakes.pop(Key(*key), None)

    # reading

    def get(self, resource: Resource, name: str, namespace: str) -> Object | None:
        """The object as last seen; it is not to be changed."""
        return _unpacked(self._objects.get(resource, {}).get((namespace, name)))

    def all(self, resource: Resource) -> Iterator[Object]:
        """All of a kind, in no order; no awaiting between them."""
        return (obj for kept in self._objects.get(resource, {}).values() if (obj := _unpacked(kept)) is not None)

    def moltbot(self, key: Key) -> Object | None:
        return self.get(MOLTBOTS, key.name, key.namespace)

    def snapshots(self, key: Key) -> list[Object]:
        """MoltbotSnapshots that name this Moltbot."""
        known = self._objects.get(MOLTBOT_SNAPSHOTS, {})
        return [obj for one in self._snapshots.get(key, ()) if (obj := _unpacked(known.get(one))) is not None]

    def wake_times(self, key: Key) -> WakeTimes:
        return self._wakes.get(key, WakeTimes())

    def moltbot_uid_of_pod(self, pod_uid: str) -> str | None:
        return self._owners.get(pod_uid)

    def claim_pod(self, pod_uid: str, moltbot_uid: str) -> None:
        """Say whose pod that is; who asks by `moltbot_uid_of_pod` derives its keys from the answer."""
        self._owners[pod_uid] = moltbot_uid

    # moments of a wake, by our own clock (rule 12)

    def _note_scale(self, old: Object | None, new: Object) -> None:
        key = moltbot_of(new)
        if key is None or new["metadata"]["name"] != Children(key.name).gateway:
            return
        before = int((old or {}).get("spec", {}).get("replicas") or 0) if old is not None else None
        after = int(new.get("spec", {}).get("replicas") or 0)
        if before == 0 and after == 1:
            self._wakes[key] = WakeTimes(scaled_at=self._clock.now())
        elif after == 0:
            self._wakes.pop(key, None)

    def _note_pod(self, old: Object | None, new: Object) -> None:
        key = moltbot_of(new)
        if key is None or new["metadata"]["name"] != Children(key.name).pod:
            return
        now, times = self._clock.now(), self._wakes.get(key, WakeTimes())
        if old is None or old["metadata"].get("uid") != new["metadata"].get("uid"):
            times = WakeTimes(scaled_at=times.scaled_at, pod_at=now)
        status: dict[str, Any] = new.get("status") or {}
        if times.address_at is None and status.get("podIP"):
            times = replace(times, address_at=now)
        if times.ready_at is None and _is_ready(status):
            times = replace(times, ready_at=now)
        self._wakes[key] = times


def moltbot_of(obj: Object) -> Key | None:
    """Which Moltbot an object belongs to, by its label; None when it says none."""
    metadata = obj.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(LABEL_NAME)
    return Key(str(metadata.get("namespace") or ""), name) if name else None


def foreign_managers(obj: Object) -> list[str]:
    """Who else owns fields under the `spec` of an object of ours, as `manager: field, field`."""
    found: list[str] = obj.get(_FOREIGN) or []
    return found


def _is_ready(status: dict[str, Any]) -> bool:
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())


def _slim(resource: Resource, obj: Object) -> Object:
    metadata = dict(obj["metadata"])
    managed = metadata.pop("managedFields", None)
    kept: Object = {**obj, "metadata": metadata}
    if resource in _OURS_ALONE and managed:
        foreign = _foreign(managed)
        if foreign:
            kept[_FOREIGN] = foreign
    return kept


def _foreign(managed: list[Object]) -> list[str]:
    found = []
    for entry in managed:
        fields = (entry.get("fieldsV1") or {}).get("f:spec")
        if entry.get("subresource") or not fields or entry.get("manager") in (FIELD_MANAGER, FIELD_MANAGER_CREATE):
            continue
        paths = sorted(_paths(fields))[:5]
        found.append(f"{entry.get('manager')}: {', '.join(f'spec.{path}' for path in paths)}")
    return sorted(found)


def _paths(fields: Object, prefix: str = "") -> Iterator[str]:
    children = {name: child for name, child in fields.items() if name != "."}
    if not children and prefix:
        yield prefix
    for name, child in children.items():
        part = name.partition(":")[2] if name.startswith("f:") else "[]"
        yield from _paths(child or {}, f"{prefix}.{part}" if prefix and part != "[]" else f"{prefix}{part}")


def _unpacked(kept: Object | _Packed | None) -> Object | None:
    return kept.unpack() if isinstance(kept, _Packed) else kept


def _uid(kept: Object | _Packed) -> str:
    return kept.uid if isinstance(kept, _Packed) else str(kept["metadata"].get("uid") or "")


def _is_older(one: Object, other: Object | _Packed) -> bool:
    metadata = one["metadata"]
    if str(metadata.get("uid") or "") != _uid(other):
        return False
    version = other.version if isinstance(other, _Packed) else other["metadata"].get("resourceVersion")
    try:
        return int(metadata["resourceVersion"]) < int(version)
    except (KeyError, TypeError, ValueError):
        return False
