"""Lock 3: is this device approved for what it asks, and if not, how it asks. Pure decisions first, then the service that carries them out.

A request lives five minutes. About 64 approved and 8 pending devices a Moltbot are allowed, as each router counts them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from moltbot_protocol.connect import Connect
from moltbot_protocol.identity import ProvenDevice
from moltbot_protocol.methods import Scope, covers
from moltbot_router.path.facts import ApprovalFacts, DeviceFacts, Key, RequestFacts
from moltbot_router.path.ports import ClusterView, ClusterWrites, Conflict, Missing, NewDevice
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

REQUEST_LIFE = timedelta(minutes=5)
MAX_APPROVED, MAX_PENDING = 64, 8
# Written at most this often for each device (rule: first and last seen).
SEEN_EVERY = timedelta(minutes=5)
MAX_SELF_DESCRIPTION = 128
# Retries when another router, or a person, changed the object between our read and our write.
CONFLICT_RETRIES = 4

_KNOWN_SCOPES = frozenset(Scope)
log = get_logger("moltbot_router.pairing")


class Reason(StrEnum):
    """Why a device is not let in: the wire's words (version 4)."""

    NOT_PAIRED = "not-paired"
    ROLE = "role-upgrade"
    SCOPE = "scope-upgrade"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a connection asks for."""

    role: str
    scopes: tuple[str, ...]


def wished(connect: Connect, protocol: int, device: DeviceFacts | None) -> Wish:
    """Role and scopes of a `connect`. An operator that names none gets what was granted before; else version 3's default, which is
    admin, or read and write."""
    asked = connect.scopes or ()
    if asked or connect.role != "operator":
        # Only scopes that exist are granted: a new word is no grant of anything.
        return Wish(connect.role, tuple(dict.fromkeys(scope for scope in asked if scope in _KNOWN_SCOPES)))
    if device is not None and device.approved is not None and connect.role in device.approved.roles:
        return Wish(connect.role, device.approved.scopes)
    return Wish(connect.role, (Scope.ADMIN.value,) if protocol < 4 else (Scope.READ.value, Scope.WRITE.value))


def missing_grant(device: DeviceFacts | None, wish: Wish) -> Reason | None:
    """None when the device is approved for all of it."""
    if device is None or device.approved is None:
        return Reason.NOT_PAIRED
    if wish.role not in device.approved.roles:
        return Reason.ROLE
    if not covers(device.approved.scopes, wish.scopes):
        return Reason.SCOPE
    return None


def is_live(request: RequestFacts | None, now: datetime) -> bool:
    """Whether a request still stands."""
    return request is not None and now - request.at < REQUEST_LIFE


def asks_the_same(request: RequestFacts, wish: Wish) -> bool:
    """Whether a standing request is this very wish."""
    return request.role == wish.role and set(request.scopes) == set(wish.scopes)


def is_house_full(devices: Sequence[DeviceFacts], device_id: str, now: datetime) -> bool:
    """Whether one more device may not even ask."""
    others = [device for device in devices if device.device_id != device_id]
    approved = sum(device.approved is not None for device in others)
    pending = sum(device.approved is None and is_live(device.request, now) for device in others)
    return approved >= MAX_APPROVED or pending >= MAX_PENDING


def merged_approval(device: DeviceFacts, by: str, now: datetime) -> ApprovalFacts:
    """What approving the standing request grants: what was granted before, and what is asked now. Raises ValueError when nothing is
    asked."""
    if device.request is None:
        raise ValueError("nothing is asked")
    before = device.approved
    roles = tuple(dict.fromkeys((*(before.roles if before else ()), device.request.role)))
    scopes = tuple(dict.fromkeys((*(before.scopes if before else ()), *device.request.scopes)))
    return ApprovalFacts(device.request.id, roles, scopes, by, now)


class Refused(Exception):
    """Not let in. `request_id` is what a person approves; "" when the house is full."""

    def __init__(self, reason: Reason, request_id: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.request_id, self.message = reason, request_id, message


class Pairing:
    """Carries the decisions out over the cluster's ports. Raises ClusterError where the API does not answer."""

    def __init__(self, view: ClusterView, writes: ClusterWrites, clock: Clock) -> None:
        self._view, self._writes, self._clock = view, writes, clock
        self._seen: dict[tuple[Key, str], datetime] = {}

    async def admit(self, key: Key, proven: ProvenDevice, connect: Connect, protocol: int) -> tuple[DeviceFacts, Wish]:
        """The approved device and what it gets. Raises Refused after its request stands in the API."""
        cached = next((device for device in self._view.devices(key) if device.device_id == proven.id), None)
        wish = wished(connect, protocol, cached)
        if missing_grant(cached, wish) is None:
            assert cached is not None
            return cached, wish
        # The watch may be behind: the object itself decides, before anybody is refused or anything is created.
        for _ in range(CONFLICT_RETRIES):
            device = await self._writes.read_device(key, proven.id)
            wish = wished(connect, protocol, device)
            reason = missing_grant(device, wish)
            if reason is None:
                assert device is not None
                return device, wish
            try:
                request = await self._ask(key, device, proven, connect, wish)
            except Conflict:
                continue
            raise Refused(reason, request.id, _sentence(reason))
        raise Conflict("the device's object changes faster than it can be written")

    async def _ask(self, key: Key, device: DeviceFacts | None, proven: ProvenDevice, connect: Connect, wish: Wish) -> RequestFacts:
        now = self._clock.now()
        if device is not None and device.request is not None and is_live(device.request, now) and asks_the_same(device.request, wish):
            return device.request
        if is_house_full(self._view.devices(key), proven.id, now):
            raise Refused(Reason.NOT_PAIRED, "", "too many devices wait for approval or are approved; remove some first")
        request = RequestFacts(str(uuid.uuid4()), now, wish.role, wish.scopes)
        client = connect.client
        bound = log.bind(namespace=key.namespace, moltbot=key.name, device=proven.id)
        if device is None:
            new = NewDevice(
                proven.id,
                proven.public_key,
                _cut(client.display_name or client.id),
                _cut(client.platform),
                _cut(f"{client.id} {client.version}"),
                request,
            )
            await self._writes.create_device(key, new)
            bound.info("device asks to be approved", request=request.id)
        else:
            await self._writes.ask_device(key, device, request)
            bound.info("device asks for more", request=request.id, role=wish.role, scopes=list(wish.scopes))
        return request

    async def approve(self, key: Key, device_id: str, request_id: str, by: str) -> DeviceFacts:
        """Approve exactly the request that was shown. Raises Conflict when it is another by now, Missing through the port when it is
        gone."""
        device = await self._writes.read_device(key, device_id)
        if device is None or device.request is None or device.request.id != request_id:
            raise Conflict("that request is not there any more; look again")
        if not is_live(device.request, self._clock.now()):
            raise Conflict("that request is older than five minutes; let the device ask again")
        approved = await self._writes.approve_device(key, device, merged_approval(device, by, self._clock.now()))
        log.info("device approved", namespace=key.namespace, moltbot=key.name, device=device_id, by=by, request=request_id)
        return approved

    async def reject(self, key: Key, device: DeviceFacts) -> None:
        """Drop the standing request, and the object with it when nothing was ever approved."""
        if device.approved is None:
            await self._writes.delete_device(key, device, unchanged=True)
        else:
            await self._writes.ask_device(key, device, None)
        log.info("device rejected", namespace=key.namespace, moltbot=key.name, device=device.device_id)

    async def remove(self, key: Key, device: DeviceFacts, by: str) -> bool:
        """Delete the device: every token of it is void at once."""
        gone = await self._writes.delete_device(key, device, unchanged=False)
        log.info("device removed", namespace=key.namespace, moltbot=key.name, device=device.device_id, by=by)
        return gone

    async def raise_generation(self, key: Key, device_id: str) -> DeviceFacts | None:
        """Void every token given out so far; None when there is no such device."""
        for _ in range(CONFLICT_RETRIES):
            device = await self._writes.read_device(key, device_id)
            if device is None or device.approved is None:
                return None
            try:
                return await self._writes.set_generation(key, device, device.generation + 1)
            except Conflict:
                continue
        raise Conflict("the device's object changes faster than it can be written")

    async def note_seen(self, key: Key, device: DeviceFacts) -> None:
        """Write last seen, at most every five minutes for each device and router."""
        now = self._clock.now()
        last = max((moment for moment in (device.last_seen, self._seen.get((key, device.uid))) if moment is not None), default=None)
        if last is not None and now - last < SEEN_EVERY:
            return
        self._seen = {known: at for known, at in self._seen.items() if now - at < SEEN_EVERY}
        self._seen[(key, device.uid)] = now
        await self._writes.mark_seen(key, device, now)

    async def tidy(self, key: Key) -> None:
        """Remove what nobody approved in five minutes, and correct what the status says. Several routers may do it: preconditions make a
        removal happen once, and writing the same status twice changes nothing."""
        now = self._clock.now()
        for device in self._view.devices(key):
            try:
                if device.request is not None and not is_live(device.request, now):
                    await self.reject(key, device)
                elif device.shown_state != device.state.capitalize():
                    await self._writes.mark_seen(key, device, None)
            except (Conflict, Missing):
                continue


def _cut(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_SELF_DESCRIPTION]


def _sentence(reason: Reason) -> str:
    match reason:
        case Reason.NOT_PAIRED:
            return "pairing required: device is not approved yet"
        case Reason.ROLE:
            return "pairing required: device is asking for a higher role than currently approved"
        case Reason.SCOPE:
            return "pairing required: device is asking for more scopes than currently approved"
