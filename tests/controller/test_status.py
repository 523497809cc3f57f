"""api.md, status: how the parts become one status, when it is written, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moltbot_api import status as api
from moltbot_api.conditions import ConditionType, Phase, Reason
from moltbot_api.spec import MoltbotSpec
from moltbot_operator import tell
from moltbot_operator.children import Findings
from moltbot_operator.effective import Effective, SecretValues
from moltbot_operator.exposure import Claim, Exposure, decide_exposure, format_url, wanted_host
from moltbot_operator.facts import lifecycle_status
from moltbot_operator.lifecycle import status as life
from moltbot_operator.lifecycle.observed import Key
from moltbot_operator.lifecycle.status import Truth
from moltbot_operator.says import Says
from moltbot_operator.secrets_from import resolve
from moltbot_operator.sources import Place
from moltbot_operator.status import Picture, compose, is_worth_writing, transitions
from moltbot_operator.storage import StorageView, adjust_claim, decide_storage, default_class_exists
from tests.fakes.clock import START

KEY = Key("team", "ada")
BOUND = Says(Truth.TRUE, Reason.BOUND, "bound")
SHOWN = Exposure("h", "http://h", Says(Truth.TRUE, Reason.ROUTED, "x"))


def settle(spec: dict[str, Any] | None = None, **secrets: dict[str, str] | None) -> Effective:
    whole = {"secretsFrom": [{"name": name} for name in secrets]} if secrets and spec is None else (spec or {})
    found = {name: None if data is None else {key: value.encode() for key, value in data.items()} for name, data in secrets.items()}
    return resolve(MoltbotSpec.model_validate(whole), SecretValues(found), Place("team", "ada"))[0]


DEMO = settle({"model": {"name": "demo"}})
R2 = {"R2_ACCESS_KEY_ID": "id", "R2_SECRET_ACCESS_KEY": "sk", "CF_ACCOUNT_ID": "acc1", "ANTHROPIC_API_KEY": "k"}


def picture(effective: Effective = DEMO, **changes: Any) -> Picture:
    return replace(Picture(generation=3, effective=effective, exposure=SHOWN, storage=BOUND), **changes)


def said(type_: ConditionType, truth: Truth, reason: Reason, message: str = "") -> life.Condition:
    return life.Condition(type_, truth, reason, message, START, 3)


def condition(status: api.MoltbotStatus, type_: ConditionType) -> tuple[str, str] | None:
    return next(((one.status, one.reason) for one in status.conditions or () if one.type == type_.value), None)


def made(shown: Picture, lifecycle: life.LifecycleStatus | None = None, old: api.MoltbotStatus | None = None) -> api.MoltbotStatus:
    return compose(shown, lifecycle or life.LifecycleStatus(), old or api.MoltbotStatus(), START)


# model, backup, storage: ours and the pod's


def test_what_the_pod_reports_of_the_model_stands() -> None:
    effective = settle(ada={"ANTHROPIC_API_KEY": "k"})
    asked = life.LifecycleStatus(conditions=(said(ConditionType.MODEL_READY, Truth.FALSE, Reason.MODEL_AUTHENTICATION, "wrong key"),))
    assert condition(made(picture(effective), asked), ConditionType.MODEL_READY) == ("False", "ModelAuthenticationFailed")
    assert condition(made(picture(effective)), ConditionType.MODEL_READY) == ("Unknown", "Configured")


def test_what_was_reported_of_another_model_does_not_stand() -> None:
    effective = settle(ada={"ANTHROPIC_API_KEY": "k"})
    asked = life.LifecycleStatus(conditions=(said(ConditionType.MODEL_READY, Truth.FALSE, Reason.MODEL_AUTHENTICATION),))
    assert condition(made(picture(effective, model_changed=True), asked), ConditionType.MODEL_READY) == ("Unknown", "Configured")


def test_without_a_key_the_model_is_not_ready_whatever_an_old_pod_said() -> None:
    asked = life.LifecycleStatus(conditions=(said(ConditionType.MODEL_READY, Truth.TRUE, Reason.ANSWERED),))
    assert condition(made(picture(settle(ada={})), asked), ConditionType.MODEL_READY) == ("False", "NoModel")


def test_backup_without_a_bucket_with_one_and_with_a_half_set_one() -> None:
    assert condition(made(picture()), ConditionType.BACKUP_READY) == ("False", "NotConfigured")
    assert condition(made(picture(settle(ada=R2))), ConditionType.BACKUP_READY) == ("Unknown", "NotBackedUpYet")
    half = settle(ada={key: value for key, value in R2.items() if key != "CF_ACCOUNT_ID"})
    assert condition(made(picture(half)), ConditionType.BACKUP_READY) == ("False", "GroupIncomplete")
    done = life.LifecycleStatus(last_backup=life.LastBackup(START, "s", 1))
    assert condition(made(picture(settle(ada=R2)), done), ConditionType.BACKUP_READY) == ("True", "BackedUp")
    missing = life.LifecycleStatus(conditions=(said(ConditionType.BACKUP_READY, Truth.FALSE, Reason.BUCKET_MISSING),))
    assert condition(made(picture(settle(ada=R2)), missing), ConditionType.BACKUP_READY) == ("False", "BucketMissing")


def test_damaged_state_is_told_although_the_claim_is_bound() -> None:
    damaged = life.LifecycleStatus(conditions=(said(ConditionType.STORAGE_READY, Truth.FALSE, Reason.DATABASE_DAMAGED),))
    assert condition(made(picture(), damaged), ConditionType.STORAGE_READY) == ("False", "DatabaseDamaged")
    stale = life.LifecycleStatus(conditions=(said(ConditionType.STORAGE_READY, Truth.FALSE, Reason.CLAIM_PENDING),))
    assert condition(made(picture(), stale), ConditionType.STORAGE_READY) == ("True", "Bound")


def test_a_taken_name_is_not_ready() -> None:
    status = made(picture(findings=Findings(taken=["Secret ada-keys", "ConfigMap ada-boot"])))
    assert condition(status, ConditionType.NAME_TAKEN) == ("True", "NameTaken")
    assert condition(status, ConditionType.READY) == ("False", "NameTaken")
    assert condition(made(picture()), ConditionType.NAME_TAKEN) is None


def test_the_order_of_what_is_wrong_with_secrets() -> None:
    effective = settle(ada={"ANTHROPIC_API_KEY": "x # y", "AI_GATEWAY_API_KEY": "z"}, zoe=None)
    status = made(picture(effective))
    assert condition(status, ConditionType.SECRETS_READY) == ("False", "SecretMissing")
    message = next(one.message for one in status.conditions or () if one.type == "SecretsReady")
    assert message.index("Secret zoe") < message.index("AI_GATEWAY_BASE_URL") < message.index("comment")


# times and round trips


def test_last_transition_moves_with_the_status_alone() -> None:
    first = made(picture(settle(ada={"ANTHROPIC_API_KEY": "k"})))
    later = START + timedelta(hours=1)
    asked = life.LifecycleStatus(conditions=(said(ConditionType.MODEL_READY, Truth.UNKNOWN, Reason.MODEL_ERROR),))
    second = compose(picture(settle(ada={"ANTHROPIC_API_KEY": "k"})), asked, first, later)
    times = {one.type: one.last_transition_time for one in second.conditions or ()}
    assert times["ModelReady"] == START
    third = compose(picture(), life.LifecycleStatus(), second, later)
    assert {one.type: one.last_transition_time for one in third.conditions or ()}["ModelReady"] == later


def test_a_status_survives_the_wire() -> None:
    """A restart reads back what was written, so that the next pass writes nothing."""
    full = life.LifecycleStatus(
        phase=Phase.AWAKE,
        conditions=(said(ConditionType.READY, Truth.TRUE, Reason.SERVING, "serves"),),
        instance="pod-1",
        last_activity=START,
        next_wake=START,
        last_backup=life.LastBackup(START, "snap", 5),
        last_wake=life.LastWake(START, "page", 1.5, {"pod": 3}),
        history=(life.HistoryEntry(Phase.AWAKE, START, "open"),),
        actions=(life.ActionRecord(life.ActionKind.WAKE, "2026", life.ActionResult.DONE, START, "done", "pod-1"),),
        usage=life.Usage(7, 8, START),
        recorded=life.Recorded("lin", 4),
    )
    wire = made(picture(), full).to_wire()
    back = lifecycle_status(api.MoltbotStatus.from_wire(wire))
    assert replace(back, conditions=()) == replace(full, conditions=())
    assert compose(picture(), back, api.MoltbotStatus.from_wire(wire), START + timedelta(hours=1)).to_wire() == wire


@pytest.mark.parametrize(
    ("change", "since", "worth"),
    [
        ({}, 1000, False),
        ({"lastActivityTime": "2026-11-24T09:00:00Z"}, 299, False),
        ({"lastActivityTime": "2026-11-24T09:00:00Z"}, 300, True),
        ({"usage": {"awakeSeconds": 9, "countedAt": "x"}}, 10, False),
        ({"usage": {"awakeSeconds": 9}}, 10, True),  # the pod went
        ({"lastBackup": {"time": "b", "snapshot": "s"}}, 10, False),
        ({"lastBackup": {"time": "b", "snapshot": "t"}}, 10, True),
        ({"phase": "Asleep"}, 0, True),
        ({"verifiers": []}, 0, True),
    ],
)
def test_counters_are_written_every_five_minutes_and_transitions_at_once(change: dict[str, Any], since: float, worth: bool) -> None:
    """Rule 1."""
    old = {
        "phase": "Awake",
        "usage": {"awakeSeconds": 1, "countedAt": "a"},
        "lastBackup": {"time": "a", "snapshot": "s"},
        "lastActivityTime": "2026-11-24T08:00:00Z",
    }
    assert is_worth_writing(old, old | change, since) is worth


# events


def test_events_are_told_for_what_is_new_and_name_what_is_missing() -> None:
    shown = picture(settle(ada={"ANTROPIC_API_KEY": "x"}))
    status = made(shown)
    told = list(tell.events_of(KEY, "u", transitions(api.MoltbotStatus(), status), shown))
    assert [(one.reason, one.warning) for one in told] == [("KeyUnknown", True), ("NoModel", True)]
    assert list(tell.events_of(KEY, "u", transitions(status, status), shown)) == []


def test_choices_are_no_warnings() -> None:
    shown = picture()
    assert list(tell.events_of(KEY, "u", transitions(api.MoltbotStatus(), made(shown)), shown)) == []


# storage


def claim(phase: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "ada-state"}, "spec": spec, "status": {"phase": phase, "capacity": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("spec", "view", "reason", "blocked"),
    [
        ({}, StorageView(claim("Bound"), False), Reason.BOUND, False),
        ({}, StorageView(None, False), Reason.CLAIM_PENDING, False),
        ({}, StorageView(claim("Pending"), False, True), Reason.CLAIM_PENDING, False),
        ({}, StorageView(claim("Pending"), False, False), Reason.NO_STORAGE_CLASS, True),
        ({}, StorageView(claim("Pending", storageClassName="x"), False, False), Reason.CLAIM_PENDING, False),
        ({}, StorageView(claim("Pending"), False, None, has_pod=True), Reason.CLAIM_PENDING, False),
        ({}, StorageView(claim("Lost"), False), Reason.CLAIM_LOST, True),
        ({"existingClaim": "mine"}, StorageView(None, False), Reason.CLAIM_MISSING, True),
        ({"existingClaim": "mine"}, StorageView(claim("Bound"), False, other="zoe"), Reason.CLAIM_IN_USE, True),
        ({"ephemeral": True}, StorageView(None, True), Reason.EPHEMERAL, False),
        ({"ephemeral": True, "loseOnRestart": True}, StorageView(None, False), Reason.LOSE_ON_RESTART, False),
        ({"ephemeral": True}, StorageView(None, False), Reason.NO_BUCKET_FOR_EPHEMERAL, True),
    ],
)
def test_storage(spec: dict[str, Any], view: StorageView, reason: Reason, blocked: bool) -> None:
    verdict = decide_storage("ada", MoltbotSpec.model_validate({"persistence": spec} if spec else {}), view)
    assert (verdict.says.reason, verdict.obstacle is not None) == (reason, blocked)
    assert verdict.says.message


def test_a_claim_grows_and_never_shrinks_and_keeps_its_class() -> None:
    live = {
        "spec": {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "old", "accessModes": ["ReadWriteMany"]},
    }

    def wanted(size: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": "new"}
        return {"spec": spec}

    assert adjust_claim(wanted("5Gi"), live)["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "5Gi"}},
        "storageClassName": "old",
    }
    assert adjust_claim(wanted("1Gi"), live)["spec"]["resources"] == {"requests": {"storage": "2Gi"}}
    assert adjust_claim(wanted("1Gi"), None) == wanted("1Gi")


def test_a_default_class_is_the_annotated_one() -> None:
    one = {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    assert default_class_exists([{"metadata": {}}, one])
    assert not default_class_exists([{"metadata": {}}])


# hosts


def host_claim(name: str, minute: int, host: str, namespace: str = "team") -> Claim:
    return Claim(Key(namespace, name), f"uid-{name}", START + timedelta(minutes=minute), host)


def test_a_default_host_is_free_of_rivals() -> None:
    mine = host_claim("ada", 5, wanted_host(KEY, None, None, "localhost"))
    shown = decide_exposure(mine, None, [host_claim("zoe", 1, "ada--team.localhost")], "localhost", 8080)
    assert (shown.host, shown.url) == ("ada--team.localhost", "http://ada--team.localhost:8080")


def test_another_moltbots_default_host_cannot_be_claimed_even_before_it_exists() -> None:
    shown = decide_exposure(host_claim("ada", 1, "zoe--team.localhost"), None, [], "localhost", 8080)
    assert (shown.host, shown.says.reason) == (None, Reason.HOST_CONFLICT)


def test_of_two_claims_the_older_one_holds() -> None:
    older, later = host_claim("ada", 1, "bot.example"), host_claim("zoe", 2, "bot.example")
    assert decide_exposure(older, None, [older, later], "localhost", 443).url == "https://bot.example"
    lost = decide_exposure(later, None, [older, later], "localhost", 443)
    assert lost.host is None
    assert "team/ada has had it for longer" in lost.says.message


def test_of_two_claims_of_one_moment_the_smaller_uid_holds() -> None:
    one, two = host_claim("ada", 1, "bot.example"), host_claim("zoe", 1, "bot.example")
    assert decide_exposure(one, None, [one, two], "localhost", 443).host == "bot.example"
    assert decide_exposure(two, None, [one, two], "localhost", 443).host is None


def test_the_public_url_is_shown_as_it_was_given() -> None:
    host = wanted_host(KEY, None, "https://bot.example:8443", "localhost")
    shown = decide_exposure(host_claim("ada", 1, host), "https://bot.example:8443", [], "localhost", 8080)
    assert (shown.host, shown.url) == ("bot.example", "https://bot.example:8443")
    assert wanted_host(KEY, "Own.Example", "https://bot.example", "localhost") == "own.example"


def test_urls_leave_out_the_port_that_goes_without_saying() -> None:
    assert [format_url("h", port) for port in (80, 443, 8080)] == ["http://h", "https://h", "http://h:8080"]
