"""What the path needs of a pod's connections; the edge speaks HTTP and WebSocket behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from moltbot_router.path.facts import MoltbotFacts, PodFacts
from moltbot_trust.seals import Seal


class UpstreamLost(Exception):
    """No connection, or it broke: the pod is not (any more) what it was taken for. `sent` False: certainly nothing of the request got
    there."""

    def __init__(self, what: str, *, sent: bool = True) -> None:
        super().__init__(what)
        self.sent = sent


class UpstreamRefused(Exception):
    """The pod answered the upgrade with something else. `not_accepted` is the quiesce's id when it is going to sleep."""

    def __init__(self, status: int, not_accepted: str | None) -> None:
        super().__init__(f"the gateway answered {status}")
        self.status, self.not_accepted = status, not_accepted


class Committed(Exception):
    """The pod has committed to sleep: it never serves again."""


class UpstreamSocket(Protocol):
    """An open WebSocket into a pod: the first frame is already a request."""

    async def send(self, text: str) -> None:
        """Raises UpstreamLost. Waits while the pod does not read."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Texts until it ends, for whatever reason."""

    async def close(self) -> None:
        """Idempotent."""


class Gateways(Protocol):
    """Connections into gateway pods."""

    async def open_socket(self, moltbot: MoltbotFacts, pod: PodFacts, seal: Seal) -> UpstreamSocket:
        """Raises UpstreamLost, UpstreamRefused."""

    async def resume(self, moltbot: MoltbotFacts, pod: PodFacts, quiesce_id: str) -> None:
        """Rule 5b: there is work. Raises Committed, UpstreamLost."""

    async def touch(self, moltbot: MoltbotFacts, pod: PodFacts) -> None:
        """Rule 6: a person is there. Raises Committed, UpstreamLost."""


class ClientSocket(Protocol):
    """The person's side of a connection."""

    async def send(self, text: str) -> None:
        """Raises ConnectionError when it is gone. Waits while the client does not read."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Texts until it ends."""

    async def close(self, code: int, reason: str) -> None:
        """Idempotent."""
