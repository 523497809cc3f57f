"""Events: what people read in `kubectl describe`. One object per (Moltbot, reason, message), counted up at most every 5 minutes.

Telling never fails and never waits: a bounded queue, written by one task; when it is full the newest are dropped and logged.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from moltbot_api.names import API_VERSION, FIELD_MANAGER
from moltbot_kube import AlreadyExists, Forbidden, Kube, KubeError, NotFound, Object
from moltbot_kube.resources import EVENTS
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.manifests.hashing import canonical
from moltbot_trust.clock import Clock, format_time
from moltbot_trust.logs import get_logger
from moltbot_trust.redaction import scrub_text

log = get_logger("moltbot_operator.events")
REPEAT_SECONDS = 300.0
QUEUE_LENGTH = 1000
# https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ (note: 1 KiB)
MESSAGE_LENGTH = 1024
# Events live for an hour in the API; what is remembered of them need not be older.
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell of a Moltbot."""

    key: Key
    uid: str
    warning: bool
    reason: str
    message: str

    @property
    def name(self) -> str:
        """Name of its Event: the same for the same thing, also after a restart."""
        digest = hashlib.sha256(canonical([self.uid, self.warning, self.reason, self.message])).hexdigest()[:16]
        return f"{self.key.name}.{digest}"


class EventRecorder:
    """One for the process."""

    def __init__(self, kube: Kube, clock: Clock, *, instance: str) -> None:
        self._kube, self._clock, self._instance = kube, clock, instance
        self._queue: asyncio.Queue[Told] = asyncio.Queue(QUEUE_LENGTH)
        self._told: dict[tuple[str, str], float] = {}  # (namespace, name of the Event) → when, monotonic
        self._counts: dict[tuple[str, str], int] = {}

    def tell(self, told: Told) -> None:
        """Queue it; the same thing within 5 minutes is told once."""
        now = self._clock.monotonic()
        mark = (told.key.namespace, told.name)
        last = self._told.get(mark)
        if last is not None and now - last < REPEAT_SECONDS:
            return
        try:
            self._queue.put_nowait(told)
        except asyncio.QueueFull:
            log.warning("event dropped", namespace=told.key.namespace, moltbot=told.key.name, reason=told.reason)
            return
        self._told.pop(mark, None)
        self._told[mark] = now
        while len(self._told) > REMEMBERED:
            oldest = next(iter(self._told))
            self._told.pop(oldest)
            self._counts.pop(oldest, None)

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            told = await self._queue.get()
            try:
                await self._write(told)
            except Forbidden as error:
                if not error.namespace_terminating:
                    log.warning("event not written", namespace=told.key.namespace, moltbot=told.key.name, error=str(error))
            except KubeError as error:
                log.warning("event not written", namespace=told.key.namespace, moltbot=told.key.name, reason=told.reason, error=str(error))
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Until everything queued so far is written; for tests and shutdown, under the caller's timeout."""
        await self._queue.join()

    async def _write(self, told: Told) -> None:
        try:
            await self._kube.create_event(self._object(told), field_manager=FIELD_MANAGER)
        except AlreadyExists:
            await self._count_up(told)

    async def _count_up(self, told: Told) -> None:
        # the operator may create and patch Events, and needs no right to read them: after a restart the count begins again
        mark = (told.key.namespace, told.name)
        count = self._counts[mark] = self._counts.get(mark, 1) + 1
        patch = {"count": count, "lastTimestamp": format_time(self._clock.now())}
        try:
            await self._kube.patch(EVENTS, told.name, told.key.namespace, patch, field_manager=FIELD_MANAGER)
        except NotFound:
            return  # its hour was over in between

    def _object(self, told: Told) -> Object:
        now = format_time(self._clock.now())
        involved = {"apiVersion": API_VERSION, "kind": "Moltbot", "namespace": told.key.namespace, "name": told.key.name, "uid": told.uid}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": told.name, "namespace": told.key.namespace},
            "involvedObject": involved,
            "type": "Warning" if told.warning else "Normal",
            "reason": told.reason,
            "message": scrub_text(told.message)[:MESSAGE_LENGTH],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
