"""HTTP through the public port: whose path it is, the table of credentials, holding, proxying (rule 4, the three locks, rule 12)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from moltbot_router.path.facts import ConditionFacts, Key
from moltbot_trust.seals import Seal
from tests.fakes.gateway_pod import FakeGatewayPod
from tests.router.cluster import ADA
from tests.router.test_sockets import eventually
from tests.router.world import NAVIGATION, TOKEN, Browser, World, moltbot, running_router

BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def cookie_of(world: World) -> dict[str, str]:
    login = await world.request("POST", "/api/login", json={"token": TOKEN})
    assert login.status == 204
    return {"Cookie": f"moltbot={login.cookies['moltbot'].value}"}


async def device_token_of(world: World) -> dict[str, str]:
    async with world.connected(Browser()) as wire:
        return {"Authorization": f"Bearer {wire.hello['auth']['deviceToken']}"}


async def credential(world: World, kind: str) -> dict[str, str]:
    match kind:
        case "token":
            return BEARER
        case "cookie":
            return await cookie_of(world)
        case "device":
            return await device_token_of(world)
    return {}


# which path is whose


async def test_health_and_assets_stand_before_the_locks_alike_on_every_host(world: World) -> None:
    for host in (world.host, "nobody.example", f"eve--x.localhost:{world.router.public.port}"):
        assert (await world.get("/healthz", host=host)).status == 200
        asset = await world.get("/assets/index-Ab12Cd34.js", host=host, headers={"Accept-Encoding": "gzip"})
        assert asset.status == 200
        assert "immutable" in asset.headers["Cache-Control"]
        assert asset.headers["Content-Encoding"] == "gzip"
        plain = await world.get("/assets/pages.css", host=host)
        assert plain.headers["Cache-Control"] == "no-cache"
        again = await world.get("/assets/pages.css", host=host, headers={"If-None-Match": plain.headers["ETag"]})
        assert again.status == 304


async def test_nothing_outside_the_built_pages_can_be_asked_for(world: World) -> None:
    for path in ("/assets/../index.html", "/assets/%2e%2e/index.html", "/assets/../../admin", "/assets/"):
        answer = await world.http.get(URL(world.public + path, encoded=True), headers={"Host": world.host})
        assert answer.status in (401, 404), path


async def test_public_administration_is_the_same_403_page_everywhere(world: World) -> None:
    pages = set()
    for host in (world.host, "nobody.example"):
        answer = await world.get("/_admin/", host=host, headers={**NAVIGATION, **BEARER})
        assert answer.status == 403
        pages.add(await answer.text())
    assert len(pages) == 1
    assert "kubectl moltbot admin" in pages.pop()


@pytest.mark.parametrize(("settings", "command"), [({}, "kubectl moltbot"), ({"on_cluster": False}, "moltbot")], ids=["cluster", "up"])
async def test_pages_name_the_command_that_works(tmp_path: Path, settings: dict[str, Any], command: str) -> None:
    """Without a cluster `kubectl moltbot` would ask the cluster that `kubectl` is set to."""
    async with running_router(tmp_path, **settings) as world:
        for path, name in (("/", "token NAME"), ("/_admin/", "admin")):
            text = await (await world.get(path, headers=NAVIGATION)).text()
            assert f"<code>{command} {name}</code>" in text


@pytest.mark.parametrize("path", ["/", "/api/status", "/api/events", "/anything", "/v1/models"])
async def test_without_a_credential_every_host_is_the_same_401(world: World, path: str) -> None:
    bodies = set()
    for host in (world.host, f"eve--default.localhost:{world.router.public.port}", "nobody.example"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "moltbot=nonsense"}):
            answer = await world.get(path, host=host, headers=headers)
            assert answer.status == 401
            bodies.add(await answer.text())
    assert len(bodies) == 1
    assert world.cluster.scale_writes == []


# the table of credentials


@pytest.mark.parametrize("kind", ["token", "cookie", "device"])
async def test_every_credential_opens_the_routers_pages(world: World, kind: str) -> None:
    headers = await credential(world, kind)
    page = await world.get("/", headers={**headers, **NAVIGATION})
    assert page.status == 200
    assert "chat" in await page.text()
    status = await world.get("/api/status", headers=headers)
    assert (await status.json())["status"] in ("not_running", "not_responding")
    assert (await world.request("POST", "/api/status", headers=headers)).status == 405


@pytest.mark.parametrize(
    ("kind", "mode", "method", "status"),
    [
        ("token", "device", "GET", 403),
        ("token", "token", "GET", 200),
        ("token", "token", "POST", 200),
        ("cookie", "device", "GET", 403),
        ("cookie", "token", "GET", 200),
        ("cookie", "token", "POST", 403),
        ("device", "device", "GET", 200),
        ("device", "device", "POST", 200),
        ("device", "token", "GET", 200),
    ],
)
async def test_the_pods_http_is_for_whom_the_table_says(world: World, kind: str, mode: str, method: str, status: int) -> None:
    headers = await credential(world, kind)
    world.cluster.change(ADA, http=mode)
    await world.wake()
    answer = await world.request(method, "/v1/models", headers=headers)
    assert answer.status == status, await answer.text()


@pytest.mark.parametrize(("kind", "mode"), [("token", "device"), ("cookie", "device")])
async def test_what_may_not_reach_the_pod_does_not_wake_it(world: World, kind: str, mode: str) -> None:
    headers = await credential(world, kind)
    world.cluster.change(ADA, http=mode)
    assert (await world.get("/v1/models", headers=headers)).status == 403
    page = await world.get("/some/page", headers={**headers, **NAVIGATION})
    assert page.status == 403
    assert world.cluster.scale_writes == []


async def test_token_in_the_query_becomes_a_cookie_and_leaves_the_address(world: World) -> None:
    answer = await world.get(f"/?token={TOKEN}&a=b%20c", headers=NAVIGATION)
    assert answer.status == 303
    assert answer.headers["Location"] == "/?a=b+c"
    cookie = answer.cookies["moltbot"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["domain"]
    page = await world.get("/", headers={"Cookie": f"moltbot={cookie.value}", **NAVIGATION})
    assert page.status == 200


async def test_redirect_never_leads_elsewhere(world: World) -> None:
    for path in (f"//evil.example/?token={TOKEN}", f"/\\evil.example?token={TOKEN}"):
        answer = await world.http.get(
            URL(world.public + path, encoded=True), headers={"Host": world.host, **NAVIGATION}, allow_redirects=False
        )
        assert answer.status in (303, 400)
        assert not answer.headers.get("Location", "/").startswith(("//", "/\\"))


async def test_cookie_ends_with_its_token_and_opens_no_other_moltbot(world: World) -> None:
    cookie = await cookie_of(world)
    bob = Key("default", "bob")
    world.cluster.add(moltbot(bob))
    world.cluster.change(bob, verifiers=(world.verifier(TOKEN, bob),))
    assert (await world.get("/api/status", headers=cookie, host=f"bob--default.localhost:{world.router.public.port}")).status == 401
    world.cluster.change(ADA, verifiers=(world.verifier("another"),))
    assert (await world.get("/api/status", headers=cookie)).status == 401


async def test_login_sets_the_cookie_and_goes_on_only_within_this_host(world: World) -> None:
    for wanted, reached in (("/chat?x=1", "/chat?x=1"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/")):
        answer = await world.request("POST", "/api/login", data={"token": TOKEN, "next": wanted}, headers={"Origin": world.origin})
        assert answer.status == 303
        assert answer.headers["Location"] == reached
    wrong = await world.request("POST", "/api/login", data={"token": "wrong", "next": "/chat"})
    assert wrong.status == 401
    assert 'value="/chat"' in await wrong.text()
    foreign = await world.request("POST", "/api/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"})
    assert foreign.status == 403


async def test_over_https_the_cookie_is_host_bound_and_secure(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", trusted_proxies=("127.0.0.1",)) as world:
        headers = {"X-Forwarded-Proto": "https"}
        answer = await world.request("POST", "/api/login", json={"token": TOKEN}, headers=headers)
        cookie = answer.cookies["__Host-moltbot"]
        assert cookie["secure"]
        assert cookie["path"] == "/"
        shown = {"Cookie": f"__Host-moltbot={cookie.value}", **headers}
        assert (await world.get("/api/status", headers=shown)).status == 200
        # The name that a plain page could have set counts for nothing there.
        assert (await world.get("/api/status", headers={"Cookie": f"moltbot={cookie.value}", **headers})).status == 401


async def test_forwarding_headers_of_strangers_are_not_believed(world: World) -> None:
    answer = await world.request("POST", "/api/login", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "__Host-moltbot" not in answer.cookies
    assert (await world.get("/api/status", headers={**BEARER, "X-Forwarded-Host": "nobody.example"})).status == 200


async def test_guessing_is_limited_and_a_cookie_still_counts(world: World) -> None:
    cookie = await cookie_of(world)
    for _ in range(10):
        assert (await world.get("/api/status", headers={"Authorization": "Bearer wrong"})).status == 401
    blocked = await world.get("/api/status", headers=BEARER)
    assert blocked.status == 429
    assert int(blocked.headers["Retry-After"]) > 200
    assert (await world.get("/api/status", headers=cookie)).status == 200


# pages


async def test_pages_have_a_strict_policy_and_nothing_inline(world: World) -> None:
    for path, headers in (("/", BEARER), ("/", {}), ("/_admin/", {})):
        answer = await world.get(path, headers={**headers, **NAVIGATION})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = await answer.text()
        assert "<style" not in text
        assert "onclick" not in text
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_pages_that_are_not_built_say_how(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", static=False) as world:
        answer = await world.get("/", headers={**BEARER, **NAVIGATION})
        assert answer.status == 503
        assert "make ui" in await answer.text()


async def test_opening_the_page_wakes_and_an_open_page_does_not(world: World) -> None:
    """Rule 6: a navigation is a person; what an open tab asks is not."""
    cookie = await cookie_of(world)
    for _ in range(3):
        assert (await world.get("/", headers={**cookie, "Sec-Fetch-Mode": "cors"})).status == 200
        assert (await world.get("/api/status", headers=cookie)).status == 200
    prefetch = {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"}
    assert (await world.get("/", headers={**cookie, **prefetch})).status == 200
    await asyncio.sleep(0)
    assert world.cluster.scale_writes == []
    assert (await world.get("/", headers={**cookie, **NAVIGATION})).status == 200
    await eventually(lambda: world.cluster.scale_writes == [1])


async def test_a_navigation_touches_an_awake_gateway_but_not_at_every_click(world: World) -> None:
    pod = await world.wake()
    for _ in range(4):
        assert (await world.get("/", headers={**BEARER, **NAVIGATION})).status == 200
    await eventually(lambda: pod.touches == [{"kind": "page"}])
    assert world.cluster.scale_writes == []


async def test_status_has_moltworkers_shape_and_never_wakes(world: World) -> None:
    asleep = await (await world.get("/api/status", headers=BEARER)).json()
    assert (asleep["ok"], asleep["status"], asleep["phase"], asleep["name"]) == (False, "not_running", "Asleep", "ada")
    pod = await world.wake("pod-1")
    awake = await (await world.get("/api/status", headers=BEARER)).json()
    assert (awake["ok"], awake["status"], awake["processId"], awake["phase"]) == (True, "running", "pod-1", "Awake")
    await pod.stop()
    world.cluster.set_pod(ADA, None)
    world.cluster.change(ADA, phase="Failed", conditions=(ConditionFacts("Ready", "False", "CrashLoop", "It keeps ending: look here"),))
    failed = await (await world.get("/api/status", headers=BEARER)).json()
    assert (failed["status"], failed["error"]) == ("error", "It keeps ending: look here")


async def test_events_tell_the_phase_at_once_and_at_each_change(world: World) -> None:
    cookie = await cookie_of(world)
    answer = await world.get("/api/events", headers=cookie)
    assert answer.headers["X-Accel-Buffering"] == "no"

    async def event() -> dict[str, Any]:
        lines = []
        while (line := (await asyncio.wait_for(answer.content.readline(), 5)).decode().strip()) != "":
            lines.append(line)
        return {"event": lines[0].partition(": ")[2], "data": json.loads(lines[1].partition(": ")[2])}

    assert (await event())["data"]["phase"] == "Asleep"
    world.router.waker.start(ADA, reason="page")
    assert (await event())["data"]["phase"] == "Waking"
    await world.wake()
    told = await event()
    while told["data"]["phase"] != "Awake":
        told = await event()
    assert world.cluster.scale_writes == [1]
    # What opened the stream does not hold any more: it ends, and the next attempt is a 401.
    world.cluster.change(ADA, verifiers=())
    assert await asyncio.wait_for(answer.content.read(), 5) is not None
    assert (await world.get("/api/events", headers=cookie)).status == 401


async def test_events_tell_a_waiting_device_that_it_was_approved_and_removed(world: World) -> None:
    browser = Browser()
    cookie = await cookie_of(world)
    async with world.wire() as wire:
        await wire.connect(browser)
    answer = await world.get(f"/api/events?device={browser.id}", headers=cookie)
    await answer.content.readuntil(b"\n\n")
    await world.approve(browser)
    assert b'"state":"approved"' in await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
    device = world.cluster.truth[ADA].devices[browser.id]
    await world.cluster.delete_device(ADA, device, unchanged=False)
    assert b'"state":"removed"' in await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
    answer.close()


async def test_streams_of_one_moltbot_are_bounded(world: World) -> None:
    cookie = await cookie_of(world)
    world.router._streams._limit_each = 2
    open_ones = [await world.get("/api/events", headers=cookie) for _ in range(2)]
    assert (await world.get("/api/events", headers=cookie)).status == 503
    for answer in open_ones:
        answer.close()
    await eventually(lambda: not world.router._streams._each)
    assert (await world.get("/api/events", headers=cookie)).status == 200


# proxying


async def test_held_request_wakes_once_for_all_and_is_answered(world: World) -> None:
    """Rules 2 and 4."""
    headers = await device_token_of(world)
    requests = [asyncio.create_task(world.request("POST", f"/hooks/{number}", headers=headers, data=b"x" * 100)) for number in range(8)]
    await eventually(lambda: world.router.waker.held == 8)
    assert world.cluster.scale_writes == [1]
    pod = await world.make_pod(ready=False)
    world.cluster.set_pod(ADA, pod.facts())
    await eventually(lambda: pod.probes > 3)
    pod.ready = True
    answers = await asyncio.gather(*requests)
    assert [answer.status for answer in answers] == [200] * 8
    assert (await answers[3].json())["body"] == "x" * 100


async def test_deadline_is_a_503_with_the_reason_and_when_to_retry(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", hold_seconds=1.0) as world:
        headers = await device_token_of(world)
        answer = await world.get("/v1/models", headers=headers)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.json())["error"] == "Starting"
        world.cluster.set_pod(ADA, (await world.make_pod(ready=False)).facts(trouble="The image cannot be pulled (container gateway)"))
        page = await world.get("/page", headers={**headers, "Accept": "text/html"})
        assert page.status == 503
        assert "The image cannot be pulled" in await page.text()


async def test_waiting_page_for_a_navigation_to_the_pod(world: World) -> None:
    world.cluster.change(ADA, http="token", wake_seconds=2.5)
    answer = await world.get("/some/page", headers={**await cookie_of(world), **NAVIGATION})
    assert answer.status == 503
    text = await answer.text()
    assert 'data-page="waiting"' in text
    assert 'data-estimate-seconds="2.5"' in text
    await eventually(lambda: world.cluster.scale_writes == [1])


async def test_suspended_is_told_at_once(world: World) -> None:
    headers = await device_token_of(world)
    world.cluster.change(ADA, suspended=True)
    answer = await world.get("/v1/models", headers=headers)
    assert answer.status == 503
    assert (await answer.json())["error"] == "Suspended"
    assert world.cluster.scale_writes == []


async def test_pod_gets_nothing_of_the_routers_credentials(world: World) -> None:
    device = await device_token_of(world)
    await world.wake()
    sent = {
        **device,
        "Cookie": "moltbot=secret; theme=dark; __Host-moltbot=secret; CF_Authorization=secret",
        "Cf-Access-Jwt-Assertion": "secret",
        "Moltbot-Seal": "forged",
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-Ip": "6.6.6.6",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "hop",
        "X-Custom": "kept",
    }
    seen = await (await world.get(f"/v1/x?token={TOKEN}&q=1", headers=sent)).json()
    assert seen["path"] == "/v1/x?q=1"
    text = json.dumps(seen)
    assert "secret" not in text
    assert TOKEN not in text
    assert "6.6.6.6" not in text
    assert "forged" not in text
    names = {name.lower() for name in seen["headers"]}
    assert "authorization" not in names
    assert "x-hop" not in names
    assert seen["headers"]["Cookie"] == "theme=dark"
    assert seen["headers"]["X-Custom"] == "kept"
    assert seen["headers"]["X-Forwarded-For"] == "127.0.0.1"


async def test_what_a_pod_answers_is_data_and_sets_nothing(world: World) -> None:
    """Rule 12."""
    headers = await device_token_of(world)
    pod = await world.wake()

    async def hostile(request: web.Request, seal: Seal) -> web.StreamResponse:
        answer = web.Response(text="<script>alert(1)</script>", content_type="text/html")
        answer.set_cookie("moltbot", "stolen")
        answer.headers["Content-Security-Policy"] = "default-src *"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Clear-Site-Data"] = '"*"'
        return answer

    pod.http = hostile
    answer = await world.get("/page", headers=headers)
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Clear-Site-Data" not in answer.headers


async def test_answers_stream_and_a_gone_client_ends_the_upstream(world: World) -> None:
    headers = await device_token_of(world)
    pod = await world.wake()
    ended = asyncio.Event()
    go_on = asyncio.Event()

    async def slowly(request: web.Request, seal: Seal) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"one")
        await go_on.wait()
        try:
            for _ in range(10_000):
                await answer.write(b"x" * 65536)
                await asyncio.sleep(0.01)
        finally:
            ended.set()
        return answer

    pod.http = slowly
    answer = await world.get("/stream", headers=headers)
    assert await asyncio.wait_for(answer.content.readany(), 5) == b"one"
    go_on.set()
    answer.close()
    await asyncio.wait_for(ended.wait(), 5)


async def test_half_an_answer_does_not_look_like_a_whole_one(world: World) -> None:
    headers = await device_token_of(world)
    pod = await world.wake()

    async def breaks(request: web.Request, seal: Seal) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    pod.http = breaks
    answer = await world.get("/stream", headers=headers)
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()


async def test_long_body_is_taken_only_after_the_pod_wants_it(world: World) -> None:
    """Rule 4: refused by a quiesced gateway before a byte is read, and sent whole after it resumed."""
    headers = await device_token_of(world)
    pod = await world.wake()
    pod.quiesced = "q7"
    body = b"z" * 3_000_000
    received: list[int] = []

    async def count(request: web.Request, seal: Seal) -> web.StreamResponse:
        received.append(len(await request.read()))
        return web.Response(text="done")

    pod.http = count
    answer = await world.request("POST", "/upload", headers=headers, data=body)
    assert await answer.text() == "done"
    assert received == [len(body)]
    assert pod.resumes == ["q7"]


async def test_body_of_unknown_length_streams(world: World) -> None:
    headers = await device_token_of(world)
    await world.wake()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"abc"

    answer = await world.request("POST", "/upload", headers=headers, data=chunks())
    assert (await answer.json())["body"] == "abc" * 5


async def test_lost_upstream_repeats_only_what_cannot_happen_twice(world: World) -> None:
    headers = await device_token_of(world)
    pod = await world.wake()
    calls: list[str] = []

    async def breaks_once(request: web.Request, seal: Seal) -> web.StreamResponse:
        await request.read()
        calls.append(f"{request.method} {request.path}")
        if calls.count(calls[-1]) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="ok")

    pod.http = breaks_once
    lost = await world.request("POST", "/plain", headers=headers, data=b"x")
    assert (lost.status, (await lost.json())["error"]) == (503, "Lost")
    kept = await world.request("POST", "/keyed", headers={**headers, "Idempotency-Key": "1"}, data=b"x")
    assert kept.status == 200
    read = await world.get("/read", headers=headers)
    assert read.status == 200
    assert calls.count("POST /plain") == 1
    assert calls.count("POST /keyed") == 2


async def test_another_pods_certificate_is_never_spoken_to(world: World) -> None:
    """Rule 3: the address belongs to somebody else by now."""
    headers = await device_token_of(world)
    ring = world.ring()
    stranger = FakeGatewayPod(ring, "pod-x", world.clock, certificate_name="eve", ports=world.ports)
    await stranger.start()
    world.pods.append(stranger)
    world.cluster.set_replicas(ADA, 1)
    mine = FakeGatewayPod(ring, "pod-x", world.clock)
    world.cluster.set_pod(ADA, mine.facts(ready=True))
    answer = asyncio.create_task(world.get("/v1/models", headers=headers))
    await asyncio.sleep(0.3)
    assert not answer.done()
    assert stranger.seals == []
    assert stranger.probes == 0
    answer.cancel()


async def test_until_keys_are_there_nobody_passes_and_health_is_up(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", keys_dir=str(tmp_path / "later")) as world:
        assert (await world.get("/healthz")).status == 200
        answer = await world.get("/", headers={**BEARER, **NAVIGATION})
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "keys.json").write_text((tmp_path / "r" / "keys" / "keys.json").read_text())
        await eventually(lambda: world.router.keys.ready)
        assert (await world.get("/", headers={**BEARER, **NAVIGATION})).status == 200
