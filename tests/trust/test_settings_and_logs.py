"""Settings from the environment; log lines; and that no secret gets into either."""

from __future__ import annotations

import io
import json
import logging
import pickle
from dataclasses import dataclass
from enum import StrEnum

import pytest

from moltbot_trust.errors import SettingsError
from moltbot_trust.logs import LogFormat, LogLevel, configure_logging, get_logger
from moltbot_trust.redaction import Secret, scrub, scrub_text
from moltbot_trust.settings import describe_settings, effective_settings, read_settings, setting


class Kind(StrEnum):
    ONE = "one"
    TWO = "two"


@dataclass(frozen=True)
class Example:
    name: str = setting(doc="A name.", pattern=r"[a-z]+")
    token: Secret = setting(doc="A token.")
    count: int = setting(3, doc="How many.", minimum=1, maximum=9)
    share: float = setting(0.5, doc="Which share.")
    on: bool = setting(False, doc="Whether.")
    kind: Kind = setting(Kind.ONE, doc="Which.")
    places: tuple[str, ...] = setting((), doc="Where.")
    extra: str | None = setting(None, doc="Perhaps.")
    other: Secret | None = setting(None, doc="Perhaps a secret.", env="MOLTBOT_NAMED_OTHERWISE")


GOOD = {"MOLTBOT_NAME": "ada", "MOLTBOT_TOKEN": "hush"}


def test_every_type_is_read() -> None:
    environ = GOOD | {
        "MOLTBOT_COUNT": " 4 ",
        "MOLTBOT_SHARE": "0.25",
        "MOLTBOT_ON": "True",
        "MOLTBOT_KIND": "two",
        "MOLTBOT_PLACES": "a, b,,c",
        "MOLTBOT_EXTRA": "x",
        "MOLTBOT_NAMED_OTHERWISE": "y",
        "PATH": "/bin",
    }
    read = read_settings(Example, environ)
    assert read == Example("ada", Secret("hush"), 4, 0.25, True, Kind.TWO, ("a", "b", "c"), "x", Secret("y"))


def test_an_empty_variable_is_an_absent_one() -> None:
    read = read_settings(Example, GOOD | {"MOLTBOT_COUNT": "", "MOLTBOT_EXTRA": " "})
    assert (read.count, read.extra) == (3, None)


def test_all_problems_are_told_at_once_and_no_secret_is_shown() -> None:
    environ = {
        "MOLTBOT_TOKEN": "",
        "MOLTBOT_NAME": "UPPER",
        "MOLTBOT_COUNT": "12",
        "MOLTBOT_SHARE": "nan",
        "MOLTBOT_ON": "perhaps",
        "MOLTBOT_KIND": "three",
        "MOLTBOT_CUONT": "1",
        "MOLTBOT_WHOLLY_ELSE": "1",
    }
    with pytest.raises(SettingsError) as error:
        read_settings(Example, environ)
    text = str(error.value)
    for part in (
        "MOLTBOT_TOKEN is missing",
        "MOLTBOT_NAME: must match",
        "MOLTBOT_COUNT: must be 1 to 9",
        "MOLTBOT_SHARE",
        "MOLTBOT_ON: must be true or false",
        "MOLTBOT_KIND: must be one of one, two",
        "did you mean MOLTBOT_COUNT?",
        "MOLTBOT_WHOLLY_ELSE is not a setting",
    ):
        assert part in text
    assert len(error.value.problems) == 8


def test_service_links_of_the_kubelet_are_nobodys_settings() -> None:
    links = {
        "MOLTBOT_ROUTER_SERVICE_HOST": "10.0.0.1",
        "MOLTBOT_ROUTER_SERVICE_PORT": "80",
        "MOLTBOT_ROUTER_SERVICE_PORT_HTTP": "80",
        "MOLTBOT_ROUTER_PORT": "tcp://10.0.0.1:80",
        "MOLTBOT_ROUTER_PORT_80_TCP": "tcp://10.0.0.1:80",
        "MOLTBOT_ROUTER_PORT_80_TCP_PROTO": "tcp",
    }
    assert read_settings(Example, GOOD | links).name == "ada"


def test_settings_describe_themselves() -> None:
    rows = {row.variable: row for row in describe_settings(Example)}
    assert rows["MOLTBOT_COUNT"].default == "3"
    assert rows["MOLTBOT_NAME"].default is None
    assert rows["MOLTBOT_KIND"].kind == "one | two"
    assert rows["MOLTBOT_NAMED_OTHERWISE"].kind == "secret"
    assert effective_settings(read_settings(Example, GOOD))["token"] == "[hidden]"


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hush")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", repr([secret]), "%s" % secret):  # noqa: UP031
        assert "hush" not in shown
    assert secret == Secret("hush")
    assert secret != "hush"
    assert secret.matches("hush")
    assert not secret.matches("hus")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "text",
    [
        "GET /?token=hush-hush-hush&x=1",
        "https://x/#key=hush-hush-hush",
        "Authorization: Bearer hush-hush-hush",
        '{"token": "hush-hush-hush"}',
        "password=hush-hush-hush",
        "key sk-hush-hush-hush-hush",
        "seal eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJwb2Q6In0.hush_hush_hush",
        "xoxb-hush-hush-hush",
    ],
)
def test_what_looks_like_a_credential_is_hidden_in_text(text: str) -> None:
    assert "hush" not in scrub_text(text)
    assert "hush" not in json.dumps(scrub({"a": [text]}))


def test_fields_with_secret_names_are_hidden_and_counts_are_not() -> None:
    shown = scrub({"token": "x1", "gateway_token": "x2", "apiKey": "x3", "tokens": 5, "input_tokens": 7, "key_id": "1", "cookie": ""})
    assert shown == {
        "token": "[hidden]",
        "gateway_token": "[hidden]",
        "apiKey": "[hidden]",
        "tokens": 5,
        "input_tokens": 7,
        "key_id": "1",
        "cookie": "",
    }


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_lines_are_json_with_a_fixed_event_and_fields(stream: io.StringIO) -> None:
    configure_logging(LogFormat.JSON, LogLevel.DEBUG, stream)
    log = get_logger("moltbot_test").bind(namespace="default")
    log.info("wake written", moltbot="ada", event="mine", error=ValueError("token=hush-hush"))
    logging.getLogger("elsewhere").warning("%s said %s", "it", "Bearer hush-hush-hush")
    try:
        raise RuntimeError("password=hush-hush")
    except RuntimeError:
        log.exception("broke")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (lines[0]["event"], lines[0]["event_"], lines[0]["namespace"], lines[0]["moltbot"]) == ("wake written", "mine", "default", "ada")
    assert lines[0]["time"].endswith("Z")
    assert lines[1]["event"].startswith("it said")
    assert "RuntimeError" in lines[2]["trace"]
    assert "hush" not in stream.getvalue()


def test_text_lines_cannot_be_forged(stream: io.StringIO) -> None:
    configure_logging(LogFormat.TEXT, LogLevel.INFO, stream)
    get_logger("moltbot_test").info("device asks", name="evil\n12:00:00 router all is well\x1b[2J")
    get_logger("moltbot_test").debug("not shown")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
