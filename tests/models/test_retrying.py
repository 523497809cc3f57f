"""When a failed request is sent again, and what a response asks to be left alone for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moltbot_gateway.models.failure import ErrorKind, ModelFailure, Reason
from moltbot_gateway.models.provider_failures import wait_of
from moltbot_gateway.models.retrying import RetryPolicy

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC).timestamp()


def failure(wait: float | None = None, *, again: bool = True, kind: ErrorKind = ErrorKind.RATE_LIMIT) -> ModelFailure:
    return ModelFailure(kind, "failed", reason=Reason.OVERLOADED, again=again, wait=wait)


# failure, tries so far, least and most seconds; None: not again
PAUSES: dict[str, tuple[ModelFailure, int, tuple[float, float] | None]] = {
    "first": (failure(), 1, (0.375, 0.5)),
    "second": (failure(), 2, (0.75, 1.0)),
    "third": (failure(), 3, (1.5, 2.0)),
    "no fourth": (failure(), 4, None),
    "as asked": (failure(7.0), 1, (7.0, 7.5)),
    "the longest that is waited for": (failure(60.0), 1, (60.0, 60.5)),
    "longer than anybody waits": (failure(61.0), 1, None),
    "at once": (failure(0.0), 1, (0.0, 0.5)),
    "not worth it": (failure(again=False), 1, None),
    "a timeout once": (failure(kind=ErrorKind.TIMEOUT), 1, (0.375, 0.5)),
    "a timeout not twice": (failure(kind=ErrorKind.TIMEOUT), 2, None),
}


@pytest.mark.parametrize("case", PAUSES)
def test_pauses_grow_are_jittered_and_end(case: str) -> None:
    failed, tries, expected = PAUSES[case]
    found = [RetryPolicy().pause(failed, tries, jitter) for jitter in (0.0, 1.0)]
    assert (None if found[0] is None else tuple(found)) == expected


HEADERS: dict[str, tuple[dict[str, str], float | None]] = {
    "none": ({}, None),
    "seconds": ({"retry-after": "12"}, 12.0),
    "milliseconds": ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
    "a fraction": ({"retry-after": "0.5"}, 0.5),
    "a date": ({"retry-after": "Tue, 24 Nov 2026 08:01:30 GMT"}, 90.0),
    "a date that is over": ({"retry-after": "Tue, 24 Nov 2026 07:00:00 GMT"}, 0.0),
    "nonsense": ({"retry-after": "soon"}, None),
    "what is used up": (
        {
            "x-ratelimit-reset-requests": "2h",
            "x-ratelimit-remaining-requests": "3",
            "x-ratelimit-reset-tokens": "1m2.5s",
            "x-ratelimit-remaining-tokens": "0",
        },
        62.5,
    ),
    "the later of both": ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
    "nothing is used up": ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "5"}, None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_what_a_response_asks_to_be_left_alone_for(case: str) -> None:
    headers, seconds = HEADERS[case]
    assert wait_of(headers, NOW) == seconds
