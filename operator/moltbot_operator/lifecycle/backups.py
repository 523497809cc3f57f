"""Backups as the operator sees them: when the CronJob rests, what becomes of MoltbotSnapshots, what is recorded (rules 8, 9). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from moltbot_operator.lifecycle.observed import MoltbotFacts, Observed, SnapshotFacts, Storage
from moltbot_operator.lifecycle.pod_watch import Reports
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState, SnapshotReport, StateReport
from moltbot_operator.lifecycle.status import LastBackup, Recorded

# Mirrors kept beside those that a person asked for (api.md).
MIRRORS_KEPT = 12
# A person's snapshot that could not be asked for in this time is told as failed (seconds).
REQUEST_PATIENCE_SECONDS = 900.0
NO_BUCKET = (
    "there is no bucket: name one in spec.persistence.bucket, or put R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY and CF_ACCOUNT_ID"
    " into a Secret of spec.secretsFrom"
)


def decide_backups_suspended(observed: Observed) -> bool:
    """Whether the backup CronJob is suspended: asleep there is nobody to ask, and the bucket was brought up to date before."""
    if not observed.moltbot.has_bucket or observed.moltbot.deleting:
        return True
    return observed.statefulset is None or observed.statefulset.replicas == 0


def decide_recorded(recorded: Recorded | None, moltbot: MoltbotFacts, reports: Reports, taken: SnapshotReport | None) -> Recorded | None:
    """What must not be lost from sight (rule 8): a verified snapshot, or the lineage and sequence of an opened volume.

    Within a lineage it never goes back. Another lineage replaces it: the pod opens one only by a person's `restore`.
    """
    if moltbot.lose_on_restart:
        return recorded
    seen: list[Recorded] = []
    gateway, state = reports.gateway, reports.state
    opened = gateway is not None and gateway.opened
    if (
        gateway is not None
        and opened
        and moltbot.storage is Storage.VOLUME
        and gateway.lineage is not None
        and gateway.sequence is not None
    ):
        seen.append(Recorded(gateway.lineage, gateway.sequence))
    for snapshot in (state.last_snapshot if state is not None else None, taken):
        # before it is open, what lies in the bucket is what is being looked at, not what was chosen
        if snapshot is not None and snapshot.verified and (opened or snapshot is taken):
            seen.append(Recorded(snapshot.lineage, snapshot.sequence))
    for found in seen:
        if recorded is None or found.lineage != recorded.lineage or found.sequence > recorded.sequence:
            recorded = found
    return recorded


def decide_last_backup(
    known: LastBackup | None, state: StateReport | None, taken: SnapshotReport | None, now: datetime
) -> LastBackup | None:
    """When the bucket was last found equal to the state, and which snapshot that is."""
    if taken is not None and taken.verified:
        return LastBackup(now, taken.id, taken.bytes)
    if state is None or state.last_equal is None or state.last_snapshot is None:
        return known
    if known is not None and known.time >= state.last_equal:
        return known
    return LastBackup(state.last_equal, state.last_snapshot.id, state.last_snapshot.bytes)


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Ask the state container for this MoltbotSnapshot now."""

    request: SnapshotFacts


@dataclass(frozen=True, slots=True)
class SettleSnapshot:
    """Finish this MoltbotSnapshot without asking."""

    request: SnapshotFacts
    complete: bool
    message: str
    backup: LastBackup | None = None


def decide_snapshot_requests(observed: Observed, gateway: GatewayReport | None, now: datetime) -> tuple[AskSnapshot | SettleSnapshot, ...]:
    """What becomes of the MoltbotSnapshots that a person made and that are not done."""
    moltbot, status = observed.moltbot, observed.status
    waiting = sorted((one for one in observed.snapshots if one.requested and not one.done), key=lambda one: (one.created_at, one.name))
    if not waiting:
        return ()
    if not moltbot.has_bucket:
        return tuple(SettleSnapshot(one, False, NO_BUCKET) for one in waiting)
    pod = observed.pod
    if pod is not None and not pod.terminating and gateway is not None and gateway.state is GatewayState.OPEN:
        # one snapshot answers all that asked before it was made
        return (AskSnapshot(waiting[0]),)
    backup = status.last_backup
    asleep = pod is None and observed.statefulset is not None and observed.statefulset.replicas == 0
    if asleep and backup is not None and (status.last_activity is None or backup.time >= status.last_activity):
        message = "asleep, and the bucket holds this state already"
        return tuple(SettleSnapshot(one, True, message, backup) for one in waiting)
    return tuple(
        SettleSnapshot(one, False, "the assistant was not awake to be asked; create another snapshot once it is")
        for one in waiting
        if (now - one.created_at).total_seconds() > REQUEST_PATIENCE_SECONDS
    )


@dataclass(frozen=True, slots=True)
class Mirrors:
    """MoltbotSnapshots to make for what is in the bucket, and mirrors that are too many."""

    create: SnapshotReport | None
    delete: tuple[SnapshotFacts, ...]


def decide_mirrors(observed: Observed, state: StateReport | None) -> Mirrors:
    """Keep the newest snapshots as objects. A person's own objects are never removed."""
    known = {one.bucket_id for one in observed.snapshots if one.bucket_id is not None}
    last = state.last_snapshot if state is not None else None
    create = last if last is not None and last.verified and last.id not in known else None
    mirrors = sorted((one for one in observed.snapshots if not one.requested), key=lambda one: (one.created_at, one.name), reverse=True)
    kept = MIRRORS_KEPT - (1 if create is not None else 0)
    return Mirrors(create, tuple(mirrors[kept:]))
