"""Rules 8 and 9 as far as the operator goes: the CronJob's rest, a person's snapshots, mirrors of the bucket."""

from __future__ import annotations

from dataclasses import replace

from moltbot_operator.lifecycle.backups import (
    MIRRORS_KEPT,
    AskSnapshot,
    SettleSnapshot,
    decide_backups_suspended,
    decide_mirrors,
    decide_snapshot_requests,
)
from moltbot_operator.lifecycle.observed import Observed, SnapshotFacts
from moltbot_operator.lifecycle.reports import GatewayState, SnapshotReport, StatePhase, StateReport
from moltbot_operator.lifecycle.status import LastBackup
from tests.lifecycle.examples import ASLEEP, AWAKE, NOW, OPEN, POD, ago

FIRST = SnapshotFacts("ask-1", "u-1", ago(20), requested=True, done=False)
SECOND = replace(FIRST, name="ask-2", uid="u-2", created_at=ago(10))
DONE = replace(FIRST, name="ask-0", uid="u-0", done=True, bucket_id="snap-1")


def having(observed: Observed, *snapshots: SnapshotFacts) -> Observed:
    return replace(observed, snapshots=snapshots)


def test_the_cron_job_rests_while_asleep_and_without_a_bucket() -> None:
    assert not decide_backups_suspended(AWAKE)
    assert decide_backups_suspended(ASLEEP)
    assert decide_backups_suspended(replace(AWAKE, moltbot=replace(AWAKE.moltbot, has_bucket=False)))
    assert decide_backups_suspended(replace(AWAKE, statefulset=None))


def test_a_snapshot_is_asked_for_once_for_all_that_wait() -> None:
    assert decide_snapshot_requests(having(AWAKE, SECOND, DONE, FIRST), OPEN, NOW) == (AskSnapshot(FIRST),)
    assert decide_snapshot_requests(having(AWAKE, DONE), OPEN, NOW) == ()


def test_a_snapshot_waits_for_an_open_assistant() -> None:
    assert decide_snapshot_requests(having(AWAKE, FIRST), replace(OPEN, state=GatewayState.RESTORING), NOW) == ()
    assert decide_snapshot_requests(having(AWAKE, FIRST), None, NOW) == ()
    ending = replace(AWAKE, pod=replace(POD, deletion_at=ago(-9)))
    assert decide_snapshot_requests(having(ending, FIRST), OPEN, NOW) == ()


def test_without_a_bucket_a_snapshot_fails_and_says_what_to_do() -> None:
    (order,) = decide_snapshot_requests(having(replace(AWAKE, moltbot=replace(AWAKE.moltbot, has_bucket=False)), FIRST), OPEN, NOW)
    assert isinstance(order, SettleSnapshot)
    assert not order.complete
    assert "spec.persistence.bucket" in order.message


def test_asleep_the_bucket_that_holds_the_state_answers() -> None:
    backup = LastBackup(ago(900), "snap-9", 5)
    status = replace(ASLEEP.status, last_backup=backup, last_activity=ago(1000))
    (order,) = decide_snapshot_requests(having(replace(ASLEEP, status=status), FIRST), None, NOW)
    assert order == SettleSnapshot(FIRST, True, "asleep, and the bucket holds this state already", backup)
    stale = replace(status, last_activity=ago(100))
    assert decide_snapshot_requests(having(replace(ASLEEP, status=stale), FIRST), None, NOW) == ()


def test_a_snapshot_that_nobody_could_be_asked_for_is_told_as_failed() -> None:
    old = replace(FIRST, created_at=ago(901))
    (order,) = decide_snapshot_requests(having(AWAKE, old), None, NOW)
    assert isinstance(order, SettleSnapshot)
    assert not order.complete


def bucket(number: int) -> SnapshotReport:
    return SnapshotReport(f"snap-{number}", ago(1000 - number), 1, 1, "l-1", number, None, True)


def test_the_newest_snapshots_of_the_bucket_are_kept_as_objects() -> None:
    mirrors = tuple(
        SnapshotFacts(f"m-{n:02}", f"u-{n}", ago(1000 - n), requested=False, done=True, bucket_id=f"snap-{n}") for n in range(20)
    )
    report = StateReport("p-1", StatePhase.OPEN, last_snapshot=bucket(19))
    decision = decide_mirrors(having(AWAKE, *mirrors, FIRST, DONE), report)
    assert decision.create is None
    assert [one.name for one in decision.delete] == [f"m-{n:02}" for n in reversed(range(20 - MIRRORS_KEPT))]
    new = decide_mirrors(having(AWAKE, *mirrors[-MIRRORS_KEPT:]), replace(report, last_snapshot=bucket(20)))
    assert new.create == bucket(20)
    assert [one.name for one in new.delete] == ["m-08"]


def test_an_unverified_snapshot_is_not_shown() -> None:
    report = StateReport("p-1", StatePhase.OPEN, last_snapshot=replace(bucket(1), verified=False))
    assert decide_mirrors(AWAKE, report).create is None
