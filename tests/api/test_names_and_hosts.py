"""Names and hosts (api.md, Names and hosts)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_api.durations import parse_duration, parse_interval
from moltbot_api.hosts import default_host, is_loopback_host, normalise_host, parse_default_host
from moltbot_api.names import Children, is_moltbot_name

NAMES = st.from_regex(r"[a-z]([a-z0-9]|-[a-z0-9]){0,30}", fullmatch=True).filter(is_moltbot_name)
NAMESPACES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("name", ["ada", "a", "a1", "a-b-c", "a" * 40])
def test_good_names_are_names(name: str) -> None:
    assert is_moltbot_name(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a" * 41])
def test_bad_names_are_refused(name: str) -> None:
    assert not is_moltbot_name(name)


@given(NAMES, NAMESPACES)
def test_a_default_host_leads_back_to_its_moltbot(name: str, namespace: str) -> None:
    host = default_host(name, namespace, "example.org")
    assert len(host.partition(".")[0]) <= 63
    parsed = parse_default_host(host, "example.org")
    assert parsed is not None
    assert parsed.names(name, namespace)


@given(NAMES, NAMESPACES, NAMES, NAMESPACES)
def test_a_default_host_leads_to_no_other_moltbot(name: str, namespace: str, other: str, elsewhere: str) -> None:
    parsed = parse_default_host(default_host(name, namespace, "localhost"), "localhost")
    assert parsed is not None
    if (name, namespace) != (other, elsewhere):
        assert not parsed.names(other, elsewhere)


@pytest.mark.parametrize(
    "host", ["localhost", "ada.localhost", "ada--.localhost", "--x.localhost", "ada--x.example.org", "a.ada--x.localhost", "1--x.localhost"]
)
def test_other_hosts_are_no_default_hosts(host: str) -> None:
    assert parse_default_host(host, "localhost") is None


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("Ada--Default.localhost:8080", "ada--default.localhost"),
        ("[::1]:8080", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("x.example.", "x.example"),
        ("", ""),
    ],
)
def test_hosts_are_compared_in_one_form(header: str, host: str) -> None:
    assert normalise_host(header) == host


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.3.2.1", True), ("::1", True), ("10.0.0.1", False), ("x", False)])
def test_loopback_is_this_machine_alone(host: str, *, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


@given(NAMES, NAMES)
def test_children_of_two_moltbots_never_share_a_name(one: str, other: str) -> None:
    if one == other:
        return
    a, b = Children(one), Children(other)
    secrets_a = {a.gateway_token, a.keys, a.certificate, a.model, a.bucket}
    secrets_b = {b.gateway_token, b.keys, b.certificate, b.model, b.bucket}
    assert not secrets_a & secrets_b
    assert a.gateway != b.gateway
    assert a.backup != b.backup
    # NetworkPolicies carry both
    assert {a.gateway, a.backup}.isdisjoint({b.gateway, b.backup})


@pytest.mark.parametrize(("text", "seconds"), [("never", None), ("90s", 90), ("10m", 600), ("1h", 3600), ("99999s", 99999)])
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "10", "1d", "-1m", "1.5h", "Never", "100000s", " 1m"])
def test_bad_durations_say_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="such as 10m"):
        parse_duration(text)


def test_an_interval_has_days_and_is_never_never() -> None:
    assert [parse_interval(text) for text in ("90s", "30m", "6h", "7d")] == [90, 1800, 21600, 604800]
    for text in ("never", "0m", "1w", "m", "1.5h", "100000s"):
        with pytest.raises(ValueError, match="such as 30m"):
            parse_interval(text)
