"""What the administration shows and does, without HTTP: the state document of internals.md, and the changes, each with its audit line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from moltbot_router.locks.pairing import Pairing, is_live
from moltbot_router.path.facts import DeviceFacts, Instance, Key, SnapshotFacts
from moltbot_router.path.ports import Action, ClusterError, ClusterView, ClusterWrites, Missing
from moltbot_trust.clock import Clock, format_time
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_router.administration")
BY = "administration"


class Administration:
    """`connected`: device ids that are connected to this router."""

    def __init__(
        self, view: ClusterView, writes: ClusterWrites, pairing: Pairing, clock: Clock, connected: Callable[[Key], set[str]]
    ) -> None:
        self._view, self._writes, self._pairing, self._clock, self._connected = view, writes, pairing, clock, connected

    def list(self) -> dict[str, object]:
        """`GET /_admin/api/moltbots`."""
        items = []
        for moltbot in sorted(self._view.moltbots(), key=lambda moltbot: moltbot.key):
            ready = moltbot.condition("Ready")
            items.append(
                {
                    "namespace": moltbot.key.namespace,
                    "name": moltbot.key.name,
                    "phase": moltbot.phase,
                    "url": moltbot.url,
                    "ready": ready is not None and ready.status == "True",
                }
            )
        return {"items": items}

    def state(self, key: Key) -> dict[str, object] | None:
        """`GET M`, None when there is no such Moltbot."""
        instance = self._view.instance(key)
        if instance is None:
            return None
        return build_state(instance, self._view.devices(key), self._view.snapshots(key), self._connected(key))

    async def act(self, key: Key, action: Action) -> dict[str, object]:
        """Ask the operator by an annotation. Raises ClusterError."""
        self._require(key)
        now = self._clock.now()
        await self._writes.request_action(key, action, now)
        self._audit(key, action.value)
        return {"requested": format_time(now)}

    async def back_up(self, key: Key) -> dict[str, object]:
        """Ask for a snapshot now. Raises ClusterError."""
        self._require(key)
        name = await self._writes.create_snapshot(key)
        self._audit(key, "backup", snapshot=name)
        return {"snapshot": name}

    async def approve(self, key: Key, device_id: str, request_id: str) -> dict[str, object]:
        """Approve exactly the request that was shown. Raises ClusterError."""
        self._require(key)
        await self._pairing.approve(key, device_id, request_id, BY)
        self._audit(key, "approve", device=device_id)
        return {"deviceId": device_id}

    async def approve_all(self, key: Key) -> dict[str, object]:
        """Every request that stands; one that fails does not stop the others."""
        self._require(key)
        approved: list[str] = []
        failed: list[dict[str, object]] = []
        now = self._clock.now()
        for device in self._view.devices(key):
            if device.request is None or not is_live(device.request, now):
                continue
            try:
                await self._pairing.approve(key, device.device_id, device.request.id, BY)
            except ClusterError as error:
                failed.append({"deviceId": device.device_id, "message": str(error)})
            else:
                approved.append(device.device_id)
        self._audit(key, "approve-all", approved=approved, failed=len(failed))
        return {"approved": approved, "failed": failed}

    async def remove(self, key: Key, device_id: str) -> dict[str, object]:
        """Remove a device, pending or approved. Raises ClusterError."""
        self._require(key)
        device = next((device for device in self._view.devices(key) if device.device_id == device_id), None)
        if device is None:
            device = await self._writes.read_device(key, device_id)
        if device is None or not await self._pairing.remove(key, device, BY):
            raise Missing("there is no such device (any more)")
        self._audit(key, "remove", device=device_id)
        return {"deviceId": device_id}

    def _require(self, key: Key) -> None:
        if self._view.instance(key) is None:
            raise Missing(f"there is no Moltbot {key}")

    def _audit(self, key: Key, action: str, **fields: object) -> None:
        log.info("administration changed something", namespace=key.namespace, moltbot=key.name, action=action, **fields)


def build_state(instance: Instance, devices: list[DeviceFacts], snapshots: list[SnapshotFacts], connected: set[str]) -> dict[str, object]:
    """The document of `GET M`. Pure."""
    moltbot = instance.moltbot
    # Those that wait for somebody first.
    ordered = sorted(devices, key=lambda device: (device.request is None, device.device_id))
    return {
        "namespace": moltbot.key.namespace,
        "name": moltbot.key.name,
        "uid": moltbot.uid,
        "createdAt": format_time(moltbot.created_at),
        "spec": _spec(moltbot.spec),
        "status": dict(moltbot.status),
        "devices": [_device(device, connected) for device in ordered],
        "snapshots": [_snapshot(snapshot) for snapshot in snapshots],
    }


def _spec(spec: Mapping[str, object]) -> dict[str, object]:
    """What the page shows of the spec; the rest is not its business."""
    return {"sleepAfter": spec.get("sleepAfter"), "operatingMode": spec.get("operatingMode", "Auto")}


def _device(device: DeviceFacts, connected: set[str]) -> dict[str, object]:
    request, approved = device.request, device.approved
    return {
        "deviceId": device.device_id,
        "name": device.name,
        "platform": device.platform,
        "client": device.client,
        "state": device.state,
        "request": None
        if request is None
        else {"id": request.id, "at": format_time(request.at), "role": request.role, "scopes": list(request.scopes)},
        "approved": None
        if approved is None
        else {"by": approved.by, "at": format_time(approved.at), "roles": list(approved.roles), "scopes": list(approved.scopes)},
        "firstSeen": _time(device.first_seen or device.created_at),
        "lastSeen": _time(device.last_seen),
        "connected": device.device_id in connected,
    }


def _snapshot(snapshot: SnapshotFacts) -> dict[str, object]:
    return {
        "name": snapshot.name,
        "phase": snapshot.phase,
        "createdAt": _time(snapshot.created_at),
        "bytes": snapshot.bytes,
        "files": snapshot.files,
        "sequence": snapshot.sequence,
        "message": snapshot.message,
    }


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment is not None else None
