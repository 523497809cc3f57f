"""Control calls over real pinned TLS: who may call, what is told, and what a hostile answer does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from moltbot_trust.assertions import Assertion
from moltbot_trust.clock import SystemClock, format_time, parse_time
from moltbot_trust.control import BadAnswer, Call, ControlClient, Refusal, Refused, Unreachable, control_application
from moltbot_trust.errors import CertificateError
from moltbot_trust.keys import MasterKeys, Purpose
from moltbot_trust.seals import pod_audience
from moltbot_trust.tls import fingerprint_of, parse_fingerprint, pod_url, server_context
from tests.fakes.certificate import make_certificate

RING = MasterKeys.generate().key_ring(Purpose, "uid")
AUDIENCES = {Purpose.OPERATOR_GATEWAY: pod_audience("p1"), Purpose.ROUTER_GATEWAY: pod_audience("p1")}


async def _echo(body: Any, assertion: Assertion) -> dict[str, object]:
    return {"body": dict(body), "purpose": assertion.purpose.value}


async def _busy(body: Any, assertion: Assertion) -> dict[str, object]:
    raise Refusal(409, "busy", "a turn runs", busy=["turn"])


async def _broken(body: Any, assertion: Assertion) -> dict[str, object]:
    raise RuntimeError("inner detail")


@asynccontextmanager
async def serving(application: web.Application, certificate_name: str = "ada") -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(*make_certificate(certificate_name))).start()
    try:
        yield pod_url("127.0.0.1", int(runner.addresses[0][1]))
    finally:
        await runner.cleanup()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    calls = [
        Call("GET", "/report", frozenset({Purpose.OPERATOR_GATEWAY, Purpose.ROUTER_GATEWAY}), _echo),
        Call("POST", "/quiesce", frozenset({Purpose.OPERATOR_GATEWAY}), _echo),
        Call("POST", "/busy", frozenset({Purpose.OPERATOR_GATEWAY}), _busy),
        Call("POST", "/broken", frozenset({Purpose.OPERATOR_GATEWAY}), _broken),
    ]
    async with serving(control_application(calls, RING, AUDIENCES)) as made:
        yield made


def client(url: str, purpose: Purpose = Purpose.OPERATOR_GATEWAY, pod: str = "p1", name: str = "ada", **options: Any) -> ControlClient:
    return ControlClient(url, fingerprint_of(make_certificate(name)[0]), RING, purpose, pod_audience(pod), **options)


async def test_a_call_is_answered_to_who_may_make_it(url: str) -> None:
    async with client(url) as operator, client(url, Purpose.ROUTER_GATEWAY) as router:
        assert await operator.post("/quiesce", {"id": "1", "ttlSeconds": 5}) == {
            "body": {"id": "1", "ttlSeconds": 5},
            "purpose": "operator-gateway",
        }
        assert (await router.get("/report"))["purpose"] == "router-gateway"
        with pytest.raises(Refused) as refused:
            await router.post("/quiesce", {"id": "1"})
        assert refused.value.status == 401


async def test_unknown_paths_and_missing_assertions_look_alike(url: str) -> None:
    async with client(url) as operator:
        for method, path in (("GET", "/nonsense"), ("GET", "/quiesce"), ("POST", "/report")):
            with pytest.raises(Refused) as refused:
                await operator.call(method, path)
            assert (refused.value.status, refused.value.error) == (401, "unauthorized")
    async with aiohttp.ClientSession() as session, session.get(url + "/report", ssl=False) as answer:
        assert answer.status == 401


async def test_another_pods_assertion_is_refused(url: str) -> None:
    async with client(url, pod="p2") as stranger:
        with pytest.raises(Refused):
            await stranger.get("/report")


async def test_a_refusal_carries_its_word_and_more(url: str) -> None:
    async with client(url) as operator:
        with pytest.raises(Refused) as refused:
            await operator.post("/busy", {})
        assert (refused.value.status, refused.value.error, refused.value.answer["busy"]) == (409, "busy", ["turn"])
        with pytest.raises(Refused) as broken:
            await operator.post("/broken", {})
        assert broken.value.status == 500
        assert "inner detail" not in str(broken.value)


async def test_another_certificate_is_not_spoken_to(url: str) -> None:
    async with client(url, name="eve") as operator:
        with pytest.raises(Unreachable, match="another certificate"):
            await operator.get("/report")


async def test_nobody_there_and_no_answer_are_unreachable(url: str) -> None:
    async with client("https://127.0.0.1:1") as operator:
        with pytest.raises(Unreachable):
            await operator.get("/report")

    async def silent(body: Any, assertion: Assertion) -> dict[str, object]:
        await asyncio.sleep(5)
        return {}

    application = control_application([Call("GET", "/report", frozenset({Purpose.OPERATOR_GATEWAY}), silent)], RING, AUDIENCES)
    async with serving(application) as slow, client(slow) as operator:
        with pytest.raises(Unreachable, match="in time"):
            await operator.get("/report", timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("name", "body"), [("not JSON", b"<html>"), ("a list", b"[]"), ("huge", b'{"a":"' + b"x" * 300_000 + b'"}'), ("empty", b"")]
)
async def test_a_hostile_answer_is_an_error_of_that_one_call(name: str, body: bytes) -> None:
    """Rule 12."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/report", answer)
    async with serving(application) as url, client(url) as operator:
        with pytest.raises(BadAnswer):
            await operator.get("/report")


async def test_a_redirect_is_not_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": "moved", "message": ""}, status=302, headers={"Location": "https://127.0.0.1:1/"})

    application = web.Application()
    application.router.add_get("/report", answer)
    async with serving(application) as url, client(url) as operator:
        with pytest.raises(Refused) as refused:
            await operator.get("/report")
        assert refused.value.status == 302


async def test_bodies_are_bounded(url: str) -> None:
    async with client(url) as operator:
        with pytest.raises(Refused) as refused:
            await operator.post("/quiesce", {"id": "x" * 100_000})
        assert refused.value.status == 413


async def test_connections_are_kept_between_calls(url: str) -> None:
    async with client(url) as operator:
        await operator.get("/report")
        assert operator.session is not None
        connector = operator.session.connector
        assert connector is not None
        before = sum(len(connections) for connections in connector._conns.values())
        await operator.get("/report")
        assert (before, sum(len(connections) for connections in connector._conns.values())) == (1, 1)


def test_a_plain_url_is_refused_because_nothing_would_be_pinned() -> None:
    with pytest.raises(ValueError, match="https"):
        client("http://127.0.0.1:1")


def test_certificates_and_fingerprints() -> None:
    certificate, key = make_certificate("ada")
    fingerprint = fingerprint_of(certificate)
    assert parse_fingerprint(":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()).hex() == fingerprint
    for bad in ("", "abc", "g" * 64, fingerprint + "00"):
        with pytest.raises(CertificateError):
            parse_fingerprint(bad)
    with pytest.raises(CertificateError):
        fingerprint_of("nonsense")
    with pytest.raises(CertificateError):
        server_context(certificate, make_certificate("eve")[1])
    with pytest.raises(CertificateError):
        server_context("nonsense", key)
    assert pod_url("fd00::7", 18789, "/x") == "https://[fd00::7]:18789/x"


def test_the_certificate_loads_where_there_is_no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moltbot_trust.tls.sys.platform", "darwin")
    assert server_context(*make_certificate("ada")).num_tickets == 0


def test_times_are_rfc_3339_in_utc() -> None:
    moment = parse_time("2026-11-24T08:00:00.123456789Z")
    assert format_time(moment) == "2026-11-24T08:00:00Z"
    assert parse_time("2026-11-24T09:00:00+01:00") == parse_time("2026-11-24T08:00:00Z")
    for bad in ("2026-11-24T08:00:00", "yesterday"):
        with pytest.raises(ValueError):
            parse_time(bad)
    assert abs(SystemClock().now().timestamp() - SystemClock().epoch()) < 5
