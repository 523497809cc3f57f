"""Rule 1: what a person asks for now, as annotations with a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.actions import decide_actions, has_new_request
from moltbot_operator.lifecycle.observed import Observed
from moltbot_operator.lifecycle.status import ActionKind, ActionRecord, ActionResult
from tests.lifecycle.examples import ASLEEP, AWAKE, MOLTBOT, NOW, POD, ago, text


def asking(observed: Observed, **requests: str) -> Observed:
    annotations = {f"moltbot.dev/{kind}": value for kind, value in requests.items()}
    return replace(observed, moltbot=replace(observed.moltbot, annotations=annotations))


def known(observed: Observed, *records: ActionRecord) -> Observed:
    return replace(observed, status=replace(observed.status, actions=records))


def results(observed: Observed) -> dict[str, ActionResult]:
    return {record.action.value: record.result for record in decide_actions(observed, NOW).records}


def suspended(observed: Observed) -> Observed:
    return replace(observed, moltbot=replace(observed.moltbot, mode=OperatingMode.SUSPENDED))


@pytest.mark.parametrize(
    ("observed", "kind", "result"),
    [
        pytest.param(ASLEEP, "wake", ActionResult.RUNNING, id="wake of a sleeping one is to be done"),
        pytest.param(AWAKE, "wake", ActionResult.DONE, id="wake of an awake one is done"),
        pytest.param(suspended(ASLEEP), "wake", ActionResult.REFUSED, id="wake of a Suspended one is refused"),
        pytest.param(suspended(AWAKE), "wake", ActionResult.REFUSED, id="wake of one about to be Suspended is refused"),
        pytest.param(AWAKE, "sleep", ActionResult.RUNNING, id="sleep of an awake one is to be done"),
        pytest.param(ASLEEP, "sleep", ActionResult.DONE, id="sleep of a sleeping one is done"),
        pytest.param(AWAKE, "restart", ActionResult.RUNNING, id="restart of an awake one is to be done"),
        pytest.param(ASLEEP, "restart", ActionResult.DONE, id="restart of a sleeping one is done at once"),
        pytest.param(replace(AWAKE, pod=None), "restart", ActionResult.DONE, id="restart of one that is just starting is done"),
        pytest.param(AWAKE, "refresh", ActionResult.DONE, id="the Secrets are read before anything is decided"),
    ],
)
def test_one_request(observed: Observed, kind: str, result: ActionResult) -> None:
    decision = decide_actions(asking(observed, **{kind: text(ago(5))}), NOW)
    assert [record.result for record in decision.records] == [result]
    assert (decision.current is not None) == (result is ActionResult.RUNNING)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (text(MOLTBOT.created_at), "creation"),
        (text(ago(2 * 86400)), "creation"),
        (text(ago(-61)), "future"),
        ("now", "not a time"),
        ("2026-11-24T11:59:00", "not a time"),
        ("2026-11-24", "not a time"),
        ("", "not a time"),
        ("9" * 5000, "not a time"),
    ],
)
def test_a_request_that_cannot_count_is_recorded_as_ignored(value: str, words: str) -> None:
    decision = decide_actions(asking(AWAKE, sleep=value), NOW)
    (record,) = decision.records
    assert record.result is ActionResult.IGNORED
    assert words in record.message
    assert decision.current is None


def test_a_clock_that_is_a_minute_ahead_is_forgiven() -> None:
    assert results(asking(AWAKE, sleep=text(ago(-60)))) == {"sleep": ActionResult.RUNNING}


def test_of_several_not_done_the_newest_runs() -> None:
    decision = decide_actions(asking(AWAKE, sleep=text(ago(9)), restart=text(ago(3)), wake=text(ago(6))), NOW)
    assert {record.action: record.result for record in decision.records} == {
        ActionKind.WAKE: ActionResult.SUPERSEDED,
        ActionKind.SLEEP: ActionResult.SUPERSEDED,
        ActionKind.RESTART: ActionResult.RUNNING,
    }
    assert decision.current is not None
    assert decision.current.instance == POD.uid


def test_a_refresh_supersedes_nothing() -> None:
    assert results(asking(AWAKE, sleep=text(ago(9)), refresh=text(ago(3)))) == {
        "sleep": ActionResult.RUNNING,
        "refresh": ActionResult.DONE,
    }


def test_what_is_done_is_not_done_again_and_says_nothing_new() -> None:
    """A restart of the operator repeats nothing, and ten looks write nothing."""
    when = text(ago(50))
    observed = known(asking(AWAKE, sleep=when), ActionRecord(ActionKind.SLEEP, when, ActionResult.DONE, ago(40)))
    decision = decide_actions(observed, NOW)
    assert decision.records == observed.status.actions
    assert decision.current is None
    assert decision.news == ()


def test_a_restart_is_done_once_its_pod_is_another_one() -> None:
    when = text(ago(50))
    running = ActionRecord(ActionKind.RESTART, when, ActionResult.RUNNING, ago(40), "", "p-0")
    observed = known(asking(AWAKE, restart=when), running)
    assert results(observed) == {"restart": ActionResult.DONE}
    same = known(asking(AWAKE, restart=when), replace(running, instance="p-1"))
    decision = decide_actions(same, NOW)
    assert decision.current == replace(running, instance="p-1")
    assert decision.records == same.status.actions


def test_a_sleep_that_slept_and_was_woken_while_the_operator_was_down_is_not_repeated() -> None:
    when = text(ago(50))
    observed = known(asking(AWAKE, sleep=when), ActionRecord(ActionKind.SLEEP, when, ActionResult.RUNNING, ago(40), "", "p-0"))
    assert results(observed) == {"sleep": ActionResult.DONE}


def test_a_sleep_asked_before_a_pod_was_there_is_asked_of_the_first_one() -> None:
    when = text(ago(50))
    observed = known(asking(AWAKE, sleep=when), ActionRecord(ActionKind.SLEEP, when, ActionResult.RUNNING, ago(40), "", None))
    decision = decide_actions(observed, NOW)
    assert decision.current is not None
    assert decision.current.instance == POD.uid


def test_a_new_request_is_noticed_until_the_status_speaks_of_it() -> None:
    observed = asking(AWAKE, wake=text(ago(5)))
    assert has_new_request(observed, observed.status)
    settled = replace(observed.status, actions=decide_actions(observed, NOW).records)
    assert not has_new_request(observed, settled)
