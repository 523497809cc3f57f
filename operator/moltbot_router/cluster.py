"""The path's ports over the Kubernetes API (`moltbot_kube`): five caches to look into, and the router's few writes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from moltbot_api.names import (
    APP,
    COMPONENT_GATEWAY,
    FIELD_MANAGER_ROUTER,
    GROUP,
    LABEL_APP,
    LABEL_COMPONENT,
    LABEL_NAME,
    Children,
    device_object_name,
    requested_snapshot_name,
)
from moltbot_kube import Cache, Changed, Forbidden, Invalid, Kube, KubeError, NotFound, Object
from moltbot_kube import Conflict as KubeConflict
from moltbot_kube.resources import MOLTBOT_DEVICES, MOLTBOT_SNAPSHOTS, MOLTBOTS, PODS, STATEFUL_SETS
from moltbot_router.objects import (
    approval_to_wire,
    build_device,
    build_snapshot,
    is_owned_by,
    metadata_of,
    read_device,
    read_moltbot,
    read_pod,
    read_snapshot,
    read_statefulset,
    request_to_wire,
    trimmed,
    version_of,
)
from moltbot_router.path.facts import ApprovalFacts, DeviceFacts, Instance, Key, MoltbotFacts, RequestFacts, SnapshotFacts
from moltbot_router.path.ports import Action, Conflict, Denied, Missing, NewDevice, Unavailable
from moltbot_trust.clock import format_micro_time, format_time

# One write of the router may take this long (seconds): who waits for it has a deadline too.
WRITE_SECONDS = 5.0
_GATEWAY_LABELS = f"{LABEL_APP}={APP},{LABEL_COMPONENT}={COMPONENT_GATEWAY}"


class KubeView:
    """Implements `ClusterView`. Run `run` as a task; it follows five kinds."""

    def __init__(self, kube: Kube, namespaces: tuple[str, ...]) -> None:
        places = list(namespaces) or None
        self.moltbot_cache = Cache(kube, MOLTBOTS, namespaces=places)
        self.device_cache = Cache(kube, MOLTBOT_DEVICES, namespaces=places)
        self._snapshots = Cache(kube, MOLTBOT_SNAPSHOTS, namespaces=places)
        self._statefulsets = Cache(kube, STATEFUL_SETS, namespaces=places, label_selector=_GATEWAY_LABELS, keep=trimmed)
        self._pods = Cache(kube, PODS, namespaces=places, label_selector=_GATEWAY_LABELS, keep=trimmed)
        self._facts: dict[Key, MoltbotFacts] = {}
        self._devices: dict[Key, dict[str, Object]] = {}
        self._subscribers: list[Callable[[Key], None]] = []
        self.moltbot_cache.subscribe(self._moltbot_changed)
        self.device_cache.subscribe(self._device_changed)
        self._snapshots.subscribe(self._snapshot_changed)
        self._statefulsets.subscribe(self._child_changed)
        self._pods.subscribe(self._child_changed)

    @property
    def _caches(self) -> tuple[Cache, ...]:
        return self.moltbot_cache, self.device_cache, self._snapshots, self._statefulsets, self._pods

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cache in self._caches:
                group.create_task(cache.run())

    @property
    def synced(self) -> bool:
        return all(cache.synced for cache in self._caches)

    def moltbots(self) -> Iterable[MoltbotFacts]:
        return list(self._facts.values())

    def instance(self, key: Key) -> Instance | None:
        moltbot = self._facts.get(key)
        if moltbot is None:
            return None
        children = Children(key.name)
        statefulset = self._statefulsets.get(children.gateway, key.namespace)
        if statefulset is None or not is_owned_by(statefulset, moltbot.uid):
            return Instance(moltbot)
        pod = self._pods.get(children.pod, key.namespace)
        # Rule 3: a pod is believed only when the StatefulSet that we own made it.
        owned = pod is not None and is_owned_by(pod, str(metadata_of(statefulset).get("uid") or ""))
        return Instance(moltbot, read_statefulset(statefulset), read_pod(pod) if pod is not None and owned else None)

    def devices(self, key: Key) -> list[DeviceFacts]:
        moltbot = self._facts.get(key)
        if moltbot is None:
            return []
        return [read_device(obj) for obj in self._devices.get(key, {}).values() if is_owned_by(obj, moltbot.uid)]

    def snapshots(self, key: Key) -> list[SnapshotFacts]:
        mine = [
            read_snapshot(obj)
            for obj in self._snapshots
            if metadata_of(obj).get("namespace") == key.namespace and obj.get("spec", {}).get("moltbot") == key.name
        ]
        earliest = datetime.min.replace(tzinfo=UTC)
        return sorted(mine, key=lambda snapshot: (snapshot.created_at or earliest, snapshot.name), reverse=True)

    def subscribe(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    def _moltbot_changed(self, change: Changed) -> None:
        key = Key(*change.key)
        if change.new is None:
            self._facts.pop(key, None)
        else:
            self._facts[key] = read_moltbot(change.new)
        self._tell(key)

    def _device_changed(self, change: Changed) -> None:
        key = _moltbot_of(change)
        objects = self._devices.setdefault(key, {})
        if change.new is None:
            objects.pop(change.key[1], None)
            if not objects:
                del self._devices[key]
        else:
            objects[change.key[1]] = change.new
        self._tell(key)

    def _snapshot_changed(self, change: Changed) -> None:
        self._tell(_moltbot_of(change))

    def _child_changed(self, change: Changed) -> None:
        obj = change.new or change.old or {}
        name = (metadata_of(obj).get("labels") or {}).get(LABEL_NAME)
        if isinstance(name, str):
            self._tell(Key(change.key[0], name))

    def _tell(self, key: Key) -> None:
        for callback in list(self._subscribers):
            callback(key)


def _moltbot_of(change: Changed) -> Key:
    obj = change.new or change.old or {}
    name = (obj.get("spec") or {}).get("moltbot")
    # After a hole in the watch only the name of a deleted device is known: <moltbot>-<64 hex digits>.
    return Key(change.key[0], name if isinstance(name, str) else change.key[1][:-65])


class KubeWrites:
    """Implements `ClusterWrites`."""

    def __init__(self, kube: Kube, view: KubeView) -> None:
        self._kube, self._view = kube, view

    async def scale_to_one(self, key: Key) -> int | None:
        async with _bounded():
            scale = await self._kube.patch_scale(
                STATEFUL_SETS, Children(key.name).gateway, key.namespace, 1, field_manager=FIELD_MANAGER_ROUTER
            )
        return version_of(scale)

    async def request_action(self, key: Key, action: Action, at: datetime) -> None:
        patch: Object = {"metadata": {"annotations": {f"{GROUP}/{action.value}": format_micro_time(at)}}}
        async with _bounded():
            obj = await self._kube.patch(MOLTBOTS, key.name, key.namespace, patch, field_manager=FIELD_MANAGER_ROUTER)
        self._view.moltbot_cache.observe(obj)

    async def create_snapshot(self, key: Key) -> str:
        name = requested_snapshot_name(key.name, datetime.now(UTC), secrets.token_hex(2))
        async with _bounded():
            await self._kube.create(MOLTBOT_SNAPSHOTS, build_snapshot(key, name), field_manager=FIELD_MANAGER_ROUTER)
        return name

    async def read_device(self, key: Key, device_id: str) -> DeviceFacts | None:
        async with _bounded():
            obj = await self._kube.get(MOLTBOT_DEVICES, device_object_name(key.name, device_id), key.namespace)
        if obj is None:
            return None
        if not is_owned_by(obj, self._moltbot(key).uid):
            raise Conflict("a device of an earlier assistant of this name is still being removed")
        return self._take(obj)

    async def create_device(self, key: Key, device: NewDevice) -> DeviceFacts:
        async with _bounded():
            obj = await self._kube.create(MOLTBOT_DEVICES, build_device(self._moltbot(key), device), field_manager=FIELD_MANAGER_ROUTER)
        return self._take(obj)

    async def ask_device(self, key: Key, device: DeviceFacts, request: RequestFacts | None) -> DeviceFacts:
        return await self._patch(key, device, {"request": request_to_wire(request) if request is not None else None})

    async def approve_device(self, key: Key, device: DeviceFacts, approval: ApprovalFacts) -> DeviceFacts:
        return await self._patch(key, device, {"approved": approval_to_wire(approval), "request": None})

    async def set_generation(self, key: Key, device: DeviceFacts, generation: int) -> DeviceFacts:
        return await self._patch(key, device, {"tokenGeneration": generation})

    async def mark_seen(self, key: Key, device: DeviceFacts, at: datetime | None) -> None:
        status: Object = {"state": device.state.capitalize()}
        if at is not None:
            status["lastSeen"] = format_time(at)
        first = device.first_seen or at or device.created_at
        if first is not None:
            status["firstSeen"] = format_time(first)
        async with _bounded():
            obj = await self._kube.patch(
                MOLTBOT_DEVICES,
                device.object_name,
                key.namespace,
                {"status": status},
                field_manager=FIELD_MANAGER_ROUTER,
                subresource="status",
                uid=device.uid,
            )
        self._take(obj)

    async def delete_device(self, key: Key, device: DeviceFacts, *, unchanged: bool) -> bool:
        async with _bounded():
            return await self._kube.delete(
                MOLTBOT_DEVICES,
                device.object_name,
                key.namespace,
                uid=device.uid,
                resource_version=device.resource_version if unchanged else None,
            )

    async def _patch(self, key: Key, device: DeviceFacts, spec: Object) -> DeviceFacts:
        async with _bounded():
            obj = await self._kube.patch(
                MOLTBOT_DEVICES,
                device.object_name,
                key.namespace,
                {"spec": spec},
                field_manager=FIELD_MANAGER_ROUTER,
                resource_version=device.resource_version,
                uid=device.uid,
            )
        return self._take(obj)

    def _moltbot(self, key: Key) -> MoltbotFacts:
        instance = self._view.instance(key)
        if instance is None:
            raise Missing(f"there is no Moltbot {key} any more")
        return instance.moltbot

    def _take(self, obj: Object) -> DeviceFacts:
        """What we have just written counts at once, before the watch tells it."""
        facts = read_device(obj)
        self._view.device_cache.observe(obj)
        return facts


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """One write under its time budget, with the adapter's errors made the path's."""
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            with _translated():
                yield
    except TimeoutError as error:
        raise Unavailable("the Kubernetes API did not answer in time") from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KubeConflict as error:
        raise Conflict(str(error)) from error
    except NotFound as error:
        raise Missing(str(error)) from error
    except (Forbidden, Invalid) as error:
        raise Denied(str(error)) from error
    except KubeError as error:
        raise Unavailable(str(error)) from error
