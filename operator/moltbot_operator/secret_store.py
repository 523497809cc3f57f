"""Secrets, read by name and kept for a while (rule 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moltbot_kube import Kube, Object
from moltbot_kube.resources import SECRETS
from moltbot_operator.keys import decode_data
from moltbot_operator.named_objects import NamedObjects
from moltbot_trust.clock import Clock


@dataclass(frozen=True, slots=True, repr=False)
class StoredSecret:
    """A Secret as it was read. `data` is decoded."""

    metadata: Object
    type: str
    data: Mapping[str, bytes]


class SecretStore(NamedObjects):
    """One for the process."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        super().__init__(kube, clock, SECRETS)

    async def get(self, namespace: str, name: str, *, max_age: float) -> StoredSecret | None:
        """The Secret, or None; at most `max_age` seconds old. Raises KubeError."""
        live = await self.get_live(namespace, name, max_age=max_age)
        return None if live is None else StoredSecret(live["metadata"], str(live.get("type") or ""), decode_data(live))
