"""Rule 2: who writes 1, when it is the operator; rule 12: scheduled wakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import decide_actions
from moltbot_operator.lifecycle.observed import Observed, Obstacle
from moltbot_operator.lifecycle.status import ConditionType, HistoryEntry, LastWake, LifecycleStatus, Phase, Reason, Truth
from moltbot_operator.lifecycle.wake import MOST_SLEEP_SECONDS, Rest, Wake, WakeCause, decide_next_wake, decide_wake
from tests.lifecycle.examples import ASLEEP, ASLEEP_SET, ASLEEP_STATUS, AWAKE, NOW, ago, condition, text

NEW = replace(ASLEEP, status=LifecycleStatus())


def never(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, sleep_after=None))


def mode(observed: Observed, chosen: OperatingMode) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, mode=chosen))


def slept(observed: Observed, reason: Reason) -> Observed:
    return replace(observed, status=replace(observed.status, conditions=(condition(ConditionType.SLEEPING, Truth.TRUE, reason),)))


def due(observed: Observed, at: datetime) -> Observed:
    return replace(observed, status=replace(observed.status, next_wake=at))


def scheduled(observed: Observed, template: tuple[str, ...] | None, read: tuple[str, ...] | None) -> Observed:
    """`template`: times of jobs as the resource has them now; `read`: those that the assistant knew when it was last open."""
    statefulset = observed.statefulset
    assert statefulset is not None
    return replace(observed, statefulset=replace(statefulset, jobs=template), status=replace(observed.status, jobs=read))


def added(observed: Observed) -> Observed:
    return scheduled(observed, ("brief", "weekly"), ("brief",))


def asked(observed: Observed, kind: str) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, annotations={f"moltbot.dev/{kind}": text(ago(5))}))


def blocked(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, start_obstacle=Obstacle(Reason.SECRETS_NOT_READY, "make Secret ada")))


def deleting(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, deleting=True))


SUSPENDED = OperatingMode.SUSPENDED


@pytest.mark.parametrize(
    ("observed", "cause"),
    [
        pytest.param(NEW, WakeCause.FIRST_START, id="the first start"),
        pytest.param(mode(NEW, SUSPENDED), None, id="made Suspended it does not start"),
        pytest.param(slept(ASLEEP, Reason.SUSPENDED), WakeCause.RESUMED, id="leaving Suspended"),
        pytest.param(mode(slept(ASLEEP, Reason.SUSPENDED), SUSPENDED), None, id="still Suspended"),
        pytest.param(ASLEEP, None, id="asleep and idle: traffic is the router's"),
        pytest.param(never(ASLEEP), WakeCause.NEVER, id="never sleeps"),
        pytest.param(slept(never(ASLEEP), Reason.REQUESTED), None, id="never, but a person put it to sleep"),
        pytest.param(asked(never(ASLEEP), "sleep"), None, id="never, and a sleep asked for just now"),
        pytest.param(asked(slept(never(ASLEEP), Reason.REQUESTED), "wake"), WakeCause.PERSON, id="… until a person wakes it"),
        pytest.param(due(slept(never(ASLEEP), Reason.REQUESTED), ago(0)), WakeCause.DUE, id="… or something is due"),
        pytest.param(asked(ASLEEP, "wake"), WakeCause.PERSON, id="a person's wake"),
        pytest.param(asked(mode(ASLEEP, SUSPENDED), "wake"), None, id="a wake of a Suspended one"),
        pytest.param(due(ASLEEP, ago(-3)), WakeCause.DUE, id="due in a moment"),
        pytest.param(due(mode(ASLEEP, SUSPENDED), ago(0)), None, id="due while Suspended"),
        pytest.param(added(ASLEEP), WakeCause.SCHEDULE, id="a job was added while it slept"),
        pytest.param(scheduled(ASLEEP, ("b-9",), ("b-7",)), WakeCause.SCHEDULE, id="a job has another time"),
        pytest.param(scheduled(ASLEEP, ("brief",), ()), WakeCause.SCHEDULE, id="the first job"),
        pytest.param(scheduled(ASLEEP, ("brief",), ("brief",)), None, id="the schedule that it has read"),
        pytest.param(scheduled(ASLEEP, ("brief",), ("brief", "weekly")), None, id="a job was removed: nothing new to be read"),
        pytest.param(scheduled(ASLEEP, (), ("brief",)), None, id="all jobs were removed"),
        pytest.param(scheduled(ASLEEP, ("brief",), None), None, id="an upgrade of ours: what it has read is not known"),
        pytest.param(scheduled(ASLEEP, None, ("brief",)), None, id="a template of before"),
        pytest.param(added(mode(ASLEEP, SUSPENDED)), None, id="a job for a Suspended one"),
        pytest.param(added(slept(ASLEEP, Reason.SUSPENDED)), WakeCause.RESUMED, id="… is read when it is Suspended no more"),
        pytest.param(added(deleting(ASLEEP)), None, id="a job for one that is being deleted"),
        pytest.param(added(blocked(ASLEEP)), None, id="a job, and a Secret is missing"),
        pytest.param(added(slept(ASLEEP, Reason.REQUESTED)), WakeCause.SCHEDULE, id="put to sleep by a person: like a due time"),
        pytest.param(added(slept(never(ASLEEP), Reason.REQUESTED)), WakeCause.SCHEDULE, id="… where it never sleeps by itself too"),
        pytest.param(added(asked(ASLEEP, "wake")), WakeCause.PERSON, id="a person's wake reads it anyway"),
        pytest.param(added(due(ASLEEP, ago(0))), WakeCause.DUE, id="something that is due reads it anyway"),
        pytest.param(added(due(ASLEEP, ago(-600))), WakeCause.SCHEDULE, id="before the next due time that is known"),
        pytest.param(added(replace(NEW, statefulset=ASLEEP_SET)), WakeCause.FIRST_START, id="the first start reads it anyway"),
        pytest.param(added(AWAKE), None, id="awake: the pod is replaced, as for any change"),
        pytest.param(AWAKE, None, id="1 already"),
        pytest.param(replace(NEW, statefulset=None), None, id="no StatefulSet"),
        pytest.param(replace(NEW, statefulset=replace(ASLEEP_SET, hashed=False)), None, id="a skeleton without our hash"),
        pytest.param(blocked(NEW), None, id="a half-set bucket never starts empty"),
        pytest.param(blocked(asked(ASLEEP, "wake")), None, id="not even when asked"),
        pytest.param(deleting(never(ASLEEP)), None, id="being deleted"),
    ],
)
def test_who_writes_one(observed: Observed, cause: WakeCause | None) -> None:
    verdict = decide_wake(observed, decide_actions(observed, NOW), NOW)
    assert verdict == (Wake(cause) if cause is not None else Rest())


def test_a_wake_for_something_due_begins_ahead_of_it() -> None:
    observed = due(ASLEEP, ago(-300))
    assert decide_wake(observed, decide_actions(observed, NOW), NOW) == Rest(295.0)
    slow = replace(observed, status=replace(observed.status, last_wake=LastWake(ago(900), "request", 20.0)))
    assert decide_wake(slow, decide_actions(slow, NOW), NOW) == Rest(270.0)


def test_a_scheduled_wake_comes_no_sooner_than_a_minute_after_sleep() -> None:
    assert decide_next_wake(ago(3600), ASLEEP_STATUS, NOW) == ago(-60)
    assert decide_next_wake(ago(-600), ASLEEP_STATUS, NOW) == ago(-600)
    assert decide_next_wake(None, ASLEEP_STATUS, NOW) is None


def test_scheduled_wakes_that_did_nothing_come_later_and_later() -> None:
    """Rule 12: each doubles the wait before it; one that did something resets it."""

    def after(waited: float, *, useful: bool) -> float:
        status = replace(
            ASLEEP_STATUS,
            last_wake=LastWake(ago(60), "job", 1.0),
            last_activity=ago(59) if useful else ago(60 + waited + 500),
            history=(
                HistoryEntry(Phase.AWAKE, ago(60), "open"),
                HistoryEntry(Phase.WAKING, ago(61), WakeCause.DUE.value),
                HistoryEntry(Phase.ASLEEP, ago(60 + waited), "idle"),
            ),
        )
        moment = decide_next_wake(ago(0), status, NOW)
        assert moment is not None
        return (moment - NOW).total_seconds()

    assert [after(waited, useful=False) for waited in (60, 120, 240)] == [120, 240, 480]
    assert after(10 * MOST_SLEEP_SECONDS, useful=False) == MOST_SLEEP_SECONDS
    assert after(240, useful=True) == 60
