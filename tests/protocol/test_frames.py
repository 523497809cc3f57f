"""Frames, errors and close codes of the wire (rule 13)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_protocol.errors import (
    ErrorCode,
    ErrorShape,
    FrameError,
    close_reason,
    forwardable_close_code,
    not_accepted,
    not_accepted_id,
)
from moltbot_protocol.frames import Cancel, Event, Request, Response, answer, parse_client_frame, parse_server_frame, refuse, serialise


def test_frames_read_what_they_write() -> None:
    request = Request("1", "chat.send", {"message": "grüß dich"})
    assert parse_client_frame(serialise(request)) == request
    assert parse_client_frame(serialise(Request("1", "health"))) == Request("1", "health")
    assert parse_client_frame('{"type":"cancel","id":"1"}') == Cancel("1")
    event = Event("chat", {"state": "delta"}, 7, {"presence": 1, "health": 2})
    assert parse_server_frame(serialise(event)) == event
    assert parse_server_frame(serialise(answer("1", {"ok": True}))) == Response("1", True, {"ok": True})
    refused = refuse("1", ErrorShape(ErrorCode.UNAVAILABLE, "later", {"a": 1}, retryable=True, retry_after_ms=500))
    assert parse_server_frame(serialise(refused)).error == {  # type: ignore[union-attr]
        "code": "UNAVAILABLE",
        "message": "later",
        "details": {"a": 1},
        "retryable": True,
        "retryAfterMs": 500,
    }


@pytest.mark.parametrize(
    ("text", "message", "request_id"),
    [
        ("nonsense", "not JSON", None),
        ("[" * 100_000, "not JSON", None),
        ("[]", "must be object", None),
        ("null", "must be object", None),
        ('{"type":"req","id":"7","method":"health","extra":1}', "unexpected property 'extra'", "7"),
        ('{"type":"req","id":"7"}', "must have required property 'method'", "7"),
        ('{"type":"req","id":"","method":"health"}', "at /id: must NOT have fewer than 1 characters", None),
        ('{"type":"req","id":7,"method":"health"}', "at /id: must be string", None),
        ('{"type":"res","id":"7","ok":true}', "must have required property 'method'", "7"),
        ('{"type":"event","event":"tick"}', "must have required property 'id'", None),
    ],
)
def test_what_is_no_request_is_told_with_its_id_when_it_has_one(text: str, message: str, request_id: str | None) -> None:
    with pytest.raises(FrameError) as error:
        parse_client_frame(text)
    assert message in error.value.message
    assert error.value.request_id == request_id
    assert refuse(error.value.request_id, error.value.shape()).id == (request_id or "invalid")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_a_frame_or_an_error(document: object) -> None:
    for parse in (parse_client_frame, parse_server_frame):
        try:
            parse(json.dumps(document))
        except FrameError:
            continue


def test_not_accepted_is_recognised_by_its_details_alone() -> None:
    """Rule 5b."""
    assert not_accepted_id(not_accepted("q1").to_wire()) == "q1"
    assert not_accepted("q1").to_wire()["retryable"] is True
    for other in (None, {}, {"code": "UNAVAILABLE", "message": "x"}, {"code": "INVALID_REQUEST", "details": {"notAccepted": "q1"}}):
        assert not_accepted_id(other) is None


def test_close_reasons_are_cut_in_bytes_and_never_inside_a_character() -> None:
    assert close_reason("short") == b"short"
    cut = close_reason("ü" * 100)
    assert len(cut) == 122
    assert cut.decode() == "ü" * 61


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (None, 1000),
        (1000, 1000),
        (1001, 1001),
        (1005, 1000),
        (1006, 1011),
        (1015, 1011),
        (1004, 1011),
        (1012, 1012),
        (4008, 4008),
        (99, 1011),
    ],
)
def test_codes_that_are_never_on_the_wire_are_replaced(code: int | None, sent: int) -> None:
    assert forwardable_close_code(code) == sent


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDE00", "\ud83d"])
def test_half_a_character_is_read_as_a_replacement(half: str) -> None:
    """A browser sends one where an emoji was cut in two; what is read can always be written again, as UTF-8."""
    text = f'{{"type":"req","id":"1{half}","method":"chat.send","params":{{"message":"a{half}b \\ud83d\\ude00 \\\\ud83d"}}}}'
    frame = parse_client_frame(text)
    assert isinstance(frame, Request)
    assert frame == Request("1\ufffd", "chat.send", {"message": "a\ufffdb \U0001f600 \\ud83d"})
    serialise(frame).encode()


def test_half_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    """It is valid JSON, and no UTF-8: sent as it is, it would end the connection."""
    text = serialise(Event("chat", {"deltaText": "a \ud800 b", "emoji": "\U0001f98a"}))
    assert text.encode()
    assert '"a ? b"' in text
    assert "\U0001f98a" in text
