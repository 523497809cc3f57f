"""What the request path needs of the world. Bound to the Kubernetes API by `moltbot_router.cluster`, to memory in tests.

ClusterError
├── Unavailable   the API did not answer, or not now: what was asked for may or may not have happened
├── Conflict      a precondition (uid, resourceVersion, existence) does not hold: read again
├── Missing       the object is gone
└── Denied        the API says no: rights or an admission policy
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from moltbot_router.path.facts import ApprovalFacts, DeviceFacts, Instance, Key, MoltbotFacts, PodFacts, RequestFacts, SnapshotFacts


class ClusterError(Exception):
    """Root of the tree."""


class Unavailable(ClusterError):
    """Unknown outcome."""


class Conflict(ClusterError):
    """Somebody was faster."""


class Missing(ClusterError):
    """Gone."""


class Denied(ClusterError):
    """Not allowed."""


class Action(StrEnum):
    """What a person may ask for by an annotation of the Moltbot (rule 1)."""

    WAKE = "wake"
    SLEEP = "sleep"
    RESTART = "restart"
    REFRESH = "refresh"


class ClusterView(Protocol):
    """The watch caches: may be behind, never wait."""

    @property
    def synced(self) -> bool:
        """Everything was listed once."""

    def moltbots(self) -> Iterable[MoltbotFacts]:
        """All of them."""

    def instance(self, key: Key) -> Instance | None:
        """One with what runs for it; None when there is no such Moltbot."""

    def devices(self, key: Key) -> list[DeviceFacts]:
        """Its devices; only while their owner is this Moltbot."""

    def snapshots(self, key: Key) -> list[SnapshotFacts]:
        """Its snapshots, newest first."""

    def subscribe(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        """Call at each change of anything of a Moltbot; returns what ends it."""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device that was not seen before, with its first request."""

    device_id: str
    public_key: str
    name: str
    platform: str
    client: str
    request: RequestFacts


class ClusterWrites(Protocol):
    """Each is one request, bounded in time; raises ClusterError."""

    async def scale_to_one(self, key: Key) -> int | None:
        """Write 1 to the StatefulSet's scale; the resourceVersion it then has, None when that is not a number."""

    async def request_action(self, key: Key, action: Action, at: datetime) -> None:
        """Set the action's annotation."""

    async def create_snapshot(self, key: Key) -> str:
        """A new MoltbotSnapshot; its name."""

    async def read_device(self, key: Key, device_id: str) -> DeviceFacts | None:
        """The object itself, not the cache; None when there is none that belongs to this Moltbot. Raises Conflict when one of another
        owner is in the way."""

    async def create_device(self, key: Key, device: NewDevice) -> DeviceFacts:
        """Raises Conflict when it exists."""

    async def ask_device(self, key: Key, device: DeviceFacts, request: RequestFacts | None) -> DeviceFacts:
        """Set or (None) remove the request, if the object is still as it was read."""

    async def approve_device(self, key: Key, device: DeviceFacts, approval: ApprovalFacts) -> DeviceFacts:
        """Write `approved`, remove `request`, if the object is still as it was shown."""

    async def set_generation(self, key: Key, device: DeviceFacts, generation: int) -> DeviceFacts:
        """Raise the token generation."""

    async def mark_seen(self, key: Key, device: DeviceFacts, at: datetime | None) -> None:
        """Write the status: its state, and (unless None) when it was seen."""

    async def delete_device(self, key: Key, device: DeviceFacts, *, unchanged: bool) -> bool:
        """Delete that very object; `unchanged`: only if it is still as it was read. False when it was gone."""


class Prober(Protocol):
    """Asks a pod whether it is open."""

    async def probe(self, pod: PodFacts) -> bool:
        """One `/readyz`, pinned, bounded to a fraction of a second. False for any reason at all; never raises but CancelledError."""
