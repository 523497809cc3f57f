"""Rules 2, 5 and 12: when the pod is ended, why, how hard it is pressed, and how often it is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.observed import Observed, Obstacle, Storage
from moltbot_operator.lifecycle.pod_watch import Reports, begin_watch, note_reports, stalled_seconds
from moltbot_operator.lifecycle.reports import GatewayReport, GatewayState, StatePhase, StateReport
from moltbot_operator.lifecycle.sleep import Sleep, SleepCause, Stay, decide_report_interval, decide_sleep
from moltbot_operator.lifecycle.status import ConditionType, Reason, Truth
from tests.lifecycle.examples import AWAKE, MONOTONIC, NOW, OPEN, POD, RESTORING, STATEFULSET, WATCH, ago, condition, text, view

HOUR = 3600.0
SUSPENDED = replace(AWAKE, moltbot=replace(AWAKE.moltbot, mode=OperatingMode.SUSPENDED))
IDLE = replace(OPEN, last_activity=ago(601))
BUSY = replace(OPEN, busy=("turn",), busy_since=ago(30), last_activity=ago(1))
STALLED = replace(WATCH, moved_at=MONOTONIC - 31)
NEVER_OPEN = replace(STALLED, open_seen_at=None)
STARTING = replace(AWAKE, pod=replace(POD, ready=False), status=replace(AWAKE.status, instance="p-0"))


def sleep_after(seconds: float | None, observed: Observed = AWAKE) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, sleep_after=seconds))


def asked(kind: str, observed: Observed = AWAKE) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, annotations={f"moltbot.dev/{kind}": text(ago(5))}))


def changed(observed: Observed = AWAKE, *, by_person: bool = True, since: float | None = None) -> Observed:
    statefulset = replace(STATEFULSET, revision="r-2", inputs="i-2" if by_person else "i-1")
    conditions = observed.status.conditions
    if since is not None:
        conditions = (*conditions, condition(ConditionType.PROGRESSING, Truth.TRUE, Reason.ROLLING, ago(since)))
    return replace(observed, statefulset=statefulset, status=replace(observed.status, conditions=conditions))


# --- rule 5a: idle


@pytest.mark.parametrize(
    ("seconds", "report", "sleeps"),
    [
        pytest.param(600.0, replace(OPEN, last_activity=ago(601)), True, id="idle for long enough"),
        pytest.param(600.0, replace(OPEN, last_activity=ago(599)), False, id="not for long enough"),
        pytest.param(600.0, replace(OPEN, opened_at=ago(300), last_activity=None), False, id="opened later than that"),
        pytest.param(600.0, replace(OPEN, opened_at=ago(300), last_activity=ago(5000)), False, id="activity from before the opening"),
        pytest.param(1.0, replace(OPEN, last_activity=ago(9)), False, id="at least 10 s"),
        pytest.param(1.0, replace(OPEN, last_activity=ago(10)), True, id="10 s are enough for a short sleepAfter"),
        pytest.param(None, replace(OPEN, last_activity=ago(3000)), False, id="never"),
        pytest.param(
            1800.0,
            replace(OPEN, opened_at=ago(9 * HOUR), last_activity=None),
            True,
            id="a pod younger than its opening: counted from the pod",
        ),
        pytest.param(5000.0, replace(OPEN, opened_at=ago(9 * HOUR), last_activity=None), False, id="… not from before it"),
        pytest.param(600.0, replace(IDLE, state=GatewayState.RESTORING), False, id="not open"),
        pytest.param(600.0, None, False, id="no answer"),
    ],
)
def test_idle_is_counted_from_the_later_of_opening_and_activity(seconds: float | None, report: GatewayReport | None, sleeps: bool) -> None:
    verdict = decide_sleep(view(sleep_after(seconds), report))
    assert isinstance(verdict, Sleep) == sleeps
    if sleeps:
        assert verdict == Sleep(SleepCause.IDLE)


def test_a_gateway_that_says_nothing_of_its_opening_is_counted_from_when_it_was_seen_open() -> None:
    silent = replace(OPEN, opened_at=None, last_activity=None)
    assert decide_sleep(view(gateway=silent)) == Sleep(SleepCause.IDLE)
    assert isinstance(decide_sleep(view(gateway=silent, watch=replace(WATCH, open_seen_at=ago(60)))), Stay)


# --- busy


def test_busy_vetoes_sleep_for_at_most_six_hours() -> None:
    """Rules 5 and 12; then the turn is ended as SIGTERM does."""
    stay = decide_sleep(view(gateway=BUSY))
    assert isinstance(stay, Stay)
    assert stay.reason is Reason.BUSY
    old = replace(AWAKE, pod=replace(POD, created_at=ago(8 * HOUR)))
    assert decide_sleep(view(old, replace(BUSY, busy_since=ago(6 * HOUR)))) == Sleep(SleepCause.IDLE, force=True)
    # what it says is not all: the operator has seen it busy all along
    assert decide_sleep(view(old, BUSY, watch=replace(WATCH, busy_since=ago(6 * HOUR)))) == Sleep(SleepCause.IDLE, force=True)
    # it cannot have been busy before it was there
    assert isinstance(decide_sleep(view(gateway=replace(BUSY, busy_since=ago(100 * HOUR)))), Stay)
    assert isinstance(decide_sleep(view(sleep_after(None, old), replace(BUSY, busy_since=ago(7 * HOUR)))), Stay)


# --- what a person wants


def test_suspended_restart_and_sleep_now_end_a_turn_at_once() -> None:
    assert decide_sleep(view(SUSPENDED, BUSY)) == Sleep(SleepCause.SUSPENDED, force=True)
    assert decide_sleep(view(asked("sleep"), BUSY)) == Sleep(SleepCause.REQUESTED, force=True)
    assert decide_sleep(view(asked("restart"), BUSY)) == Sleep(SleepCause.RESTART, force=True)
    assert decide_sleep(view(sleep_after(None, asked("sleep")), OPEN)) == Sleep(SleepCause.REQUESTED, force=True)


def test_a_person_s_change_applies_at_once_and_ends_a_turn_after_ten_minutes() -> None:
    """Rules 2 and 5."""
    assert decide_sleep(view(changed(), OPEN)) == Sleep(SleepCause.CHANGED)
    assert decide_sleep(view(changed(since=599), BUSY)) == Sleep(SleepCause.CHANGED)
    assert decide_sleep(view(changed(since=600), BUSY)) == Sleep(SleepCause.CHANGED, force=True)


def test_an_upgrade_of_ours_waits_for_the_next_idle_time() -> None:
    """Rule 2: one that sleeps takes it with its next wake, one that never does is replaced when it has been idle for a while."""
    assert isinstance(decide_sleep(view(changed(by_person=False), OPEN)), Stay)
    assert decide_sleep(view(changed(by_person=False), IDLE)) == Sleep(SleepCause.IDLE)
    assert isinstance(decide_sleep(view(sleep_after(None, changed(by_person=False)), OPEN)), Stay)
    assert decide_sleep(view(sleep_after(None, changed(by_person=False)), IDLE)) == Sleep(SleepCause.UPGRADED)


def test_a_revision_that_the_controller_has_not_looked_at_replaces_nothing() -> None:
    unknown = replace(AWAKE, statefulset=replace(STATEFULSET, revision=None, inputs="i-2"))
    assert isinstance(decide_sleep(view(unknown, OPEN)), Stay)


@pytest.mark.parametrize("by_person", [True, False])
@pytest.mark.parametrize("report", [None, RESTORING])
def test_a_pod_of_an_old_revision_that_was_never_ready_goes_without_the_handshake(by_person: bool, report: GatewayReport | None) -> None:
    """Rule 2."""
    verdict = decide_sleep(view(changed(STARTING, by_person=by_person), report, watch=replace(WATCH, open_seen_at=None)))
    assert isinstance(verdict, Sleep)
    assert not verdict.consent
    assert not verdict.keep
    # one that was open before, or is ready, does not
    assert verdict != decide_sleep(view(changed(replace(STARTING, status=AWAKE.status), by_person=by_person), report))


# --- what is broken


@pytest.mark.parametrize("observed", [SUSPENDED, asked("restart"), changed(since=1)], ids=["suspended", "restart", "changed"])
def test_only_what_shows_no_progress_for_thirty_seconds_is_ended_without_consent(observed: Observed) -> None:
    """Rule 5: so that a broken one can be mended; a restore that moves is progress."""
    unready = replace(observed, pod=replace(POD, ready=False))
    moving = decide_sleep(view(unready, None, watch=WATCH))
    assert isinstance(moving, Stay)
    verdict = decide_sleep(view(unready, None, watch=STALLED))
    assert isinstance(verdict, Sleep)
    assert not verdict.consent
    assert verdict.keep  # it was open: what it holds is still to be kept


def test_a_stuck_restore_of_a_suspended_one_has_nothing_to_keep() -> None:
    starting = replace(STARTING, moltbot=SUSPENDED.moltbot)
    verdict = decide_sleep(view(starting, RESTORING, watch=NEVER_OPEN))
    assert verdict == Sleep(SleepCause.SUSPENDED, force=True, consent=False, keep=False)


def test_sleep_now_and_idleness_never_go_without_consent() -> None:
    unready = replace(AWAKE, pod=replace(POD, ready=False))
    for observed in (asked("sleep", unready), unready):
        assert isinstance(decide_sleep(view(observed, None, watch=replace(STALLED, moved_at=0.0))), Stay)


def test_an_open_gateway_that_refuses_a_forced_end_without_progress_is_ended_anyway() -> None:
    refusing = replace(STALLED, refusing_since=MONOTONIC - 30)
    assert decide_sleep(view(SUSPENDED, BUSY, watch=refusing)) == Sleep(SleepCause.SUSPENDED, force=True, consent=False)
    moving = replace(refusing, moved_at=MONOTONIC - 5)
    assert decide_sleep(view(SUSPENDED, BUSY, watch=moving)) == Sleep(SleepCause.SUSPENDED, force=True)


# --- what stands in the way


def test_a_half_set_bucket_does_not_sleep() -> None:
    obstacle = Obstacle(Reason.GROUP_INCOMPLETE, "CF_ACCOUNT_ID is missing in Secret ada")
    blocked = replace(AWAKE.moltbot, sleep_obstacle=obstacle)
    verdict = decide_sleep(view(replace(AWAKE, moltbot=blocked), IDLE))
    assert isinstance(verdict, Stay)
    assert "CF_ACCOUNT_ID" in verdict.message
    ephemeral = replace(blocked, storage=Storage.EPHEMERAL)
    assert isinstance(decide_sleep(view(asked("restart", replace(AWAKE, moltbot=ephemeral)), OPEN)), Stay)
    assert isinstance(decide_sleep(view(asked("restart", replace(AWAKE, moltbot=blocked)), OPEN)), Sleep)


def test_without_a_pod_suspended_takes_the_scale_back_and_idleness_does_not() -> None:
    assert decide_sleep(view(replace(SUSPENDED, pod=None), None)) == Sleep(SleepCause.SUSPENDED, force=True, consent=False, keep=False)
    assert isinstance(decide_sleep(view(replace(AWAKE, pod=None), None)), Stay)


def test_a_pod_that_is_ending_is_left_to_end() -> None:
    ending = replace(SUSPENDED, pod=replace(POD, deletion_at=ago(-100)))
    assert isinstance(decide_sleep(view(ending, IDLE)), Stay)


# --- progress


def test_no_answer_is_no_progress_only_while_the_kubelet_s_readiness_is_false_too() -> None:
    """Rule 5."""
    watch = begin_watch(POD, 0.0)
    for moment in range(0, 100, 10):
        watch = note_reports(watch, POD, Reports(), now=NOW, monotonic=float(moment))
    assert stalled_seconds(watch, 90.0) == 0.0
    unready = replace(POD, ready=False)
    for moment in range(100, 200, 10):
        watch = note_reports(watch, unready, Reports(), now=NOW, monotonic=float(moment))
    assert stalled_seconds(watch, 190.0) == 100.0


def test_a_restore_that_moves_is_progress() -> None:
    pod = replace(POD, ready=False)
    watch = begin_watch(pod, 0.0)
    for moment in range(0, 100, 10):
        state = StateReport("p-1", StatePhase.RESTORING, progress=moment)
        watch = note_reports(watch, pod, Reports(RESTORING, state), now=NOW, monotonic=float(moment))
    assert stalled_seconds(watch, 95.0) == 5.0


def test_an_answer_that_comes_and_goes_is_no_progress() -> None:
    pod = replace(POD, ready=False)
    watch = begin_watch(pod, 0.0)
    for moment in range(0, 100, 10):
        reports = Reports(RESTORING) if moment % 20 else Reports()
        watch = note_reports(watch, pod, reports, now=NOW, monotonic=float(moment))
    assert stalled_seconds(watch, 100.0) == 90.0


# --- how often it is asked


@pytest.mark.parametrize(
    ("report", "seconds", "expected"),
    [
        pytest.param(None, 600.0, 1.0, id="no answer yet: every second"),
        pytest.param(RESTORING, 600.0, 1.0, id="restoring: every second"),
        pytest.param(replace(OPEN, state=GatewayState.QUIESCED), 600.0, 1.0, id="quiesced: every second"),
        pytest.param(replace(OPEN, last_activity=ago(575)), 600.0, 25.0, id="when idleness could be reached"),
        pytest.param(replace(OPEN, last_activity=ago(1)), 600.0, 60.0, id="else every 60 s"),
        pytest.param(OPEN, None, 60.0, id="never: every 60 s"),
        pytest.param(BUSY, 600.0, 5.0, id="busy: soon"),
    ],
)
def test_how_often_the_pod_is_asked(report: GatewayReport | None, seconds: float | None, expected: float) -> None:
    """Rule 12."""
    observed = sleep_after(seconds)
    now = view(observed, report)
    assert decide_report_interval(observed, now.reports, decide_sleep(now)) == expected


def test_without_a_pod_nobody_is_asked() -> None:
    assert decide_report_interval(replace(AWAKE, pod=None), Reports(), None) is None
