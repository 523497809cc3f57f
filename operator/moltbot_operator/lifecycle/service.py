"""One step of one Moltbot's life: look, decide, carry out, say what to tell (rules 1, 2, 3, 5, 12).

    observed ──► reports of the pod ──► what persons asked ──► write 1, or the sleep handshake, or nothing ──► status, when to look again

Level-triggered: `step` may be called at any time, any number of times, and be cancelled or killed anywhere. What is kept in memory
(reports, how long something has not moved, back-off) only delays; it is rebuilt from what is observed. One step of a Moltbot at a time:
the caller's work queue sees to it. A step that puts to sleep takes as long as its snapshots do.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from moltbot_operator.lifecycle.actions import ActionDecision, decide_actions
from moltbot_operator.lifecycle.handshake import Stopped, StopReason
from moltbot_operator.lifecycle.observed import Observed, PodFacts
from moltbot_operator.lifecycle.phases import STUCK_SECONDS, Ending, decide_told
from moltbot_operator.lifecycle.pod_watch import PodWatch, Reports, begin_watch, note_reports
from moltbot_operator.lifecycle.ports import Checkpoint, Outcome, PortError, Ports, Unavailable
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState, SnapshotReport
from moltbot_operator.lifecycle.sleep import Sleep, SleepCause, Stay, View, decide_report_interval, decide_sleep
from moltbot_operator.lifecycle.sleep_service import Attempt, SleepResult, SleepService
from moltbot_operator.lifecycle.snapshot_service import SnapshotService
from moltbot_operator.lifecycle.status import ActionRecord, ActionResult, LifecycleStatus, Phase, Reason
from moltbot_operator.lifecycle.telling import Facts, compose_status
from moltbot_operator.lifecycle.wake import Wake, WakeCause, decide_next_wake, decide_wake

# One report, and one write to the API (seconds).
REPORT_SECONDS = 2.0
WRITE_SECONDS = 10.0
# How soon a failed call is tried again (seconds).
RETRY_SECONDS = 2.0
# A waking assistant is looked at this often although every event does so too (seconds).
WAKING_SECONDS = 1.0
# For how long the informer may be behind our own write, and what a pod has to end until the API says so (seconds).
INFORMER_SECONDS, GRACE_SECONDS = 5.0, 150.0
# Reports of one pod are at least this far apart, however many events come (seconds).
LEAST_APART_SECONDS = 0.2
# After an attempt to sleep that was given up (seconds); doubled while its state cannot be kept.
_BACK_OFF = {
    StopReason.BUSY: 5.0,
    StopReason.RESUMED: 2.0,
    StopReason.NO_BACKUP: 3.0,
    StopReason.NO_ANSWER: 3.0,
    StopReason.CHANGED: 2.0,
    StopReason.NOT_WANTED: 1.0,
    StopReason.TOO_SLOW: 60.0,
}
MOST_BACK_OFF_SECONDS = 600.0


@dataclass(slots=True)
class _Memory:
    """Of one Moltbot. Monotonic seconds. `stopped`: why the last attempt to sleep was given up, until one succeeds or none is wanted.

    `ended`: uid of the pod that this operator ended. The informer may show it untouched for a moment more, until `ended_until`.
    `ended_version`: the
    StatefulSet's before the 0 that we wrote; a 1 in it, or in an older one, is not news.
    """

    watch: PodWatch | None = None
    reports: Reports = field(default_factory=Reports)
    asked_at: float | None = None
    asked_pod: PodFacts | None = None
    ask_again_at: float = 0.0
    not_before: float = 0.0
    failures: int = 0
    failed_cause: SleepCause | None = None
    ended: str | None = None
    ended_until: float = 0.0
    ended_version: str | None = None
    stopped: Stopped | None = None


class LifecycleService:
    """The lifecycle of all Moltbots of one operator."""

    def __init__(self, ports: Ports, new_id: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self._ports = ports
        self._sleep = SleepService(ports, new_id)
        self._snapshots = SnapshotService(ports)
        self._memories: dict[str, _Memory] = {}

    def forget(self, moltbot_uid: str) -> None:
        """The Moltbot is gone."""
        self._memories.pop(moltbot_uid, None)

    async def step(self, observed: Observed) -> Outcome:
        """Do what is to be done now. Raises nothing of the ports: what fails is tried again after `requeue_after`."""
        memory = self._memories.setdefault(observed.moltbot.uid, _Memory())
        observed = self._with_known_end(observed, memory)
        view = await self._look(observed, memory, fresh=False)
        if view.actions.records != observed.status.actions:
            # before anything is done, so that a restart of ours neither forgets nor repeats it
            recorded = await self._record(observed, replace(observed.status, actions=view.actions.records))
            if recorded is None:
                return Outcome(observed.status, RETRY_SECONDS)
            self._tell_actions(observed, view.actions.news)
            view = replace(view, observed=replace(view.observed, status=recorded))
        statefulset = observed.statefulset
        if statefulset is None or not statefulset.hashed:
            return self._outcome(view, memory, None, None)
        if statefulset.replicas == 0:
            return await self._at_zero(view, memory)
        return await self._at_one(view, memory)

    async def _at_zero(self, view: View, memory: _Memory) -> Outcome:
        memory.stopped, memory.failures, memory.not_before = None, 0, 0.0
        verdict = decide_wake(view.observed, view.actions, view.now)
        await self._snapshots.run(view)
        if not isinstance(verdict, Wake):
            return self._outcome(view, memory, None, verdict.recheck_after)
        key, statefulset = view.observed.moltbot.key, view.observed.statefulset
        assert statefulset is not None
        await self._ports.checkpoint(key, Checkpoint.WAKE_DECIDED)
        try:
            await self._ports.cluster.scale(key, 1, uid=statefulset.uid, resource_version=None, timeout=WRITE_SECONDS)
        except PortError:
            return self._outcome(view, memory, None, RETRY_SECONDS)
        await self._ports.checkpoint(key, Checkpoint.WAKE_SCALED)
        view = _with_replicas(view, 1)
        return self._outcome(view, memory, None, WAKING_SECONDS, wake=verdict.cause)

    async def _at_one(self, view: View, memory: _Memory) -> Outcome:
        verdict = decide_sleep(view)
        if isinstance(verdict, Sleep) and verdict.cause is not memory.failed_cause:
            memory.not_before, memory.failures = 0.0, 0  # what a person wants now does not wait for what failed before
        if isinstance(verdict, Sleep) and view.monotonic >= memory.not_before:
            fresh = await self._look(view.observed, memory, fresh=True)
            view, verdict = fresh, decide_sleep(fresh)
        if not isinstance(verdict, Sleep):
            memory.failures, memory.not_before = 0, 0.0
            if verdict.reason is not Reason.BUSY:
                memory.stopped = None
            taken = await self._snapshots.run(view)
            return self._outcome(view, memory, verdict, verdict.recheck_after, taken=taken)
        if view.monotonic < memory.not_before:
            return self._outcome(view, memory, verdict, memory.not_before - view.monotonic)
        return await self._fall_asleep(view, memory, verdict)

    async def _fall_asleep(self, view: View, memory: _Memory, sleep: Sleep) -> Outcome:
        observed = view.observed

        async def look() -> View | None:
            fresh = await self._ports.cluster.observe(observed.moltbot.key)
            if fresh is None or fresh.moltbot.uid != observed.moltbot.uid:
                return None
            # the informer may be behind what this step has written itself
            return await self._look(replace(fresh, status=observed.status), memory, fresh=True, actions=view.actions)

        attempt = Attempt(
            view=view,
            sleep=sleep,
            known=observed.status,
            look=look,
            to_record=lambda snapshot, next_due: _draining(
                view, sleep, snapshot, decide_next_wake(next_due, observed.status, self._ports.clock.now())
            ),
        )
        result = await self._sleep.run(attempt)
        now, monotonic = self._ports.clock.now(), self._ports.clock.monotonic()
        known = result.recorded or observed.status
        view = replace(
            view, observed=replace(observed, status=known), reports=memory.reports, watch=memory.watch, now=now, monotonic=monotonic
        )
        if isinstance(result.end, Stopped):
            return self._given_up(view, memory, sleep, result, result.end)
        memory.stopped, memory.failures, memory.not_before = None, 0, 0.0
        if observed.pod is not None:
            memory.ended = observed.pod.uid
        memory.ended_until = monotonic + INFORMER_SECONDS
        memory.ended_version = None if sleep.cause.replaces else result.version
        self._ports.cluster.event(
            observed.moltbot.key,
            observed.moltbot.uid,
            warning=False,
            reason=(Reason.ROLLING if sleep.cause.replaces else Reason.FELL_ASLEEP).value,
            message=_farewell(sleep.cause),
        )
        if not sleep.cause.replaces:
            view = _with_replicas(view, 0)
            view = replace(view, actions=decide_actions(view.observed, now))
            self._tell_actions(observed, view.actions.news)
        told = decide_told(view, None, Ending(sleep.cause, done=True), None, slept=view.actions.slept)
        facts = Facts(told, view.actions, taken=result.snapshot)
        return Outcome(compose_status(view, facts), WAKING_SECONDS)

    def _given_up(self, view: View, memory: _Memory, sleep: Sleep, result: SleepResult, end: Stopped) -> Outcome:
        memory.failures += 1
        wait = _BACK_OFF[end.reason]
        if end.reason is StopReason.NO_BACKUP:
            wait = min(MOST_BACK_OFF_SECONDS, wait * 2 ** (memory.failures - 1))
            moltbot = view.observed.moltbot
            self._ports.cluster.event(moltbot.key, moltbot.uid, warning=True, reason=Reason.BACKUP_FAILED.value, message=end.message)
        memory.not_before, memory.failed_cause = view.monotonic + wait, sleep.cause
        memory.stopped = end
        refused = sleep.force and end.reason in (StopReason.BUSY, StopReason.NO_ANSWER, StopReason.RESUMED)
        if refused and memory.watch is not None and memory.watch.refusing_since is None:
            memory.watch = replace(memory.watch, refusing_since=view.monotonic)
        return self._outcome(replace(view, watch=memory.watch), memory, sleep, wait, taken=result.snapshot)

    def _with_known_end(self, observed: Observed, memory: _Memory) -> Observed:
        pod, statefulset = observed.pod, observed.statefulset
        if self._ports.clock.monotonic() >= memory.ended_until:
            return observed
        if statefulset is not None and memory.ended_version is not None:
            if is_at_most(statefulset.resource_version, memory.ended_version):
                observed = replace(observed, statefulset=replace(statefulset, replicas=0))
            elif statefulset.replicas == 1:
                return observed
        if pod is None or pod.terminating or pod.uid != memory.ended:
            return observed
        return replace(observed, pod=replace(pod, deletion_at=self._ports.clock.now() + timedelta(seconds=GRACE_SECONDS)))

    async def _look(self, observed: Observed, memory: _Memory, *, fresh: bool, actions: ActionDecision | None = None) -> View:
        """Ask the pod where its answer is due (rule 12) or wanted fresh, and put everything together."""
        clock, pod = self._ports.clock, observed.pod
        actions = actions or decide_actions(observed, clock.now())
        if pod is None:
            memory.watch, memory.reports, memory.asked_at = None, Reports(), None
        elif memory.watch is None or memory.watch.pod_uid != pod.uid:
            memory.watch, memory.reports, memory.asked_at = begin_watch(pod, clock.monotonic()), Reports(), None
        asked = actions.current is not None or bool(actions.news)  # also a refresh, which is done by now
        if pod is not None and memory.watch is not None and self._due(observed, memory, fresh=fresh, asked=asked):
            memory.asked_at, memory.asked_pod = clock.monotonic(), pod
            memory.reports = await self._ask(observed)
            memory.watch = note_reports(memory.watch, pod, memory.reports, now=clock.now(), monotonic=clock.monotonic())
        ended = pod is not None and pod.uid == memory.ended
        return View(observed, actions, memory.reports, memory.watch, clock.now(), clock.monotonic(), ended)

    def _due(self, observed: Observed, memory: _Memory, *, fresh: bool, asked: bool) -> bool:
        if memory.asked_at is None or fresh:
            return True
        now = self._ports.clock.monotonic()
        gateway = memory.reports.gateway
        if gateway is not None and gateway.state is GatewayState.OPEN and not asked and observed.pod == memory.asked_pod:
            return now >= memory.ask_again_at
        return now - memory.asked_at >= LEAST_APART_SECONDS

    async def _ask(self, observed: Observed) -> Reports:
        """Both reports, one after the other (each takes milliseconds); one that does not come is `None`."""
        pod = observed.pod
        assert pod is not None
        if pod.ip is None or pod.certificate is None:
            return Reports()
        gateway: GatewayReport | None = None
        try:
            gateway = await self._ports.gateway.report(pod, timeout=REPORT_SECONDS)
        except Unavailable:
            gateway = None
        if not observed.moltbot.has_bucket:
            return Reports(gateway)
        try:
            return Reports(gateway, await self._ports.state.report(pod, timeout=REPORT_SECONDS))
        except Unavailable:
            return Reports(gateway)

    async def _record(self, observed: Observed, status: LifecycleStatus) -> LifecycleStatus | None:
        try:
            await self._ports.cluster.record(observed.moltbot.key, observed.moltbot.uid, status, timeout=WRITE_SECONDS)
        except PortError:
            return None
        return status

    def _tell_actions(self, observed: Observed, news: tuple[ActionRecord, ...]) -> None:
        reasons = {
            ActionResult.DONE: Reason.ACTION_DONE,
            ActionResult.REFUSED: Reason.ACTION_REFUSED,
            ActionResult.SUPERSEDED: Reason.ACTION_SUPERSEDED,
            ActionResult.IGNORED: Reason.ACTION_IGNORED,
        }
        for record in news:
            reason = reasons.get(record.result)
            if reason is not None:
                warning = record.result in (ActionResult.REFUSED, ActionResult.IGNORED)
                message = f"{record.action.value}: {record.message}"
                moltbot = observed.moltbot
                self._ports.cluster.event(moltbot.key, moltbot.uid, warning=warning, reason=reason.value, message=message)

    def _outcome(
        self,
        view: View,
        memory: _Memory,
        verdict: Sleep | Stay | None,
        recheck_after: float | None,
        *,
        taken: SnapshotReport | None = None,
        wake: WakeCause | None = None,
    ) -> Outcome:
        told = decide_told(view, verdict, None, memory.stopped, slept=view.actions.slept)
        status = compose_status(view, Facts(told, view.actions, taken=taken, wake=wake))
        if status.last_wake is not None and status.last_wake != view.observed.status.last_wake:
            moltbot, woke = view.observed.moltbot, status.last_wake
            message = f"Awake after {woke.seconds:.1f} s ({woke.reason})."
            self._ports.cluster.event(moltbot.key, moltbot.uid, warning=False, reason=Reason.WOKE.value, message=message)
        interval = decide_report_interval(view.observed, view.reports, verdict)
        if interval is not None:
            again_at = view.monotonic + interval
            # events in between must not put off what was due
            memory.ask_again_at = min(again_at, memory.ask_again_at) if memory.ask_again_at > view.monotonic else again_at
            interval = memory.ask_again_at - view.monotonic
        pod = view.observed.pod
        stuck_in = None
        if pod is not None and pod.deletion_at is not None and told.phase is not Phase.FAILED:
            stuck_in = max(1.0, (pod.deletion_at + timedelta(seconds=STUCK_SECONDS + 1) - view.now).total_seconds())
            interval = None
        waking = (
            WAKING_SECONDS if pod is None and view.observed.statefulset is not None and view.observed.statefulset.replicas == 1 else None
        )
        # an event of the pod so soon after the last report that it was not asked again
        unasked = LEAST_APART_SECONDS if pod is not None and not pod.terminating and pod != memory.asked_pod else None
        waits = [seconds for seconds in (recheck_after, interval, stuck_in, waking, unasked) if seconds is not None]
        return Outcome(status, min(waits) if waits else None)


def is_at_most(version: str, other: str) -> bool:
    """Whether a resourceVersion is not newer. They are numbers wherever Kubernetes keeps its promise of 1.35; else only equality counts."""
    if version.isdecimal() and other.isdecimal():
        return int(version) <= int(other)
    return version == other


def _with_replicas(view: View, replicas: int) -> View:
    statefulset = view.observed.statefulset
    assert statefulset is not None
    return replace(view, observed=replace(view.observed, statefulset=replace(statefulset, replicas=replicas)))


def _draining(view: View, sleep: Sleep, snapshot: SnapshotReport | None, next_wake: datetime | None) -> LifecycleStatus:
    """The status as of just before the commit: what the next pod and a restarted operator must find."""
    told = decide_told(view, sleep, Ending(sleep.cause, done=True), None, slept=False)
    draining = replace(told, phase=Phase.DRAINING, why=sleep.cause.value)
    return compose_status(view, Facts(draining, view.actions, taken=snapshot, next_wake=next_wake, slept=True))


def _farewell(cause: SleepCause) -> str:
    if cause.replaces:
        return f"Its pod is replaced: {cause.value}."
    return f"It falls asleep: {cause.value}."
