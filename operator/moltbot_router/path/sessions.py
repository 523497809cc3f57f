"""All open connections of this router: found by Moltbot, ended when what let them in no longer holds, told of what concerns them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moltbot_protocol.errors import CloseCode
from moltbot_protocol.events import DEVICE_PAIR_REQUESTED, device_resolved, shutdown
from moltbot_protocol.frames import Event
from moltbot_protocol.methods import Scope, covers, has_scope
from moltbot_router.locks.credentials import Kind
from moltbot_router.path.device_methods import pending_entry
from moltbot_router.path.facts import DeviceFacts, Key
from moltbot_router.path.opening import Grant
from moltbot_router.path.ports import ClusterView
from moltbot_router.path.session import Session
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_router.sessions")


def why_ended(grant: Grant, devices: list[DeviceFacts], verifiers: object) -> str | None:
    """None while everything that let the connection in still holds, else the words of its close frame. Pure."""
    device = next((device for device in devices if device.uid == grant.device.uid), None)
    if device is None or device.approved is None:
        return "device removed"
    if device.generation != grant.device.generation:
        return "device token revoked"
    if grant.role not in device.approved.roles or not covers(device.approved.scopes, grant.scopes):
        return "device permissions changed"
    if grant.passed.kind is not Kind.DEVICE and isinstance(verifiers, tuple) and grant.passed.verifier not in verifiers:
        return "gateway token changed"
    return None


class Sessions:
    """The registry. Watches the cluster for what ends connections."""

    def __init__(self, view: ClusterView, clock: Clock) -> None:
        self._view, self._clock = view, clock
        self._by_key: dict[Key, set[Session]] = {}
        self._known: dict[Key, dict[str, DeviceFacts]] = {}
        self._listeners: list[Callable[[Key], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe = view.subscribe(self._changed)

    def add(self, session: Session) -> None:
        """From now on it is watched over."""
        self._by_key.setdefault(session.key, set()).add(session)
        # What changed between the opening's look and now.
        self._check(session.key)
        self._tell(session.key)

    def discard(self, session: Session) -> None:
        """It has ended."""
        sessions = self._by_key.get(session.key)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._by_key[session.key]
        self._tell(session.key)

    def connected(self, key: Key) -> set[str]:
        """Device ids that are connected here."""
        return {session.grant.device.device_id for session in self._by_key.get(key, ())}

    def __len__(self) -> int:
        return sum(len(sessions) for sessions in self._by_key.values())

    def listen(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        """Call when somebody comes or goes."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    async def close(self) -> None:
        """Tell everybody that this router goes, and close with 1012: clients come back at once, to another one."""
        self._unsubscribe()
        sessions = [session for group in self._by_key.values() for session in group]
        await asyncio.gather(*(session.send_event(shutdown("router restart", 1000)) for session in sessions), return_exceptions=True)
        for session in sessions:
            session.close(CloseCode.RESTART, "service restart")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _changed(self, key: Key) -> None:
        self._push(key)
        if key in self._by_key:
            self._check(key)

    def _check(self, key: Key) -> None:
        instance = self._view.instance(key)
        devices = self._view.devices(key)
        for session in list(self._by_key.get(key, ())):
            why = "assistant removed" if instance is None else why_ended(session.grant, devices, instance.moltbot.verifiers)
            if why is not None:
                log.info("connection ended", moltbot=str(key), device=session.grant.device.device_id, reason=why)
                session.close(CloseCode.POLICY, why)

    def _push(self, key: Key) -> None:
        """`device.pair.*` events for those who may approve."""
        before = self._known.get(key)
        now = {device.device_id: device for device in self._view.devices(key)}
        if key in self._by_key:
            self._known[key] = now
        else:
            self._known.pop(key, None)
        if before is None or key not in self._by_key:
            return
        now_ms = int(self._clock.epoch() * 1000)
        events: list[Event] = []
        for device_id in before.keys() | now.keys():
            old, new = before.get(device_id), now.get(device_id)
            asked = old.request.id if old is not None and old.request is not None else None
            asks = new.request.id if new is not None and new.request is not None else None
            if asked is not None and asks != asked:
                granted = new is not None and new.approved is not None and new.approved.request == asked
                events.append(device_resolved(asked, device_id, "approved" if granted else "rejected", now_ms))
            if new is not None and asks is not None and asks != asked:
                events.append(Event(DEVICE_PAIR_REQUESTED, pending_entry(new)))
        audience = [session for session in self._by_key[key] if has_scope(session.grant.scopes, Scope.PAIRING)]
        for event in events:
            for session in audience:
                task = asyncio.get_running_loop().create_task(session.send_event(event))
                self._tasks.add(task)
                task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its session ends by itself

    def _tell(self, key: Key) -> None:
        for listener in list(self._listeners):
            listener(key)
