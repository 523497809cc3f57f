"""What the operator itself has noticed of one pod over several reports. Pure; lost at a restart of the operator, and then counted anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from moltbot_operator.lifecycle.observed import PodFacts
from moltbot_operator.lifecycle.reports import GatewayReport, StateReport


@dataclass(frozen=True, slots=True)
class Reports:
    """The newest answers of one pod; `None`: it did not answer (or there is nobody to ask)."""

    gateway: GatewayReport | None = None
    state: StateReport | None = None


@dataclass(frozen=True, slots=True)
class PodWatch:
    """Of the pod `pod_uid`. Monotonic seconds but for `open_seen_at` and `busy_since`, which are the operator's wall clock.

    `mark`: what moved last; `moved_at`: when. `unanswered_since`: since when the gateway has not answered a report.
    `refusing_since`: since when a handshake that must succeed (Suspended, restart …) has failed again and again.
    """

    pod_uid: str
    moved_at: float
    mark: tuple[object, ...] | None = None
    open_seen_at: datetime | None = None
    busy_since: datetime | None = None
    unanswered_since: float | None = None
    refusing_since: float | None = None


def begin_watch(pod: PodFacts, monotonic: float) -> PodWatch:
    """A pod seen for the first time: whatever it does, it has as long as any other."""
    return PodWatch(pod_uid=pod.uid, moved_at=monotonic)


def note_reports(watch: PodWatch, pod: PodFacts, reports: Reports, *, now: datetime, monotonic: float) -> PodWatch:
    """Take in a round of reports.

    A report that differs is progress, a restore that moves too. No answer is "no progress" only while the kubelet's readiness is false as
    well (rule 5): an overloaded gateway that the kubelet still reaches is not broken.
    """
    gateway, state = reports.gateway, reports.state
    mark = (
        (gateway.state, gateway.progress) if gateway is not None else None,
        (state.state, state.progress) if state is not None else None,
    )
    answered = gateway is not None
    # an answer that fails to come is no movement, nor is its coming back to where it stood
    moved = any(
        part is not None and (watch.mark is None or part != old) for part, old in zip(mark, watch.mark or (None, None), strict=True)
    )
    if moved or (not answered and pod.ready):
        watch = replace(watch, moved_at=monotonic)
    kept = tuple(part if part is not None else old for part, old in zip(mark, watch.mark or (None, None), strict=True))
    open_seen_at = watch.open_seen_at
    if gateway is not None and gateway.opened and open_seen_at is None:
        open_seen_at = now
    busy_since = watch.busy_since
    if gateway is not None:
        busy_since = (busy_since or now) if gateway.busy else None
    return replace(
        watch,
        mark=kept,
        open_seen_at=open_seen_at,
        busy_since=busy_since,
        unanswered_since=None if answered else (watch.unanswered_since if watch.unanswered_since is not None else monotonic),
    )


def stalled_seconds(watch: PodWatch, monotonic: float) -> float:
    """For how long nothing of it has been seen to move."""
    return max(0.0, monotonic - watch.moved_at)
