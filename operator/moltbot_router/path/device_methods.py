"""`device.pair.*` and `device.token.*`: the router answers them, asleep and awake, with the operator down too (lock 3).

An approved administrator of the same Moltbot does by the official command line what the administration does by its page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from moltbot_protocol.errors import ErrorCode, ErrorShape, unavailable
from moltbot_protocol.frames import Request, Response, answer, refuse
from moltbot_protocol.methods import Method, covers
from moltbot_router.locks.device_tokens import make_device_token
from moltbot_router.locks.pairing import Pairing
from moltbot_router.path.facts import DeviceFacts, Key
from moltbot_router.path.ports import ClusterError, ClusterView, Conflict, Missing
from moltbot_trust.clock import Clock
from moltbot_trust.keys import KeyRing
from moltbot_trust.logs import get_logger

if TYPE_CHECKING:
    from moltbot_router.path.session import Session

log = get_logger("moltbot_router.devices")


class DeviceMethods:
    """The handlers; `ring_of` gives a Moltbot's keys by its uid."""

    def __init__(self, view: ClusterView, pairing: Pairing, clock: Clock, ring_of: Callable[[str], KeyRing | None]) -> None:
        self._view, self._pairing, self._clock, self._ring_of = view, pairing, clock, ring_of
        self._handlers: dict[str, Callable[[Session, dict[str, object]], Awaitable[dict[str, object] | ErrorShape]]] = {
            "device.pair.list": self._list,
            "device.pair.approve": self._approve,
            "device.pair.reject": self._reject,
            "device.pair.remove": self._remove,
            "device.token.rotate": self._rotate,
            "device.token.revoke": self._revoke,
        }

    async def __call__(self, session: Session, method: Method, request: Request) -> Response:
        """Answer one checked request."""
        params = request.params if isinstance(request.params, dict) else {}
        try:
            result = await self._handlers[method.name](session, params)
        except (Conflict, Missing) as error:
            result = ErrorShape(ErrorCode.INVALID_REQUEST, str(error))
        except ClusterError as error:
            log.warning("device method not possible now", method=method.name, error=str(error))
            result = unavailable("the cluster does not answer; try again", retry_after_ms=2000)
        return refuse(request.id, result) if isinstance(result, ErrorShape) else answer(request.id, result)

    async def _list(self, session: Session, params: dict[str, object]) -> dict[str, object]:
        devices = self._view.devices(session.key)
        return {
            "pending": [pending_entry(device) for device in devices if device.request is not None],
            "paired": [paired_entry(device) for device in devices if device.approved is not None],
        }

    async def _approve(self, session: Session, params: dict[str, object]) -> dict[str, object] | ErrorShape:
        device = self._by_request(session.key, params["requestId"])
        if device is None or device.request is None:
            return _unknown_request()
        if not covers(session.grant.scopes, device.request.scopes):
            # Nobody grants more than they have.
            return ErrorShape(ErrorCode.FORBIDDEN, "the device asks for more than you may grant")
        approved = await self._pairing.approve(session.key, device.device_id, device.request.id, f"device {session.grant.device.device_id}")
        return {"requestId": device.request.id, "device": paired_entry(approved)}

    async def _reject(self, session: Session, params: dict[str, object]) -> dict[str, object] | ErrorShape:
        device = self._by_request(session.key, params["requestId"])
        if device is None or device.request is None:
            return _unknown_request()
        await self._pairing.reject(session.key, device)
        return {"requestId": device.request.id, "deviceId": device.device_id}

    async def _remove(self, session: Session, params: dict[str, object]) -> dict[str, object] | ErrorShape:
        device = self._by_id(session.key, params["deviceId"])
        if device is None or not await self._pairing.remove(session.key, device, f"device {session.grant.device.device_id}"):
            return _unknown_device()
        return {"deviceId": device.device_id}

    async def _rotate(self, session: Session, params: dict[str, object]) -> dict[str, object] | ErrorShape:
        device = self._by_id(session.key, params["deviceId"])
        role = params["role"]
        if device is None or device.approved is None or role not in device.approved.roles:
            return _unknown_device()
        asked = params.get("scopes")
        if isinstance(asked, list) and not covers(device.approved.scopes, [str(scope) for scope in asked]):
            return ErrorShape(ErrorCode.INVALID_REQUEST, "a token has at most the scopes that the device was approved for")
        if not covers(session.grant.scopes, device.approved.scopes):
            return ErrorShape(ErrorCode.FORBIDDEN, "the device has more permissions than you")
        raised = await self._pairing.raise_generation(session.key, device.device_id)
        instance = self._view.instance(session.key)
        ring = self._ring_of(instance.moltbot.uid) if instance is not None else None
        if raised is None or raised.approved is None or ring is None:
            return _unknown_device()
        return {
            "deviceId": raised.device_id,
            "role": role,
            "token": make_device_token(ring, raised, str(role)),
            "scopes": list(raised.approved.scopes),
            "rotatedAtMs": self._now_ms(),
        }

    async def _revoke(self, session: Session, params: dict[str, object]) -> dict[str, object] | ErrorShape:
        device = self._by_id(session.key, params["deviceId"])
        if device is None or await self._pairing.raise_generation(session.key, device.device_id) is None:
            return _unknown_device()
        return {"deviceId": device.device_id, "role": params["role"], "revokedAtMs": self._now_ms()}

    def _by_request(self, key: Key, request_id: object) -> DeviceFacts | None:
        return next((d for d in self._view.devices(key) if d.request is not None and d.request.id == request_id), None)

    def _by_id(self, key: Key, device_id: object) -> DeviceFacts | None:
        return next((device for device in self._view.devices(key) if device.device_id == device_id), None)

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)


def pending_entry(device: DeviceFacts) -> dict[str, object]:
    """One row of `pending`, and the payload of `device.pair.requested`."""
    request = device.request
    assert request is not None
    entry: dict[str, object] = {
        "requestId": request.id,
        "deviceId": device.device_id,
        "publicKey": device.public_key,
        "role": request.role,
        "roles": [request.role],
        "scopes": list(request.scopes),
        "silent": False,
        "isRepair": device.approved is not None,
        "ts": _ms(request.at),
    }
    return entry | _self_description(device)


def paired_entry(device: DeviceFacts) -> dict[str, object]:
    """One row of `paired`."""
    approved = device.approved
    assert approved is not None
    tokens = [
        {"role": role, "scopes": list(approved.scopes), "createdAtMs": _ms(approved.at)}
        | ({"lastUsedAtMs": _ms(device.last_seen)} if device.last_seen is not None else {})
        for role in approved.roles
    ]
    entry: dict[str, object] = {
        "deviceId": device.device_id,
        "publicKey": device.public_key,
        "role": approved.roles[0],
        "roles": list(approved.roles),
        "scopes": list(approved.scopes),
        "createdAtMs": _ms(device.created_at or approved.at),
        "approvedAtMs": _ms(approved.at),
        "tokens": tokens,
    }
    return entry | _self_description(device)


def _self_description(device: DeviceFacts) -> dict[str, object]:
    said: dict[str, object] = {}
    if device.name:
        said["displayName"] = device.name
    if device.platform:
        said["platform"] = device.platform
    if device.client:
        said["clientId"] = device.client.partition(" ")[0]
    return said


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _unknown_request() -> ErrorShape:
    return ErrorShape(ErrorCode.INVALID_REQUEST, "unknown requestId")


def _unknown_device() -> ErrorShape:
    return ErrorShape(ErrorCode.INVALID_REQUEST, "unknown deviceId/role")
