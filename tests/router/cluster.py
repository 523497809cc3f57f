"""A cluster in memory, as the router sees it: objects with resourceVersions, a view that can lag behind them, writes that can be lost."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from moltbot_router.path.facts import (
    ApprovalFacts,
    DeviceFacts,
    Instance,
    Key,
    MoltbotFacts,
    PodFacts,
    RequestFacts,
    SnapshotFacts,
    StatefulSetFacts,
)
from moltbot_router.path.ports import Action, ClusterError, Conflict, Missing, NewDevice
from moltbot_trust.clock import Clock

ADA = Key("default", "ada")
BORN = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class Truth:
    """What really is, of one Moltbot."""

    moltbot: MoltbotFacts
    statefulset: StatefulSetFacts | None
    pod: PodFacts | None
    devices: dict[str, DeviceFacts]
    snapshots: list[SnapshotFacts]


class MemoryCluster:
    """Implements `ClusterView` and `ClusterWrites`. `lagging`: the view stays as it is until `catch_up`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.truth: dict[Key, Truth] = {}
        self._seen: dict[Key, Truth] = {}
        self._subscribers: list[Callable[[Key], None]] = []
        self._versions = itertools.count(100)
        self.lagging = False
        self.synced = True
        self.scale_writes: list[int] = []
        self.actions: list[tuple[Key, Action]] = []
        self.fail_next: list[ClusterError] = []
        self.on_scale: Callable[[Key], None] = lambda key: None

    # truth

    def add(self, moltbot: MoltbotFacts, *, replicas: int = 0, hashed: bool = True, pod: PodFacts | None = None) -> None:
        statefulset = StatefulSetFacts(f"sts-{moltbot.uid}", next(self._versions), replicas, hashed)
        self.truth[moltbot.key] = Truth(moltbot, statefulset, pod, {}, [])
        self._told(moltbot.key)

    def change(self, key: Key, **fields: object) -> None:
        """Fields of the Moltbot."""
        truth = self.truth[key]
        truth.moltbot = replace(truth.moltbot, **fields)  # type: ignore[arg-type]
        self._told(key)

    def set_replicas(self, key: Key, replicas: int) -> None:
        """As an API server: writing what is there already changes nothing, the version neither."""
        statefulset = self.truth[key].statefulset
        assert statefulset is not None
        if statefulset.replicas != replicas:
            self.truth[key].statefulset = replace(statefulset, replicas=replicas, version=next(self._versions))
            self._told(key)

    def set_pod(self, key: Key, pod: PodFacts | None) -> None:
        self.truth[key].pod = pod
        self._told(key)

    def remove(self, key: Key) -> None:
        del self.truth[key]
        self._told(key)

    def catch_up(self) -> None:
        """The watch tells everything."""
        self.lagging = False
        for key in self.truth.keys() | self._seen.keys():
            self._told(key)

    def _told(self, key: Key) -> None:
        if self.lagging:
            return
        truth = self.truth.get(key)
        if truth is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = Truth(truth.moltbot, truth.statefulset, truth.pod, dict(truth.devices), list(truth.snapshots))
        for callback in list(self._subscribers):
            callback(key)

    # view

    def moltbots(self) -> Iterable[MoltbotFacts]:
        return [seen.moltbot for seen in self._seen.values()]

    def instance(self, key: Key) -> Instance | None:
        seen = self._seen.get(key)
        return Instance(seen.moltbot, seen.statefulset, seen.pod) if seen is not None else None

    def devices(self, key: Key) -> list[DeviceFacts]:
        seen = self._seen.get(key)
        return list(seen.devices.values()) if seen is not None else []

    def snapshots(self, key: Key) -> list[SnapshotFacts]:
        return list(self._seen[key].snapshots)

    def subscribe(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    # writes

    def _maybe_fail(self) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)

    async def scale_to_one(self, key: Key) -> int | None:
        """A lost answer (`fail_next` with a marker) still writes."""
        failure = self.fail_next.pop(0) if self.fail_next else None
        if failure is not None and "before" in str(failure):
            raise failure
        self.scale_writes.append(1)
        self.set_replicas(key, 1)
        self.on_scale(key)
        if failure is not None:
            raise failure
        statefulset = self.truth[key].statefulset
        assert statefulset is not None
        return statefulset.version

    async def request_action(self, key: Key, action: Action, at: datetime) -> None:
        self._maybe_fail()
        self.actions.append((key, action))

    async def create_snapshot(self, key: Key) -> str:
        self._maybe_fail()
        name = f"{key.name}-{len(self.truth[key].snapshots)}"
        self.truth[key].snapshots.insert(0, SnapshotFacts(name, "Pending", self.clock.now()))
        self._told(key)
        return name

    async def read_device(self, key: Key, device_id: str) -> DeviceFacts | None:
        self._maybe_fail()
        return self.truth[key].devices.get(device_id)

    async def create_device(self, key: Key, device: NewDevice) -> DeviceFacts:
        self._maybe_fail()
        if device.device_id in self.truth[key].devices:
            raise Conflict("exists")
        facts = DeviceFacts(
            object_name=f"{key.name}-{device.device_id}",
            uid=str(uuid.uuid4()),
            resource_version=str(next(self._versions)),
            device_id=device.device_id,
            public_key=device.public_key,
            name=device.name,
            platform=device.platform,
            client=device.client,
            created_at=self.clock.now(),
            request=device.request,
        )
        self.truth[key].devices[device.device_id] = facts
        self._told(key)
        return facts

    async def ask_device(self, key: Key, device: DeviceFacts, request: RequestFacts | None) -> DeviceFacts:
        return self._write(key, device, request=request)

    async def approve_device(self, key: Key, device: DeviceFacts, approval: ApprovalFacts) -> DeviceFacts:
        return self._write(key, device, approved=approval, request=None)

    async def set_generation(self, key: Key, device: DeviceFacts, generation: int) -> DeviceFacts:
        return self._write(key, device, generation=generation)

    async def mark_seen(self, key: Key, device: DeviceFacts, at: datetime | None) -> None:
        current = self.truth[key].devices.get(device.device_id)
        if current is not None and current.uid == device.uid:
            self._write(key, current, last_seen=at or current.last_seen, shown_state=current.state.capitalize())

    async def delete_device(self, key: Key, device: DeviceFacts, *, unchanged: bool) -> bool:
        current = self.truth[key].devices.get(device.device_id)
        if current is None or current.uid != device.uid:
            return False
        if unchanged and current.resource_version != device.resource_version:
            raise Conflict("changed")
        del self.truth[key].devices[device.device_id]
        self._told(key)
        return True

    def _write(self, key: Key, device: DeviceFacts, **fields: object) -> DeviceFacts:
        self._maybe_fail()
        current = self.truth[key].devices.get(device.device_id)
        if current is None or current.uid != device.uid:
            raise Missing("gone")
        if current.resource_version != device.resource_version:
            raise Conflict("changed")
        changed = replace(current, resource_version=str(next(self._versions)), **fields)  # type: ignore[arg-type]
        self.truth[key].devices[device.device_id] = changed
        self._told(key)
        return changed
