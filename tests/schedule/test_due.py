"""When a job is due: tables of named days, and what holds for all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from moltbot_gateway.errors import BadSchedule
from moltbot_gateway.schedule.due import (
    At,
    ByCron,
    Every,
    Timing,
    check_timing,
    find_zone,
    next_due,
    read_time,
    timing_from_wire,
    timing_to_wire,
)
from moltbot_operator.timing import cron_problem


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def series(expression: str, zone: str, after: str, count: int) -> list[str]:
    """Due times as a clock in that zone shows them, with the offset."""
    moment = ms(after)
    shown = []
    for _ in range(count):
        following = next_due(ByCron(expression, zone), moment)
        assert following is not None
        moment = following
        shown.append(datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).strftime("%d %H:%M %z"))
    return shown


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 is followed by 03:00. What is skipped happens at the change.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["29 03:00 +0200", "30 03:00 +0200"]),
        # several skipped times are one
        ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["29 03:00 +0200", "30 02:00 +0200", "30 02:15 +0200"]),
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["29 03:00 +0200", "29 03:30 +0200", "30 02:30 +0200"]),
        # Berlin, 25 October 2026: 02:00 to 03:00 comes twice. Once, the first time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0 2 * * 0", "Europe/Berlin", "2026-10-24T12:00Z", ["25 02:00 +0200", "01 02:00 +0100"]),
        # a process that wakes up in the second hour 2 has missed nothing
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", ["26 02:30 +0100"]),
        ("*/20 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", ["25 02:00 +0200", "25 02:20 +0200", "25 02:40 +0200", "26 02:00 +0100"]),
        # every hour and every minute go by the clock: both hours are gone through, the skipped one is not
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:10Z", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-29T00:00Z", ["29 01:30 +0100", "29 03:30 +0200"]),
        ("* * * * *", "Europe/Berlin", "2026-10-25T00:58Z", ["25 02:59 +0200", "25 02:00 +0100", "25 02:01 +0100"]),
        ("* * * * *", "Europe/Berlin", "2026-03-29T00:58Z", ["29 01:59 +0100", "29 03:00 +0200", "29 03:01 +0200"]),
        # New York, 8 March and 1 November 2026
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00Z", ["08 03:00 -0400", "09 02:30 -0400"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00Z", ["01 01:30 -0400", "02 01:30 -0500"]),
        # Lord Howe moves by half an hour: 4 October 2026, 02:00 → 02:30; 5 April 2026, 02:00 → 01:30
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00Z", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("*/30 * * * *", "Australia/Lord_Howe", "2026-04-04T14:31Z", ["05 01:30 +1030", "05 02:00 +1030"]),
        # Cairo skips midnight (24 April 2026) and repeats the hour before it (29 October 2026 ends twice)
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00Z", ["24 01:00 +0300", "25 00:00 +0300"]),
        ("20 23 * * *", "Africa/Cairo", "2026-10-29T12:00Z", ["29 23:20 +0300", "30 23:20 +0200"]),
        ("20 * 29 10 *", "Africa/Cairo", "2026-10-29T19:30Z", ["29 23:20 +0300", "29 23:20 +0200", "29 00:20 +0200"]),
        # without daylight saving, and a zone with a quarter of an hour
        ("30 2 * * *", "Asia/Tokyo", "2026-03-28T00:00Z", ["29 02:30 +0900", "30 02:30 +0900"]),
        ("0 6 * * *", "Asia/Kathmandu", "2026-03-28T00:00Z", ["28 06:00 +0545", "29 06:00 +0545"]),
    ],
)
def test_days_on_which_the_clock_is_changed(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert series(expression, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 7 * * 1-5", ["24 07:00", "25 07:00", "26 07:00", "27 07:00", "30 07:00"]),
        ("0 7 * * MON,thursday", ["26 07:00", "30 07:00", "03 07:00"]),
        ("0 0 1,15 * *", ["01 00:00", "15 00:00", "01 00:00"]),
        ("0 0 13 * fri", ["27 00:00", "04 00:00", "11 00:00", "13 00:00"]),
        ("0 22-1 * * *", ["24 22:00", "24 23:00", "25 00:00", "25 01:00", "25 22:00"]),
        ("0 0 29 2 *", ["29 00:00", "29 00:00"]),
        ("0 0 * * 7", ["29 00:00", "06 00:00"]),
        ("0 0 * * 5-7", ["27 00:00", "28 00:00", "29 00:00", "04 00:00"]),
        ("0 0 31 * *", ["31 00:00", "31 00:00", "31 00:00"]),
        ("5/25 12 * * ?", ["24 12:05", "24 12:30", "24 12:55", "25 12:05"]),
        ("0 0 */10 * sat", ["28 00:00", "01 00:00", "05 00:00", "11 00:00"]),
        ("0 0 30 * 0-6", ["25 00:00", "26 00:00"]),
        ("0 0 30 * */1", ["30 00:00", "30 00:00"]),
        ("@weekly", ["29 00:00", "06 00:00"]),
        ("@Daily", ["25 00:00", "26 00:00"]),
    ],
)
def test_cron_expressions(expression: str, expected: list[str]) -> None:
    """After Tuesday, 24 November 2026, 01:00."""
    assert [shown.removesuffix(" +0000") for shown in series(expression, "UTC", "2026-11-24T01:00Z", len(expected))] == expected


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (ByCron("0 7 * *", "UTC"), "cron needs 5 fields (minute, hour, day of month, month, day of week), and '0 7 * *' has 4"),
        (ByCron("", "UTC"), "cron needs 5 fields"),
        (ByCron("0 0 7 * * *", "UTC"), "has 6"),
        (ByCron("60 7 * * *", "UTC"), "cron's minute is 0 to 59, not '60'"),
        (ByCron("0 7 0 * *", "UTC"), "cron's day of month is 1 to 31, not '0'"),
        (ByCron("0 7 * foo *", "UTC"), "cron's month is 1 to 12 or a name (jan, feb, mar …), not 'foo'"),
        (ByCron("0 7 * * 8", "UTC"), "cron's day of week is 0 to 7"),
        (ByCron("*/0 7 * * *", "UTC"), "the step after / is a whole number from 1 on"),
        (ByCron("1--2 7 * * *", "UTC"), "cannot be read"),
        (ByCron("² 7 * * *", "UTC"), "cron's minute is 0 to 59"),
        (ByCron("0 0 30 2 *", "UTC"), "no day ever fits"),
        (ByCron("0 7 * * *", "Europe/Berln"), "there is no time zone 'Europe/Berln'; did you mean Europe/Berlin?"),
        (ByCron("0 7 * * *", "new york"), "did you mean America/New_York?"),
        (ByCron("0 7 * * *", "../../etc/passwd"), "there is no time zone"),
        (ByCron("0 7 * * *", "Qqqqq"), "zones are named as Europe/Berlin"),
        (Every(59_999, 0), "at most once a minute"),
        (Every(10**18, 0), "more than nine years away"),
        (Every(60_000, 10**18), "more than nine years away"),
        (At(ms("2026-11-24T07:00Z")), "that time is past (2026-11-24 07:00 UTC)"),
        (At(10**16), "milliseconds since 1970"),
    ],
)
def test_what_cannot_be_is_refused_in_words(timing: Timing, words: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        check_timing(timing, ms("2026-11-24T08:00Z"))
    assert words in str(caught.value)


def test_at_is_due_once_and_every_is_due_by_its_anchor() -> None:
    assert next_due(At(5000), 4999) == 5000
    assert next_due(At(5000), 5000) is None
    assert [next_due(Every(60_000, 30_000), after) for after in (0, 29_999, 30_000, 89_999, 90_000)] == [
        30_000,
        30_000,
        90_000,
        90_000,
        150_000,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T08:00", "2026-11-24T07:00Z"),
        ("2026-07-24 08:00", "2026-07-24T06:00Z"),
        ("2026-11-24T08:00:30Z", "2026-11-24T08:00:30Z"),
        ("2026-11-24T08:00-05:00", "2026-11-24T13:00Z"),
    ],
)
def test_a_time_without_a_zone_is_the_assistants(text: str, expected: str) -> None:
    assert read_time(text, "Europe/Berlin") == ms(expected)


def test_no_time_is_said_so() -> None:
    with pytest.raises(BadSchedule, match="tomorrow"):
        read_time("tomorrow", "UTC")


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "America/Havana",
    ]
)
MOMENTS = st.integers(ms("2024-01-01T00:00Z") // 1000, ms("2030-01-01T00:00Z") // 1000)


def _fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.integers(2, high).map(lambda step: f"*/{step}")
    one = st.one_of(number.map(str), ranges, steps)
    return st.one_of(st.just("*"), one, st.lists(number.map(str), min_size=1, max_size=4).map(",".join))


EXPRESSIONS = st.tuples(_fields(0, 59), _fields(0, 23), _fields(1, 28), _fields(1, 12), _fields(0, 6)).map(" ".join)


@given(EXPRESSIONS, ZONES, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_the_next_due_time_is_later_and_nothing_lies_between(expression: str, zone: str, moment: int) -> None:
    """Whatever lies between now and the next due time gives the same due time: none is skipped, none comes twice."""
    timing, after = ByCron(expression, zone), moment * 1000
    following = next_due(timing, after)
    assert following is not None
    assert following > after
    assert next_due(timing, (after + following) // 2) == following
    assert next_due(timing, following - 1000) == following
    after_that = next_due(timing, following)
    assert after_that is not None
    assert after_that > following


@given(
    st.one_of(
        EXPRESSIONS,
        st.lists(st.text(st.sampled_from("0123456789*/-,monfrijanx?"), min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join),
    )
)
@settings(max_examples=300, deadline=None)
def test_what_the_operator_takes_the_gateway_takes(expression: str) -> None:
    """The operator cannot import the gateway's reading, and refuses what is wrong before it gets here."""
    if cron_problem(expression) is None:
        assert next_due(ByCron(expression, "UTC"), 0) is not None


@given(EXPRESSIONS, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_without_daylight_saving_it_agrees_with_croniter(expression: str, moment: int) -> None:
    minute, hour, day, month, weekday = expression.split()
    if day != "*":  # two restricted days: each reads that its own way
        weekday = "*"
    expression = f"{minute} {hour} {day} {month} {weekday}"
    expected = croniter(expression, datetime.fromtimestamp(moment, UTC)).get_next(float)
    assert next_due(ByCron(expression, "UTC"), moment * 1000) == int(expected) * 1000


@given(st.integers(0, 23), st.integers(0, 59), ZONES, st.dates(datetime(2024, 1, 1).date(), datetime(2029, 12, 30).date()))
@settings(max_examples=200, deadline=None)
def test_a_daily_job_is_due_once_on_each_day(hour: int, minute: int, zone: str, first: object) -> None:
    """Also where the clock is changed, and at the time that it shows unless that is skipped."""
    start = datetime.fromisoformat(f"{first}T00:00").replace(tzinfo=ZoneInfo(zone))
    moment = int(start.timestamp() * 1000) - 1000
    days = []
    for _ in range(3):
        following = next_due(ByCron(f"{minute} {hour} * * *", zone), moment)
        assert following is not None
        moment = following
        days.append(datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).date())
    assert days == [days[0], days[0] + timedelta(days=1), days[0] + timedelta(days=2)]


@pytest.mark.parametrize("timing", [At(1_800_000_000_000), Every(60_000, 5), ByCron("0 7 * * *", "Europe/Berlin")])
def test_a_timing_survives_the_wire(timing: Timing) -> None:
    assert timing_from_wire(timing_to_wire(timing), "UTC", 0) == timing


def test_zones_are_the_systems() -> None:
    assert find_zone("Europe/Berlin").key == "Europe/Berlin"
