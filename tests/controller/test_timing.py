"""Times that people write: what is wrong with them, in words that say what to write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moltbot_gateway.errors import BadSchedule
from moltbot_gateway.schedule.due import ByCron, check_timing
from moltbot_operator import timing
from moltbot_operator.timing import cron_problem, parse_moment, zone_problem

# 2027, in milliseconds
NOW_MS = 1_800_000_000_000
GOOD = [
    "* * * * *", "*/5 * * * *", "0 7 * * 1-5", "0 7 * * mon-fri", "0 7 * * MON,wed", "15,45 8-18/2 1 jan-mar 7", "0 0 29 2 *",
    "0 0 31 2 1", "  0   7 * *  * ", "10/20 * * * *", "0 0 31 1,2 *", "59 23 31 12 0",
    "@daily", "0 22-2 * * *", "0 0 * * fri-mon", "0 0 ? * monday", "*/1 * */1 * ?",
    "0 0 * nov-feb/2 *",
]  # fmt: skip
BAD = [
    ("0 7 * *", "which has five fields"),
    ("0 0 7 * * *", "which has five fields"),
    ("@sometimes", "which has five fields"),
    ("60 * * * *", "60 is no minute: they go from 0 to 59"),
    ("0 24 * * *", "24 is no hour"),
    ("0 0 0 * *", "0 is no day of the month"),
    ("0 0 * 13 *", "13 is no month"),
    ("0 0 * * 8", "8 is no weekday: they go from 0 to 7"),
    ("0 0 * * someday", "'someday' is no weekday"),
    ("0 0 * mon *", "'mon' is no month"),
    ("*/0 * * * *", "after / stands a whole number"),
    ("*/x * * * *", "after / stands a whole number"),
    ("0 7,, * * *", "'' is no hour"),
    ("-5 * * * *", "'' is no minute"),
    ("0 0 31 2,4 *", "never comes: no such month has a day 31"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_what_is_accepted_is_run_by_the_gateway(expression: str) -> None:
    assert cron_problem(expression) is None
    check_timing(ByCron(" ".join(expression.split()), "UTC"), NOW_MS)


@pytest.mark.parametrize(("expression", "words"), BAD, ids=[one[0] for one in BAD])
def test_what_the_gateway_could_not_run_is_told_with_the_field_that_is_wrong(expression: str, words: str) -> None:
    problem = cron_problem(expression)
    assert problem is not None
    assert words in problem
    with pytest.raises(BadSchedule):
        check_timing(ByCron(expression, "UTC"), NOW_MS)


def test_digits_are_those_of_a_keyboard() -> None:
    assert "is no minute" in (cron_problem("\u0663 * * * *") or "")


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_time_zone_that_is_known(name: str) -> None:
    assert zone_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("Qwxz", "write one such as Europe/Berlin."),
    ],
)
def test_one_that_is_not_known_is_told_with_the_nearest(name: str, words: str) -> None:
    assert words in (zone_problem(name) or "")


def test_a_machine_without_a_database_of_time_zones_refuses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_zones", frozenset)
    assert zone_problem("Europe/Berln") is None


def test_a_moment_without_an_offset_is_one_of_the_time_zone() -> None:
    assert parse_moment("2030-07-01T09:00", "Europe/Berlin") == datetime(2030, 7, 1, 7, tzinfo=UTC)
    assert parse_moment("2030-07-01T09:00:30Z", "Europe/Berlin") == datetime(2030, 7, 1, 9, 0, 30, tzinfo=UTC)
    assert parse_moment("2030-07-01T09:00:00-05:00", "Europe/Berlin") == datetime(2030, 7, 1, 14, tzinfo=UTC)
    with pytest.raises(ValueError, match="day"):
        parse_moment("2030-02-30T09:00", "UTC")
