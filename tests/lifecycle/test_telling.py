"""Rules 1, 8 and 12: what goes into the status, and when it is worth a write."""

from __future__ import annotations

from dataclasses import replace

from moltbot_operator.lifecycle.backups import decide_last_backup, decide_recorded
from moltbot_operator.lifecycle.observed import Observed, Storage, WakeTimes
from moltbot_operator.lifecycle.phases import decide_told
from moltbot_operator.lifecycle.pod_watch import Reports
from moltbot_operator.lifecycle.reports import GatewayReport, ReportedCondition, SnapshotReport, StatePhase, StateReport
from moltbot_operator.lifecycle.sleep import decide_sleep
from moltbot_operator.lifecycle.status import (
    HISTORY_LENGTH,
    Condition,
    ConditionType,
    HistoryEntry,
    LastBackup,
    LifecycleStatus,
    Phase,
    Reason,
    Recorded,
    Truth,
    Usage,
)
from moltbot_operator.lifecycle.telling import Facts, compose_status, decide_history, decide_usage
from moltbot_operator.lifecycle.wake import Rest, WakeCause, decide_wake
from tests.lifecycle.examples import ASLEEP, ASLEEP_SET, AWAKE, NOTHING_ASKED, NOW, OPEN, POD, RESTORING, STATEFULSET, WATCH, ago, view

SNAPSHOT = SnapshotReport("snap-4", ago(20), 100, 2, "l-1", 4, "snap-3", True)


def compose(
    observed: Observed = AWAKE, gateway: GatewayReport | None = OPEN, state: StateReport | None = None, wake: WakeCause | None = None
) -> LifecycleStatus:
    seen = view(observed, reports=Reports(gateway, state))
    statefulset = observed.statefulset
    verdict = decide_sleep(seen) if statefulset is not None and statefulset.replicas == 1 else None
    told = decide_told(seen, verdict, None, None, slept=False)
    return compose_status(seen, Facts(told, NOTHING_ASKED, wake=wake))


def test_composing_twice_changes_nothing() -> None:
    """Rule 1: when nothing happens nothing is written."""
    first = compose()
    again = compose(replace(AWAKE, status=first))
    assert again == first


def test_what_it_has_read_of_the_schedule_is_recorded_once_it_is_open() -> None:
    """So that an operator that starts anew can tell as well whether something was added."""
    waking = replace(AWAKE, pod=replace(POD, jobs=("brief", "weekly")), status=replace(AWAKE.status, instance="p-0", jobs=("brief",)))
    assert compose(waking, RESTORING).jobs == ("brief",)
    read = compose(waking)
    assert read.jobs == ("brief", "weekly")
    asleep = replace(ASLEEP, statefulset=replace(ASLEEP_SET, jobs=("brief", "weekly")), status=read)
    assert compose(asleep, None).jobs == ("brief", "weekly")


def test_it_is_woken_for_a_new_job_once_and_the_reason_is_told() -> None:
    """One that then does not open, and that a person puts to sleep again, is not woken for the same job once more."""
    asleep = replace(
        ASLEEP, statefulset=replace(ASLEEP_SET, jobs=("brief", "weekly")), status=replace(ASLEEP.status, jobs=("brief",), instance="p-0")
    )
    assert compose(asleep, None).jobs == ("brief",)
    woken = compose(asleep, None, wake=WakeCause.SCHEDULE)
    assert (woken.phase, woken.history[0].reason, woken.jobs) == (Phase.WAKING, "its schedule has a new time", ("brief", "weekly"))
    again = replace(asleep, status=replace(woken, phase=Phase.ASLEEP))
    assert decide_wake(again, NOTHING_ASKED, NOW) == Rest()
    opened = compose(replace(AWAKE, pod=replace(POD, jobs=("brief", "weekly")), status=woken), replace(OPEN, opened_at=ago(1)))
    assert opened.last_wake is not None
    assert opened.last_wake.reason == "schedule"


def test_what_a_pod_with_the_old_key_says_of_the_model_is_no_longer_so() -> None:
    """It runs a little longer, and goes on saying it; its successor says nothing of the model before it has asked."""
    refused = replace(OPEN, conditions=(ReportedCondition("ModelReady", False, "ModelAuthenticationFailed", "wrong key"),))
    statefulset = replace(STATEFULSET, model="key-1")
    before = compose(replace(AWAKE, statefulset=statefulset, pod=replace(POD, model="key-1")), refused)
    assert _model(before) == Reason.MODEL_AUTHENTICATION
    changed = replace(AWAKE, statefulset=replace(statefulset, model="key-2"), pod=replace(POD, model="key-1"), status=before)
    while_it_runs = compose(changed, refused)
    assert _model(while_it_runs) is None
    successor = replace(changed, pod=replace(POD, uid="p-2", model="key-2"), status=while_it_runs)
    opened = compose(successor, replace(OPEN, pod_uid="p-2"))
    assert opened.instance == "p-2"
    assert _model(opened) is None
    answered = replace(OPEN, pod_uid="p-2", conditions=(ReportedCondition("ModelReady", True, "Answered", ""),))
    assert _model(compose(replace(successor, status=opened), answered)) == Reason.ANSWERED


def test_what_the_last_pod_said_of_the_same_model_stands() -> None:
    refused = replace(OPEN, conditions=(ReportedCondition("ModelReady", False, "ModelAuthenticationFailed", "wrong key"),))
    statefulset = replace(STATEFULSET, model="key-1")
    before = compose(replace(AWAKE, statefulset=statefulset, pod=replace(POD, model="key-1")), refused)
    again = compose(replace(AWAKE, statefulset=statefulset, pod=replace(POD, uid="p-2", model="key-1"), status=before))
    assert _model(again) == Reason.MODEL_AUTHENTICATION


def _model(status: LifecycleStatus) -> Reason | None:
    found = status.condition(ConditionType.MODEL_READY)
    return found.reason if found is not None else None


def test_a_wake_is_told_once_by_our_own_clock() -> None:
    """Rule 12: seconds and the way to the address are ours, the rest is what the gateway says of itself."""
    waking = replace(
        AWAKE,
        status=replace(
            AWAKE.status, instance="p-0", phase=Phase.WAKING, history=(HistoryEntry(Phase.WAKING, ago(3), "a request or message came"),)
        ),
        wake_times=WakeTimes(scaled_at=ago(2.5), pod_at=ago(2.4), address_at=ago(2.0)),
    )
    reports = Reports(replace(OPEN, first_activity="page", listening_ms=310, restored_ms=600, open_ms=640))
    seen = view(waking, reports=reports, watch=replace(WATCH, open_seen_at=ago(0.5)))
    told = decide_told(seen, decide_sleep(seen), None, None, slept=False)
    status = compose_status(seen, Facts(told, NOTHING_ASKED))
    assert status.instance == POD.uid
    assert status.last_wake is not None
    assert (status.last_wake.reason, status.last_wake.seconds, status.last_wake.time) == ("page", 2.0, ago(0.5))
    assert status.last_wake.breakdown == {"pod": 100, "address": 400, "listening": 310, "restored": 600, "open": 640}
    assert compose(replace(waking, status=status)).last_wake == status.last_wake


def test_a_wake_of_the_operator_s_own_says_why() -> None:
    status = compose(replace(ASLEEP, status=replace(ASLEEP.status, phase=Phase.ASLEEP)), None, wake=WakeCause.DUE)
    assert status.history[0] == HistoryEntry(Phase.WAKING, NOW, "something is due")
    opened = compose(replace(AWAKE, status=replace(status, instance="p-0")), replace(OPEN, first_activity="page"))
    assert opened.last_wake is not None
    assert opened.last_wake.reason == "job"


def test_the_history_keeps_the_newest_changes_of_phase() -> None:
    history: tuple[HistoryEntry, ...] = ()
    for number in range(40):
        phase = Phase.AWAKE if number % 2 else Phase.ASLEEP
        history = decide_history(history, phase, f"{number}", ago(1000 - number))
        history = decide_history(history, phase, "again", NOW)
    assert len(history) == HISTORY_LENGTH
    assert [entry.reason for entry in history[:3]] == ["39", "38", "37"]


def test_time_awake_is_counted_in_whole_seconds_across_restarts_of_the_operator() -> None:
    assert decide_usage(view()) == Usage(awake_seconds=3600, tokens=0, counted_at=NOW)
    counted = replace(AWAKE, status=replace(AWAKE.status, usage=Usage(100, 7, ago(10.9))))
    assert decide_usage(view(counted, replace(OPEN, tokens=5))) == Usage(110, 7, ago(0.9))
    gone = replace(ASLEEP, status=replace(ASLEEP.status, usage=Usage(100, 7, ago(10))))
    assert decide_usage(view(gone, None)) == Usage(110, 7, None)
    assert decide_usage(view(replace(gone, status=replace(gone.status, usage=Usage(110, 7, None))), None)) == Usage(110, 7, None)


def test_a_pod_s_conditions_come_from_the_catalogue_or_not_at_all() -> None:
    """Rule 12: it cannot say Ready, nor anything that is not documented."""
    conditions = (
        ReportedCondition("ModelReady", False, "NoModel", "no key"),
        ReportedCondition("Ready", True, "Serving", "trust me"),
        ReportedCondition("BackupReady", True, "Whatever", "x"),
        ReportedCondition("Nonsense", True, "Serving", "x"),
    )
    status = compose(gateway=replace(OPEN, conditions=conditions))
    assert {one.type for one in status.conditions} == {
        ConditionType.READY,
        ConditionType.SLEEPING,
        ConditionType.PROGRESSING,
        ConditionType.MODEL_READY,
    }
    ready = status.condition(ConditionType.READY)
    assert ready is not None
    assert ready.message != "trust me"


def test_what_a_pod_said_stands_while_it_sleeps() -> None:
    awake = compose(gateway=replace(OPEN, conditions=(ReportedCondition("ModelReady", True, "Answered", ""),)))
    asleep = compose(replace(ASLEEP, status=awake), None)
    model = asleep.condition(ConditionType.MODEL_READY)
    assert model is not None
    assert (model.status, model.reason) == (Truth.TRUE, Reason.ANSWERED)


def test_what_the_gateway_says_of_tools_skills_servers_and_schedule_stands_until_it_is_open_and_says_it_no_more() -> None:
    conditions = (
        ReportedCondition("ToolsReady", False, "NoConfinement", "no Landlock"),
        ReportedCondition("SkillsReady", False, "SkillRequirementsMissing", "weather needs curl"),
        ReportedCondition("McpReady", False, "McpServerFailed", "notes ended with 1"),
        ReportedCondition("ScheduleReady", False, "JobFailed", "brief"),
        ReportedCondition("ModelReady", False, "ModelLimitReached", "today's tokens are used up"),
    )
    awake = compose(gateway=replace(OPEN, conditions=conditions))
    said = {(one.type.value, one.reason.value, one.message) for one in awake.conditions}
    assert {(one.type, one.reason, one.message) for one in conditions} <= said
    asleep = compose(replace(ASLEEP, status=awake), None)
    mcp = asleep.condition(ConditionType.MCP_READY)
    assert mcp is not None
    assert mcp.reason is Reason.MCP_SERVER_FAILED
    again = compose(replace(AWAKE, status=awake), replace(OPEN, conditions=conditions[:1]))
    types = {one.type for one in again.conditions} & {ConditionType(one.type) for one in conditions}
    assert types == {ConditionType.TOOLS_READY, ConditionType.MODEL_READY}


def test_what_the_operator_said_of_the_spec_is_not_taken_for_a_pod_s_word() -> None:
    """It stands in the same status; mended while the assistant sleeps, nothing but the spec tells."""
    said = Condition(ConditionType.SCHEDULE_READY, Truth.FALSE, Reason.SCHEDULE_INVALID, "x", NOW, 1)
    status = compose(replace(ASLEEP, status=replace(ASLEEP.status, conditions=(said,))), None)
    assert status.condition(ConditionType.SCHEDULE_READY) is None
    fresh = compose(gateway=replace(OPEN, conditions=(ReportedCondition("ScheduleReady", False, "ScheduleInvalid", "x"),)))
    assert fresh.condition(ConditionType.SCHEDULE_READY) is not None


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = compose()
    ready = first.condition(ConditionType.READY)
    assert ready is not None
    older = replace(first, conditions=tuple(replace(one, since=ago(500)) for one in first.conditions))
    again = compose(replace(AWAKE, status=older), replace(OPEN, problems=("busy is not a list",)))
    now = again.condition(ConditionType.READY)
    assert now is not None
    assert (now.reason, now.since) == (Reason.BAD_REPORT, ago(500))


# --- rule 8: what is recorded


def state(**changes: object) -> StateReport:
    return replace(StateReport("p-1", StatePhase.OPEN, last_snapshot=SNAPSHOT, last_equal=ago(5)), **changes)  # type: ignore[arg-type]


def test_recorded_is_a_verified_snapshot_or_an_opened_volume() -> None:
    moltbot, ephemeral = AWAKE.moltbot, replace(AWAKE.moltbot, storage=Storage.EPHEMERAL)
    opened = replace(OPEN, lineage="l-1", sequence=6)
    assert decide_recorded(None, moltbot, Reports(opened), None) == Recorded("l-1", 6)
    assert decide_recorded(None, ephemeral, Reports(opened), None) is None
    assert decide_recorded(None, ephemeral, Reports(opened, state()), None) == Recorded("l-1", 4)
    unverified = state(last_snapshot=replace(SNAPSHOT, verified=False))
    assert decide_recorded(None, ephemeral, Reports(opened, unverified), None) is None
    assert decide_recorded(None, ephemeral, Reports(None), SNAPSHOT) == Recorded("l-1", 4)


def test_what_lies_in_the_bucket_before_the_state_is_open_records_nothing() -> None:
    """It is what is being looked at, not what was chosen."""
    restoring = replace(OPEN, state=type(OPEN.state).RESTORING, lineage="l-9", sequence=1)
    assert decide_recorded(
        Recorded("l-1", 4), AWAKE.moltbot, Reports(restoring, state(last_snapshot=replace(SNAPSHOT, lineage="l-9"))), None
    ) == Recorded("l-1", 4)


def test_recorded_never_goes_back_within_a_lineage() -> None:
    known = Recorded("l-1", 9)
    assert decide_recorded(known, AWAKE.moltbot, Reports(OPEN, state()), None) == known
    assert decide_recorded(known, AWAKE.moltbot, Reports(replace(OPEN, lineage="l-2", sequence=1)), None) == Recorded("l-2", 1)


def test_what_may_be_lost_is_not_recorded() -> None:
    lost = replace(AWAKE.moltbot, lose_on_restart=True, storage=Storage.EPHEMERAL)
    assert decide_recorded(None, lost, Reports(OPEN, state()), SNAPSHOT) is None


def test_the_last_backup_is_when_the_bucket_was_last_equal() -> None:
    assert decide_last_backup(None, state(), None, NOW) == LastBackup(ago(5), "snap-4", 100)
    newer = LastBackup(ago(1), "snap-5", 120)
    assert decide_last_backup(newer, state(), None, NOW) == newer
    assert decide_last_backup(newer, state(), SNAPSHOT, NOW) == LastBackup(NOW, "snap-4", 100)
    assert decide_last_backup(newer, None, None, NOW) == newer
