"""Carries out one sleep handshake over the ports (rule 5): the calls that `handshake` names, each bounded, all under one deadline.

May be cancelled or killed anywhere. Nothing has to be undone: a quiesced gateway resumes by its ttl or by a router with new work, and a
committed one ends by itself; the next attempt starts from what is observed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import has_new_request
from moltbot_operator.lifecycle.handshake import (
    Answer,
    Conflicted,
    Finished,
    Handshake,
    NoAnswer,
    Step,
    Stopped,
    StopReason,
    Written,
    advance,
    again,
    begin_handshake,
    may_end,
)
from moltbot_operator.lifecycle.observed import Observed, PodFacts, Storage
from moltbot_operator.lifecycle.ports import Checkpoint, Conflict, Missing, Ports, SnapshotReason, Unavailable
from moltbot_operator.lifecycle.reports import SnapshotReport
from moltbot_operator.lifecycle.sleep import Sleep, SleepCause, View, decide_sleep
from moltbot_operator.lifecycle.status import LifecycleStatus

# One attempt in all (seconds): snapshots of a large state take minutes.
HANDSHAKE_SECONDS = 600.0
# For how long a gateway refuses new work without hearing more (seconds): longer than the calls between quiesce and commit take.
QUIESCE_TTL_SECONDS = 30.0
# A forced quiesce answers when the running turn has ended (seconds).
FORCE_SECONDS = 30.0
# One call to a pod, or to the API (seconds). With the 10 s of rule 5e it is over when a committed process ends by itself, after 15 s.
CALL_SECONDS = 5.0

_CHECKPOINTS = {
    Step.SNAPSHOT: Checkpoint.SLEEP_SNAPSHOT,
    Step.QUIESCE: Checkpoint.SLEEP_QUIESCED,
    Step.FINAL_SNAPSHOT: Checkpoint.SLEEP_FINAL_SNAPSHOT,
    Step.RECORD: Checkpoint.SLEEP_RECORDED,
    Step.READ_VERSION: Checkpoint.SLEEP_VERSION_READ,
    Step.COMMIT: Checkpoint.SLEEP_COMMITTED,
    Step.END: Checkpoint.SLEEP_SCALED,
}


@dataclass(frozen=True, slots=True)
class SleepResult:
    """`end`: Finished, or why it was given up. `snapshot`: the last one made. `next_due`: the gateway's. `recorded`: the status written.

    `version`: the StatefulSet's resourceVersion before the end, `None`: it was not read.
    """

    end: Finished | Stopped
    snapshot: SnapshotReport | None
    next_due: datetime | None
    recorded: LifecycleStatus | None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `known`: the status as it stands. `look`: a fresh view with fresh reports, `None`: the Moltbot is gone.

    `to_record`: the status that the next pod and a restarted operator must find once this attempt ends the pod.
    """

    view: View
    sleep: Sleep
    known: LifecycleStatus
    look: Callable[[], Awaitable[View | None]]
    to_record: Callable[[SnapshotReport | None, datetime | None], LifecycleStatus]


class SleepService:
    """Without state of its own."""

    def __init__(self, ports: Ports, new_id: Callable[[], str]) -> None:
        self._ports, self._new_id = ports, new_id

    async def run(self, attempt: Attempt) -> SleepResult:
        """Go through the steps until the pod is ended or the attempt given up. Safe to cancel."""
        observed = attempt.view.observed
        key, clock = observed.moltbot.key, self._ports.clock
        handshake = begin_handshake(
            self._new_id(),
            attempt.sleep,
            has_bucket=observed.moltbot.has_bucket,
            on_volume=observed.moltbot.storage is Storage.VOLUME,
        )
        recorded: LifecycleStatus | None = None
        deadline = clock.monotonic() + HANDSHAKE_SECONDS
        await self._ports.checkpoint(key, Checkpoint.SLEEP_DECIDED)
        while True:
            outcome: Handshake | Stopped | Finished = await self._before(attempt, handshake, deadline)
            if isinstance(outcome, Handshake):
                handshake = outcome
                status = attempt.to_record(handshake.snapshot, handshake.next_due) if handshake.step is Step.RECORD else None
                sent_at = clock.monotonic()
                answer = await self._call(handshake, observed, status, deadline - sent_at)
                if status is not None and isinstance(answer, Written):
                    recorded = status
                await self._ports.checkpoint(key, _CHECKPOINTS[handshake.step])
                outcome = advance(handshake, answer, sent_at=sent_at, now=clock.monotonic())
            if not isinstance(outcome, Handshake):
                version = handshake.version.resource_version if handshake.version is not None else None
                return SleepResult(outcome, handshake.snapshot, handshake.next_due, recorded, version)
            handshake = outcome

    async def _before(self, attempt: Attempt, handshake: Handshake, deadline: float) -> Handshake | Stopped:
        """Whether the next call is still to be made."""
        if self._ports.clock.monotonic() >= deadline:
            return Stopped(StopReason.TOO_SLOW, "it took too long; it is tried again later")
        if handshake.step is Step.END:
            # from here to the call there is no await: rule 5e counts to the write itself
            return handshake if may_end(handshake, self._ports.clock.monotonic()) else again(handshake)
        if handshake.step is Step.QUIESCE:
            # the snapshot before may have taken minutes: idle is what it is now
            view = await attempt.look()
            if view is None:
                return Stopped(StopReason.NOT_WANTED, "the Moltbot is gone")
            verdict = decide_sleep(view)
            if not isinstance(verdict, Sleep) or verdict.cause is not attempt.sleep.cause:
                return Stopped(StopReason.NOT_WANTED, verdict.message if not isinstance(verdict, Sleep) else verdict.cause.value)
            handshake = replace(handshake, sleep=replace(handshake.sleep, force=verdict.force))
            fresh: Observed | None = view.observed
        else:
            fresh = await self._ports.cluster.observe(attempt.view.observed.moltbot.key)
        if handshake.attempts > 0:
            return handshake  # it may be committed: going on is quicker than waiting for its end
        why = why_not_any_more(attempt.view.observed, fresh, attempt.sleep, attempt.known)
        return handshake if why is None else Stopped(StopReason.NOT_WANTED, why)

    async def _call(self, handshake: Handshake, observed: Observed, status: LifecycleStatus | None, left: float) -> Answer:
        key = observed.moltbot.key
        cluster, gateway, state = self._ports.cluster, self._ports.gateway, self._ports.state
        timeout = min(CALL_SECONDS, left)
        pod = observed.pod
        try:
            match handshake.step:
                case Step.SNAPSHOT:
                    return await state.snapshot(_the(pod), SnapshotReason.SCHEDULED, handshake_id=None, timeout=left)
                case Step.QUIESCE:
                    force = handshake.sleep.force
                    timeout = min(FORCE_SECONDS if force else CALL_SECONDS, left)
                    return await gateway.quiesce(_the(pod), handshake.id, ttl=QUIESCE_TTL_SECONDS, force=force, timeout=timeout)
                case Step.FINAL_SNAPSHOT:
                    reason = SnapshotReason.RESTART if handshake.replaces else SnapshotReason.FINAL
                    return await state.snapshot(_the(pod), reason, handshake_id=handshake.id, timeout=left)
                case Step.RECORD:
                    assert status is not None
                    await cluster.record(key, observed.moltbot.uid, status, timeout=timeout)
                    return Written()
                case Step.READ_VERSION:
                    return await cluster.read_scale(key, timeout=timeout)
                case Step.COMMIT:
                    return await gateway.commit(_the(pod), handshake.id, timeout=timeout)
                case Step.END:
                    return await self._end(handshake, observed, timeout)
        except Unavailable as error:
            return NoAnswer(str(error))
        except (Conflict, Missing):
            return Conflicted()

    async def _end(self, handshake: Handshake, observed: Observed, timeout: float) -> Answer:
        key, version = observed.moltbot.key, handshake.version
        assert version is not None
        if handshake.replaces:
            await self._ports.cluster.delete_pod(key, _the(observed.pod).uid, timeout=timeout)
        else:
            await self._ports.cluster.scale(key, 0, uid=version.uid, resource_version=version.resource_version, timeout=timeout)
        return Written()


def why_not_any_more(begun: Observed, fresh: Observed | None, sleep: Sleep, known: LifecycleStatus) -> str | None:
    """Why an attempt that began is given up before its commit, `None`: go on. Pure."""
    if fresh is None or fresh.moltbot.uid != begun.moltbot.uid:
        return "the Moltbot is gone"
    if (fresh.pod.uid if fresh.pod is not None else None) != (begun.pod.uid if begun.pod is not None else None):
        return "the pod is another one"
    if fresh.pod is not None and fresh.pod.terminating:
        return "the pod is ending already"
    if sleep.cause is SleepCause.SUSPENDED and fresh.moltbot.mode is not OperatingMode.SUSPENDED:
        return "it is not Suspended any more"
    if sleep.cause not in (SleepCause.SUSPENDED, SleepCause.DELETED) and fresh.moltbot.generation != begun.moltbot.generation:
        return "its spec changed"
    if fresh.moltbot.deleting and sleep.cause is not SleepCause.DELETED:
        return "it is being deleted"
    if has_new_request(fresh, known):
        return "a person asked for something"
    return None


def _the(pod: PodFacts | None) -> PodFacts:
    assert pod is not None, "without a pod nobody is asked"
    return pod
