"""Rules 3, 5 and 6 through the gateway's own ports: readiness, seals, the handshake, the activity clock, and ending."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from moltbot_gateway.edge.server import NOT_ACCEPTED_HEADER
from moltbot_trust.clock import format_time
from moltbot_trust.control import Refused
from moltbot_trust.keys import GATEWAY_PURPOSES, MasterKeys, Purpose
from moltbot_trust.seals import HEADER, make_seal
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import ADMIN, MAIN, CallFailed, SealedClient, text_of
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import UID, Live, Pod, control, start, until_idle


async def quiesce(live: Live, quiesce_id: str = "q1", ttl: float = 30) -> dict[str, object]:
    return await control(live, "POST", "/quiesce", id=quiesce_id, ttlSeconds=ttl)


async def get(live: Live, path: str, *, sealed: bool = True, method: str = "GET") -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession() as session:
        headers = live.address.seal() if sealed else {}
        async with session.request(method, live.address.url + path, ssl=live.address.pin(), headers=headers) as response:
            return response.status, dict(response.headers)


# who may come in


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/", 401), ("/anything", 401), ("/healthz/../x", 401)])
async def test_only_probes_need_no_seal(live: Live, path: str, status: int) -> None:
    assert (await get(live, path, sealed=False))[0] == status


async def test_a_seal_for_another_pod_or_by_another_key_opens_nothing(live: Live, clock: FakeClock) -> None:
    """Rule 3: the pod checks that it is the one that is meant."""
    other_pod = make_seal(live.address.ring, ADMIN, pod_uid="pod-2", now=clock.epoch())
    other_ring = MasterKeys.generate().key_ring(GATEWAY_PURPOSES, UID)
    other_key = make_seal(other_ring, ADMIN, pod_uid="pod-1", now=clock.epoch())
    stale = make_seal(live.address.ring, ADMIN, pod_uid="pod-1", now=clock.epoch() - 400)
    async with aiohttp.ClientSession() as session:
        for seal in (other_pod, other_key, stale, "", "x.y.z"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(live.address.url, ssl=live.address.pin(), headers={HEADER: seal})
            assert caught.value.status == 401


async def test_what_a_pod_answers_is_marked_as_data(live: Live) -> None:
    """Rule 12: nothing an assistant says runs in the page's origin."""
    status, headers = await get(live, "/nothing")
    assert status == 404
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in headers


async def test_control_answers_only_who_may_call(live: Live) -> None:
    for purpose, method, path in (
        (Purpose.ROUTER_GATEWAY, "GET", "/report"),
        (Purpose.ROUTER_GATEWAY, "POST", "/commit"),
        (Purpose.OPERATOR_GATEWAY, "POST", "/stage"),
        (Purpose.OPERATOR_GATEWAY, "POST", "/touch"),
        (Purpose.STATE_GATEWAY, "POST", "/quiesce"),
    ):
        with pytest.raises(Refused) as caught:
            await control(live, method, path, purpose, id="q")
        assert caught.value.status == 401


async def test_nothing_is_ready_before_the_state_is_open(tmp_path: Path) -> None:
    pod = Pod(tmp_path, environ={"MOLTBOT_STATE_URL": "https://127.0.0.1:1"})
    async with start(pod, wait=False) as live:
        assert (await get(live, "/healthz", sealed=False))[0] == 200
        assert (await get(live, "/readyz", sealed=False))[0] == 503
        assert (await control(live, "GET", "/report"))["state"] == "restoring"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(live.address.url, ssl=live.address.pin(), headers=live.address.seal())
            assert caught.value.status == 503
        with pytest.raises(Refused) as refused:
            await quiesce(live)
        assert (refused.value.error, refused.value.answer["busy"]) == ("busy", ["restoring"])


# the handshake


async def test_a_quiesced_gateway_takes_no_new_work_and_answers_reads(live: Live, client: SealedClient) -> None:
    """Rule 5b."""
    assert await quiesce(live) == {"state": "quiesced", "nextDue": None}
    with pytest.raises(CallFailed) as caught:
        await client.send("hello")
    assert (caught.value.error["code"], caught.value.error["details"]) == ("UNAVAILABLE", {"notAccepted": "q1"})
    assert caught.value.error["retryable"] is True
    status, headers = await get(live, "/v1/anything", method="POST")
    assert (status, headers[NOT_ACCEPTED_HEADER]) == (503, "q1")
    assert (await client.call("health"))["ok"] is True
    assert await client.history() == []
    async with SealedClient.connect(live.address) as second:
        assert (await second.call("sessions.list"))["count"] == 0
    assert (await control(live, "GET", "/report"))["state"] == "quiesced"


async def test_new_work_is_refused_before_its_body_was_sent(live: Live) -> None:
    """Rule 5b: with `Expect: 100-continue` the answer comes instead of the 100."""
    await quiesce(live)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(live.address.url.rpartition(":")[2]), ssl=_any_certificate())
    seal = live.address.seal()[HEADER]
    head = f"POST /v1/x HTTP/1.1\r\nHost: x\r\n{HEADER}: {seal}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Moltbot-Not-Accepted: q1" in answer
    writer.close()


async def test_a_refused_message_is_accepted_after_the_resume(live: Live, client: SealedClient, model: ScriptedModel) -> None:
    await quiesce(live)
    with pytest.raises(CallFailed):
        await client.send("hello", key="kept")
    assert (await control(live, "POST", "/resume", Purpose.ROUTER_GATEWAY, id="q1"))["state"] == "open"
    model.answer("hi")
    assert text_of(await client.wait_end(await client.send("hello", key="kept"))) == "hi"
    with pytest.raises(Refused) as caught:
        await control(live, "POST", "/commit", id="q1")
    assert (caught.value.status, caught.value.error) == (409, "resumed")


async def test_a_running_turn_is_busy_and_keeps_it_awake(live: Live, client: SealedClient, model: ScriptedModel, clock: FakeClock) -> None:
    began = clock.now()
    run = await client.send("hello")
    await model.asked.wait()
    with pytest.raises(Refused) as caught:
        await quiesce(live)
    assert (caught.value.error, caught.value.answer["busy"]) == ("busy", ["turn"])
    clock.set(3600)
    report = await control(live, "GET", "/report")
    assert (report["busy"], report["busySince"]) == (["turn"], format_time(began))
    assert report["lastActivity"] == format_time(clock.now())
    model.answer("hi")
    await client.wait_end(run)
    await until_idle(live)
    assert (await quiesce(live))["state"] == "quiesced"


async def test_the_ttl_resumes_by_itself(live: Live, client: SealedClient, clock: FakeClock, model: ScriptedModel) -> None:
    await quiesce(live, ttl=20)
    clock.set(20)
    model.answer("hi")
    assert await client.say("hello") == "hi"


async def test_a_navigation_resumes(live: Live, clock: FakeClock) -> None:
    """Rule 6: `touch` is work; a person is there."""
    await quiesce(live)
    clock.set(5)
    assert (await control(live, "POST", "/touch", Purpose.ROUTER_GATEWAY, kind="page"))["state"] == "open"
    report = await control(live, "GET", "/report")
    assert (report["lastActivity"], report["firstActivity"]) == (format_time(clock.now()), "page")


async def test_after_the_commit_nothing_is_served_and_it_ends_by_itself(live: Live, client: SealedClient, clock: FakeClock) -> None:
    """Rule 5d."""
    await quiesce(live)
    assert (await control(live, "POST", "/commit", id="q1")) == {"state": "committed"}
    assert (await control(live, "POST", "/commit", id="q1")) == {"state": "committed"}
    assert (await control(live, "POST", "/quiesce", id="q1", ttlSeconds=5))["state"] == "committed"
    await asyncio.wait_for(client.lost.wait(), 5)
    assert client.close_code == 1012
    assert (await get(live, "/readyz", sealed=False))[0] == 503
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(live.address.url, ssl=live.address.pin(), headers=live.address.seal())
        assert caught.value.status == 503
    with pytest.raises(Refused) as refused:
        await control(live, "POST", "/resume", Purpose.ROUTER_GATEWAY)
    assert refused.value.error == "committed"
    await clock.advance(14.9)
    assert not live.running.gateway.done.is_set()
    await clock.advance(0.2)
    assert live.running.gateway.done.is_set()


@pytest.mark.parametrize(
    "body", [{}, {"id": "q"}, {"id": "q", "ttlSeconds": 0}, {"id": "../q", "ttlSeconds": 5}, {"id": 5, "ttlSeconds": 5}]
)
async def test_a_malformed_quiesce_changes_nothing(live: Live, body: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        await control(live, "POST", "/quiesce", Purpose.OPERATOR_GATEWAY, **body)
    assert caught.value.status == 400
    assert (await control(live, "GET", "/report"))["state"] == "open"


# activity

READS = [
    ("health", {}),
    ("status", {}),
    ("chat.history", {"sessionKey": MAIN}),
    ("chat.startup", {"sessionKey": MAIN}),
    ("chat.metadata", {}),
    ("sessions.list", {}),
    ("sessions.describe", {"key": MAIN}),
    ("sessions.subscribe", {}),
    ("sessions.messages.subscribe", {"key": MAIN}),
    ("sessions.branches.list", {"sessionKey": MAIN}),
    ("models.list", {}),
    ("models.authStatus", {}),
    ("agents.list", {}),
    ("agent.identity.get", {}),
    ("commands.list", {}),
    ("tasks.list", {}),
    ("progressCard.get", {}),
    ("exec.approval.list", {}),
    ("question.list", {}),
]


async def test_what_an_open_tab_asks_is_no_activity(live: Live, client: SealedClient) -> None:
    """Rule 6: so an open tab never keeps it awake."""
    for method, params in READS:
        assert await client.call_with(method, params) is not None
    report = await control(live, "GET", "/report")
    assert report["lastActivity"] is None
    assert report["firstActivity"] is None
    assert report["openedAt"] is not None
    assert report["changed"] is False


async def test_a_message_is_activity(live: Live, client: SealedClient, model: ScriptedModel, clock: FakeClock) -> None:
    clock.set(60)
    model.answer("hi")
    await client.say("hello")
    await until_idle(live)
    report = await control(live, "GET", "/report")
    assert (report["lastActivity"], report["firstActivity"]) == (format_time(clock.now()), "message")
    assert report["busy"] == []
    assert report["changed"] is True
    assert report["tokens"] == 15


async def test_an_http_request_that_passed_the_locks_is_activity(live: Live, clock: FakeClock) -> None:
    clock.set(60)
    await get(live, "/whatever")
    report = await control(live, "GET", "/report")
    assert (report["lastActivity"], report["firstActivity"]) == (format_time(clock.now()), "request")


async def test_the_report_says_how_the_start_went(live: Live) -> None:
    report = await control(live, "GET", "/report")
    assert report["podUid"] == "pod-1"
    timings = report["timings"]
    assert isinstance(timings, dict)
    assert all(isinstance(timings[name], int) for name in ("listeningMs", "restoredMs", "openMs"))
    assert isinstance(report["lineage"], str)
    assert report["sequence"] == 0


async def test_the_second_opening_of_a_volume_has_the_next_sequence(tmp_path: Path) -> None:
    """Rule 8: so that a volume that was put back to an older copy is noticed."""
    async with start(Pod(tmp_path)) as first:
        before = await control(first, "GET", "/report")
    recorded = {"MOLTBOT_RECORDED_LINEAGE": str(before["lineage"]), "MOLTBOT_RECORDED_SEQUENCE": str(before["sequence"])}
    async with start(Pod(tmp_path, pod_uid="pod-2", environ=recorded)) as second:
        after = await control(second, "GET", "/report")
    assert (after["lineage"], after["sequence"]) == (before["lineage"], 1)


async def test_an_empty_volume_is_not_opened_where_something_was_recorded(tmp_path: Path) -> None:
    """Rule 8: it waits and says so, never a crash loop and never an empty assistant."""
    recorded = {"MOLTBOT_RECORDED_LINEAGE": "f" * 32, "MOLTBOT_RECORDED_SEQUENCE": "3"}
    async with start(Pod(tmp_path, environ=recorded), wait=False) as live:
        async with asyncio.timeout(10):
            while (condition := live.running.gateway.conditions.get("StorageReady")) is None:
                await asyncio.sleep(0.01)
        assert (condition.status, condition.reason) == ("False", "StateMissing")
        assert condition.to_json() in _list((await control(live, "GET", "/report"))["conditions"])
        assert not (tmp_path / "current" / "moltbot.sqlite").exists()


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _any_certificate() -> ssl.SSLContext:

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
