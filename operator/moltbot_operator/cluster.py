"""The lifecycle's port Cluster over `moltbot_kube`: reads from what the informers saw, writes with preconditions, errors translated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from moltbot_api.names import FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_NAME, MANAGED_BY, Children
from moltbot_api.snapshot import MoltbotSnapshotStatus
from moltbot_kube import AlreadyExists, Kube, KubeError, NotFound, Object
from moltbot_kube import Conflict as KubeConflict
from moltbot_kube.resources import MOLTBOT_SNAPSHOTS, PODS, STATEFUL_SETS
from moltbot_operator.events import EventRecorder, Told
from moltbot_operator.lifecycle.observed import Key, Observed
from moltbot_operator.lifecycle.ports import Conflict, Missing, ScaleFacts, SnapshotOutcome, Unavailable
from moltbot_operator.lifecycle.reports import SnapshotReport
from moltbot_operator.lifecycle.status import LifecycleStatus
from moltbot_operator.world import World
from moltbot_trust.clock import format_time
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_operator.cluster")


class ClusterPort:
    """`observe` and `record` are the reconciler's: it knows what the settings come to, and writes the status as a whole."""

    def __init__(
        self,
        kube: Kube,
        world: World,
        events: EventRecorder,
        observe: Callable[[Key], Observed | None],
        record: Callable[[Key, str, LifecycleStatus], Awaitable[None]],
    ) -> None:
        self._kube, self._world, self._events = kube, world, events
        self._observe, self._record = observe, record

    async def observe(self, key: Key) -> Observed | None:
        return self._observe(key)

    async def read_scale(self, key: Key, *, timeout: float) -> ScaleFacts | None:
        name = Children(key.name).gateway
        async with _translated(timeout):
            scale = await self._kube.get_scale(STATEFUL_SETS, name, key.namespace)
        if scale is None:
            return None
        metadata = scale["metadata"]
        return ScaleFacts(str(metadata["uid"]), str(metadata["resourceVersion"]), int((scale.get("spec") or {}).get("replicas") or 0))

    async def scale(self, key: Key, replicas: int, *, uid: str, resource_version: str | None, timeout: float) -> None:
        name = Children(key.name).gateway
        patch: Object = {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
        async with _translated(timeout):
            scale = await self._kube.patch(
                STATEFUL_SETS,
                name,
                key.namespace,
                patch,
                field_manager=FIELD_MANAGER,
                subresource="scale",
                resource_version=resource_version,
                uid=uid,
            )
        live = self._world.get(STATEFUL_SETS, name, key.namespace)
        if live is not None:
            # the Scale has the version of its StatefulSet: known now, so that the next pass does not write it again
            metadata = {**live["metadata"], "resourceVersion": scale["metadata"]["resourceVersion"]}
            self._world.observe(STATEFUL_SETS, {**live, "metadata": metadata, "spec": {**live["spec"], "replicas": replicas}})
        log.info("scaled", namespace=key.namespace, moltbot=key.name, replicas=replicas)

    async def delete_pod(self, key: Key, uid: str, *, timeout: float) -> None:
        async with _translated(timeout):
            await self._kube.delete(PODS, Children(key.name).pod, key.namespace, uid=uid)
        log.info("pod deleted", namespace=key.namespace, moltbot=key.name, pod=uid)

    async def record(self, key: Key, moltbot_uid: str, status: LifecycleStatus, *, timeout: float) -> None:
        async with _translated(timeout):
            await self._record(key, moltbot_uid, status)

    async def finish_snapshot(self, key: Key, name: str, uid: str, outcome: SnapshotOutcome, *, timeout: float) -> None:
        snapshot, backup = outcome.snapshot, outcome.backup
        moltbot = self._world.moltbot(key)
        status = MoltbotSnapshotStatus(
            phase="Complete" if outcome.complete else "Failed",
            message=outcome.message or None,
            moltbotUID=str(moltbot["metadata"]["uid"]) if moltbot else None,
            time=snapshot.time if snapshot else (backup.time if backup else outcome.time),
            verified=snapshot.verified if snapshot else None,
            bytes=snapshot.bytes if snapshot else (backup.bytes if backup else None),
            files=snapshot.files if snapshot else None,
            lineage=snapshot.lineage if snapshot else None,
            sequence=snapshot.sequence if snapshot else None,
            parent=snapshot.parent if snapshot else None,
            bucket_id=snapshot.id if snapshot else (backup.snapshot if backup else None),
        )
        await self._write_snapshot(key, name, uid, status, timeout)

    async def _write_snapshot(self, key: Key, name: str, uid: str, status: MoltbotSnapshotStatus, timeout: float) -> None:
        async with _translated(timeout):
            made = await self._kube.patch(
                MOLTBOT_SNAPSHOTS,
                name,
                key.namespace,
                {"status": status.to_wire()},
                field_manager=FIELD_MANAGER,
                subresource="status",
                uid=uid,
            )
        self._world.observe(MOLTBOT_SNAPSHOTS, made)

    async def mirror_snapshot(self, key: Key, moltbot_uid: str, snapshot: SnapshotReport, *, timeout: float) -> None:
        name = mirror_name(key, moltbot_uid, snapshot)
        labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_NAME: key.name}
        body: Object = {
            "apiVersion": MOLTBOT_SNAPSHOTS.api_version,
            "kind": MOLTBOT_SNAPSHOTS.kind,
            "metadata": {"name": name, "namespace": key.namespace, "labels": labels},
            "spec": {"moltbot": key.name},
        }
        async with _translated(timeout):
            try:
                made: Object | None = await self._kube.create(MOLTBOT_SNAPSHOTS, body, field_manager=FIELD_MANAGER)
            except AlreadyExists:
                made = await self._kube.get(MOLTBOT_SNAPSHOTS, name, key.namespace)
        if made is None:
            return
        self._world.observe(MOLTBOT_SNAPSHOTS, made)
        if (made.get("status") or {}).get("phase"):
            return
        status = MoltbotSnapshotStatus(
            phase="Complete",
            moltbotUID=moltbot_uid,
            time=snapshot.time,
            verified=snapshot.verified,
            bytes=snapshot.bytes,
            files=snapshot.files,
            lineage=snapshot.lineage,
            sequence=snapshot.sequence,
            parent=snapshot.parent,
            bucket_id=snapshot.id,
        )
        try:
            await self._write_snapshot(key, name, str(made["metadata"]["uid"]), status, timeout)
        except (Conflict, Missing) as error:
            raise Unavailable(str(error)) from error

    async def remove_mirror(self, key: Key, name: str, uid: str, *, timeout: float) -> None:
        async with _translated(timeout):
            await self._kube.delete(MOLTBOT_SNAPSHOTS, name, key.namespace, uid=uid)

    def event(self, key: Key, moltbot_uid: str, *, warning: bool, reason: str, message: str) -> None:
        self._events.tell(Told(key, moltbot_uid, warning, reason, message))


def mirror_name(key: Key, moltbot_uid: str, snapshot: SnapshotReport) -> str:
    """`<moltbot>-<time>-<hash of the id>`: people read when it was, and the id decides. An id of a bucket is hostile text."""
    digest = hashlib.sha256(f"{moltbot_uid}/{snapshot.id}".encode()).hexdigest()[:8]
    stamp = format_time(snapshot.time).lower().replace(":", "").replace("-", "")
    return f"{key.name}-{stamp}-{digest}"


@asynccontextmanager
async def _translated(timeout: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except KubeConflict as error:
        raise Conflict(str(error)) from error
    except NotFound as error:
        raise Missing(str(error)) from error
    except KubeError as error:
        raise Unavailable(str(error)) from error
    except TimeoutError as error:
        raise Unavailable("the Kubernetes API did not answer in time") from error
