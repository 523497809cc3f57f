"""A changed bucket while awake (rule 9): the state container reads place and keys at its start, so it is started again in place.

No pod is replaced for it, and nothing of a sleep is done with keys that do not count any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from moltbot_api.names import CONTAINER_STATE
from moltbot_kube import Object
from moltbot_operator.facts import pod_facts
from moltbot_operator.lifecycle.observed import Key, PodFacts
from moltbot_operator.lifecycle.ports import Unavailable
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.bucket")
ASK_SECONDS = 3.0


class StateProcess(Protocol):
    """What is asked of a state container here."""

    async def bucket_revision(self, pod: PodFacts, *, timeout: float) -> str | None: ...

    async def exit(self, pod: PodFacts, *, timeout: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Run:
    """One life of a container: it reads its environment once in it."""

    pod_uid: str
    restarts: int


class BucketChange:
    """One for the process. Remembers which lives are known to have read which bucket, so that each is asked once."""

    def __init__(self, state: StateProcess) -> None:
        self._state = state
        self._read: dict[Key, tuple[_Run, str]] = {}

    async def apply(self, key: Key, pod: Object, revision: str) -> None:
        """Have the running state container use the bucket of `revision`. What cannot be done now is done at the next pass."""
        run = _running(pod)
        if run is None or self._read.get(key) == (run, revision):
            return
        facts = pod_facts(pod)
        try:
            read = await self._state.bucket_revision(facts, timeout=ASK_SECONDS)
            if read is not None and read != revision:
                await self._state.exit(facts, timeout=ASK_SECONDS)
                log.info("state container starts again for a changed bucket", namespace=key.namespace, moltbot=key.name)
                return
        except Unavailable:
            return
        self._read[key] = (run, revision)

    def forget(self, key: Key) -> None:
        """The Moltbot is gone."""
        self._read.pop(key, None)


def _running(pod: Object) -> _Run | None:
    if pod["metadata"].get("deletionTimestamp"):
        return None
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    for one in statuses:
        if one.get("name") == CONTAINER_STATE and (one.get("state") or {}).get("running"):
            return _Run(str(pod["metadata"]["uid"]), int(one.get("restartCount") or 0))
    return None
