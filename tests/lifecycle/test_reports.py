"""Rule 12: what a pod says is hostile input. A bad value is named and dropped, never an exception, and never sleep's or loss's helper."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_operator.lifecycle.report_parsing import parse_due, parse_gateway_report, parse_snapshot, parse_state_report
from moltbot_operator.lifecycle.reports import GatewayState, NotAReport, ReportedCondition, StatePhase
from tests.lifecycle.examples import NOW, ago, text

WHOLE: dict[str, Any] = {
    "podUid": "p-1",
    "state": "open",
    "progress": 17,
    "busy": ["turn"],
    "busySince": "2026-11-24T11:00:00Z",
    "openedAt": "2026-11-24T10:00:00.25Z",
    "lastActivity": "2026-11-24T13:00:00+02:00",
    "firstActivity": "page",
    "nextDue": "2026-12-24T08:00:00Z",
    "lineage": "l-1",
    "sequence": 3,
    "changed": False,
    "quiesceId": None,
    "conditions": [{"type": "ModelReady", "status": "False", "reason": "NoModel", "message": "no key"}],
    "timings": {"listeningMs": 310, "restoredMs": 600, "openMs": 640.7},
    "tokens": 12,
    "somethingNew": {"is": "ignored"},
}
SNAPSHOT: dict[str, Any] = {
    "id": "s-1",
    "time": "2026-11-24T11:00:00Z",
    "bytes": 5,
    "files": 2,
    "lineage": "l-1",
    "sequence": 3,
    "verified": True,
}


def test_a_whole_report_is_read_whole() -> None:
    report = parse_gateway_report(WHOLE, pod_uid="p-1", now=NOW)
    assert report.problems == ()
    assert (report.state, report.progress, report.busy, report.changed, report.tokens) == (GatewayState.OPEN, 17, ("turn",), False, 12)
    assert report.last_activity == ago(3600)
    assert (report.listening_ms, report.restored_ms, report.open_ms) == (310, 600, 640)
    assert report.conditions == (ReportedCondition("ModelReady", False, "NoModel", "no key"),)
    assert report.next_due is not None


def test_the_least_report_is_one_that_keeps_awake_and_assumes_changes() -> None:
    report = parse_gateway_report({"podUid": "p-1", "state": "restoring"}, pod_uid="p-1", now=NOW)
    assert report.changed
    assert not report.opened
    assert report.problems == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("progress", -1),
        ("progress", True),
        ("progress", float("nan")),
        ("progress", 10**40),
        ("busy", "turn"),
        ("busy", [None]),
        ("busy", ["x"] * 1000),
        ("busySince", "yesterday"),
        ("firstActivity", "magic"),
        ("nextDue", "2126-11-24T08:00:00Z"),
        ("nextDue", 5),
        ("lineage", "../../etc"),
        ("lineage", "x" * 1000),
        ("sequence", "3"),
        ("changed", "no"),
        ("conditions", {"type": "ModelReady"}),
        ("conditions", [{"type": "ModelReady", "status": True, "reason": "NoModel"}]),
        ("timings", [1]),
        ("timings", {"openMs": -3}),
        ("tokens", []),
    ],
)
def test_a_bad_value_is_dropped_and_named(name: str, value: object) -> None:
    report = parse_gateway_report({**WHOLE, name: value}, pod_uid="p-1", now=NOW)
    assert report.state is GatewayState.OPEN
    assert any(name.split(".", maxsplit=1)[0] in problem or "openMs" in problem for problem in report.problems)


@pytest.mark.parametrize("name", ["openedAt", "lastActivity"])
@pytest.mark.parametrize("value", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "soon", 12, text(ago(-61)), {}])
def test_an_activity_that_cannot_be_read_counts_as_one_just_now(name: str, value: object) -> None:
    """It falls to the side that keeps the assistant awake."""
    report = parse_gateway_report({**WHOLE, name: value}, pod_uid="p-1", now=NOW)
    assert NOW in (report.opened_at, report.last_activity)
    assert report.problems


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "open",
        3,
        {},
        {"podUid": "p-1"},
        {**WHOLE, "state": "fine"},
        {**WHOLE, "state": ["open"]},
        {**WHOLE, "podUid": "p-2"},
        {**WHOLE, "podUid": 1},
    ],
)
def test_what_is_no_report_of_this_pod_counts_as_no_answer(document: object) -> None:
    """Rule 3: an answer of another pod is none."""
    with pytest.raises(NotAReport):
        parse_gateway_report(document, pod_uid="p-1", now=NOW)
    with pytest.raises(NotAReport):
        parse_state_report(document, pod_uid="p-1", now=NOW)


def test_texts_are_bounded_and_cannot_write_on_terminals() -> None:
    document = {**WHOLE, "busy": ["\x1b[2J\nturn"], "conditions": [{**WHOLE["conditions"][0], "message": "x\r\n" * 5000}]}
    report = parse_gateway_report(document, pod_uid="p-1", now=NOW)
    assert "\x1b" not in report.busy[0]
    assert "\n" not in report.conditions[0].message
    assert len(report.conditions[0].message) <= 1024


def test_the_state_container_s_report() -> None:
    document = {
        "podUid": "p-1",
        "state": "waiting",
        "choice": {"kind": "wait", "reason": "BucketMissing", "message": "make it"},
        "lastSnapshot": SNAPSHOT,
        "lastEqual": text(ago(10)),
    }
    report = parse_state_report(document, pod_uid="p-1", now=NOW)
    assert report.state is StatePhase.WAITING
    assert report.choice is not None
    assert report.choice.kind == "wait"
    assert report.last_snapshot is not None
    assert report.last_snapshot.verified
    assert report.problems == ()
    half = parse_state_report({**document, "lastSnapshot": {"id": "s-1"}, "choice": {"kind": "guess"}}, pod_uid="p-1", now=NOW)
    assert half.last_snapshot is None
    assert half.choice is None
    assert len(half.problems) >= 2


def test_a_snapshot_that_does_not_say_it_is_verified_is_not() -> None:
    values: tuple[object, ...] = (None, "true", 1, [True])
    for value in values:
        snapshot = parse_snapshot({**SNAPSHOT, "verified": value}, now=NOW)
        assert snapshot is not None
        assert not snapshot.verified


def test_a_due_time_that_is_none_of_this_century_is_none() -> None:
    assert parse_due("2026-11-25T00:00:00Z", now=NOW) is not None
    values: tuple[object, ...] = (None, "9999-01-01T00:00:00Z", 7, "x", {})
    for value in values:
        assert parse_due(value, now=NOW) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=40),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.sampled_from([*WHOLE, "id", "kind", "time", "x"]), children, max_size=6)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "choice", "lastSnapshot", "lastEqual"]), JSON, max_size=12))
def test_no_json_at_all_makes_more_than_a_report_or_no_report(values: dict[str, object]) -> None:
    document = {"state": "open", **values, "podUid": "p-1"}
    for parse in (parse_gateway_report, parse_state_report):
        try:
            report = parse(document, pod_uid="p-1", now=NOW)
        except NotAReport:
            continue
        assert len(report.problems) <= 8
        assert report.progress >= 0
