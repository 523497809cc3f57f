"""Conversations through the router: opening, asleep and awake, held, parked, revoked (rule 4, the three locks)."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from moltbot_router.path.facts import Key
from tests.router.cluster import ADA
from tests.router.world import TOKEN, Browser, World, moltbot

SEND = {"sessionKey": "agent:main:main", "message": "hello", "idempotencyKey": "k1"}


async def eventually(condition: Any, seconds: float = 5.0) -> None:
    """Wait for what another task does over real sockets."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_new_device_is_pending_until_a_person_approves_it(world: World) -> None:
    browser = Browser()
    async with world.wire() as wire:
        response = await wire.connect(browser)
        assert response["error"]["code"] == "NOT_PAIRED"
        assert response["error"]["details"]["reason"] == "not-paired"
        device = world.cluster.truth[ADA].devices[browser.id]
        assert device.request is not None
        assert response["error"]["details"]["requestId"] == device.request.id
        assert (await wire.closed())[0] == 1008
    await world.approve(browser)
    async with world.wire() as wire:
        response = await wire.connect(browser)
        assert response["ok"]
        assert response["payload"]["type"] == "hello-ok"
        assert response["payload"]["server"]["name"] == "ada"
        assert response["payload"]["auth"]["scopes"] == ["operator.admin", "operator.read", "operator.write"]


async def test_opening_wakes_nobody(world: World) -> None:
    """Rule 6: a socket that connects is no activity."""
    async with world.connected(Browser()) as wire:
        assert (await wire.call("health"))["payload"]["asleep"] is True
    assert world.cluster.scale_writes == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("health", {}),
        ("status", {}),
        ("chat.startup", {"sessionKey": "agent:main:main"}),
        ("chat.history", {"sessionKey": "agent:main:main", "limit": 50}),
        ("sessions.subscribe", {}),
        ("sessions.messages.subscribe", {"key": "agent:main:main"}),
        ("sessions.list", {}),
        ("agents.list", {}),
        ("agent.identity.get", {}),
        ("models.list", {}),
        ("chat.abort", {"sessionKey": "agent:main:main"}),
    ],
)
async def test_boot_reads_are_answered_from_status_while_asleep(world: World, method: str, params: dict[str, Any]) -> None:
    async with world.connected(Browser()) as wire:
        response = await wire.call(method, params)
        assert response["ok"], response
        assert response["payload"]["asleep"] is True
    assert world.cluster.scale_writes == []


async def test_a_message_wakes_and_is_delivered_once(world: World) -> None:
    """Rules 2 and 4: held, 1 written once, sent when the pod is open."""
    async with world.connected(Browser()) as wire:
        request = await wire.send("chat.send", SEND)
        await eventually(lambda: world.cluster.scale_writes == [1])
        pod = await world.make_pod()
        world.cluster.set_pod(ADA, pod.facts())
        response = await wire.answer(request)
        assert response["payload"] == {"runId": "k1", "status": "started"}
        assert [frame["method"] for frame in pod.frames] == ["chat.send"]
        assert pod.seals[0].scopes == ("operator.admin", "operator.read", "operator.write")


async def test_subscriptions_are_replayed_and_the_page_is_told_to_load(world: World) -> None:
    async with world.connected(Browser()) as wire:
        await wire.call("sessions.messages.subscribe", {"key": "agent:main:main"})
        await wire.call("chat.history", {"sessionKey": "agent:main:main"})
        pod = await world.wake()
        event = await wire.event("sessions.changed")
        assert event["payload"]["reason"] == "wake"
        await eventually(lambda: len(pod.frames) == 1)
        assert pod.frames[0]["method"] == "sessions.messages.subscribe"
        assert pod.frames[0]["params"] == {"key": "agent:main:main"}


async def test_version_3_is_told_to_load_in_the_way_it_knows(world: World) -> None:
    async with world.connected(Browser(), protocol=3, payload="v2") as wire:
        await wire.call("chat.history", {"sessionKey": "main"})
        await world.wake()
        event = await wire.event("chat")
        assert (event["payload"]["sessionKey"], event["payload"]["state"]) == ("main", "final")


async def test_events_are_numbered_by_the_router_across_pods(world: World) -> None:
    async with world.connected(Browser()) as wire:
        first = await world.wake()
        await eventually(lambda: first.sockets)
        await first.send_event("chat", {"state": "delta"})
        one = await wire.event("chat")
        await first.stop()
        world.sleep()
        second = await world.wake()
        await eventually(lambda: second.sockets)
        await second.send_event("chat", {"state": "final"})
        two = await wire.event("chat")
        assert 0 < one["seq"] < two["seq"]


async def test_parked_socket_stays_open_and_its_next_message_wakes(world: World) -> None:
    async with world.connected(Browser()) as wire:
        pod = await world.wake()
        assert (await wire.call("chat.send", SEND))["ok"]
        await pod.stop()
        world.sleep()
        await eventually(lambda: world.router.waker.state(ADA).readiness.value == "asleep")  # type: ignore[union-attr]
        assert (await wire.call("health"))["payload"]["asleep"] is True
        request = await wire.send("chat.send", SEND | {"idempotencyKey": "k2"})
        await eventually(lambda: world.cluster.scale_writes == [1])
        second = await world.make_pod()
        world.cluster.set_pod(ADA, second.facts())
        assert (await wire.answer(request))["payload"]["runId"] == "k2"


async def test_refused_by_a_quiesced_gateway_is_resumed_and_sent_again(world: World) -> None:
    """Rule 5b: in the order in which they were sent."""
    async with world.connected(Browser()) as wire:
        pod = await world.wake()
        await eventually(lambda: pod.sockets)
        pod.quiesced = "q1"
        requests = [await wire.send("chat.send", SEND | {"idempotencyKey": f"k{number}"}) for number in range(5)]
        for number, request in enumerate(requests):
            assert (await wire.answer(request))["payload"]["runId"] == f"k{number}"
        assert [frame["params"]["idempotencyKey"] for frame in pod.frames] == [f"k{number}" for number in range(5)]
        assert set(pod.resumes) == {"q1"}


async def test_refused_by_a_committed_gateway_waits_for_the_next_pod(world: World) -> None:
    """Rules 5d and 5f: the router writes 1 once it sees 0, and the message goes to the new pod."""
    async with world.connected(Browser()) as wire:
        pod = await world.wake()
        await eventually(lambda: pod.sockets)
        pod.quiesced, pod.committed = "q1", True
        request = await wire.send("chat.send", SEND)
        await eventually(lambda: pod.resumes == ["q1"])
        await pod.stop()
        world.sleep()
        await eventually(lambda: world.cluster.scale_writes == [1])
        second = await world.make_pod()
        world.cluster.set_pod(ADA, second.facts())
        assert (await wire.answer(request))["payload"]["runId"] == "k1"
        assert len(second.frames) == 1


async def test_lost_upstream_repeats_what_has_a_key_and_refuses_the_rest(world: World) -> None:
    async with world.connected(Browser()) as wire:
        pod = await world.wake()
        await eventually(lambda: pod.sockets)
        pod.ignore = {"chat.send", "sessions.list"}
        message = await wire.send("chat.send", SEND)
        read = await wire.send("sessions.list", {})
        await eventually(lambda: len(pod.frames) == 2)
        pod.ignore = set()
        await pod.cut()
        refused = await wire.answer(read)
        assert refused["error"]["code"] == "UNAVAILABLE"
        assert refused["error"]["retryable"] is True
        assert (await wire.answer(message))["payload"]["runId"] == "k1"
        assert [frame["method"] for frame in pod.frames].count("chat.send") == 2


async def test_suspended_refuses_work_at_once_with_the_reason(world: World) -> None:
    world.cluster.change(ADA, suspended=True)
    async with world.connected(Browser()) as wire:
        response = await wire.call("chat.send", SEND)
        assert response["error"]["code"] == "UNAVAILABLE"
        assert "Auto" in response["error"]["message"]
    assert world.cluster.scale_writes == []


async def test_removing_a_device_ends_its_connection_and_its_token(world: World) -> None:
    """Lock 3: asleep or awake, at once; no new pairing revives the token."""
    browser = Browser()
    async with world.connected(browser) as wire:
        token = wire.hello["auth"]["deviceToken"]
        device = world.cluster.truth[ADA].devices[browser.id]
        await world.cluster.delete_device(ADA, device, unchanged=False)
        code, reason = await wire.closed()
        assert (code, reason) == (1008, "device removed")
    async with world.wire() as wire:
        response = await wire.connect(browser, token=None, device_token=token)
        assert response["error"]["details"]["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"
    async with world.connected(browser):
        pass
    async with world.wire() as wire:
        assert not (await wire.connect(browser, token=None, device_token=token))["ok"]


async def test_device_token_outlives_the_gateway_token(world: World) -> None:
    browser = Browser()
    async with world.connected(browser) as wire:
        token = wire.hello["auth"]["deviceToken"]
        world.cluster.change(ADA, verifiers=(world.verifier("another-token"),))
        assert await wire.closed() == (1008, "gateway token changed")
    async with world.wire() as wire:
        assert (await wire.connect(browser, token=None, device_token=token))["ok"]
    async with world.wire() as wire:
        assert not (await wire.connect(browser))["ok"]


async def test_rotating_and_revoking_void_the_token(world: World) -> None:
    administrator, phone = Browser(), Browser("phone")
    async with world.connected(administrator) as wire, world.connected(phone) as other:
        old = other.hello["auth"]["deviceToken"]
        rotated = await wire.call("device.token.rotate", {"deviceId": phone.id, "role": "operator"})
        assert await other.closed() == (1008, "device token revoked")
        async with world.wire() as again:
            assert not (await again.connect(phone, token=None, device_token=old))["ok"]
        async with world.wire() as again:
            assert (await again.connect(phone, token=None, device_token=rotated["payload"]["token"]))["ok"]
        assert (await wire.call("device.token.revoke", {"deviceId": phone.id, "role": "operator"}))["ok"]
        async with world.wire() as again:
            assert not (await again.connect(phone, token=None, device_token=rotated["payload"]["token"]))["ok"]


async def test_an_administrator_approves_another_device_by_the_protocol(world: World) -> None:
    administrator, phone = Browser(), Browser("phone")
    async with world.connected(administrator) as wire:
        async with world.wire() as other:
            assert (await other.connect(phone))["error"]["code"] == "NOT_PAIRED"
        requested = await wire.event("device.pair.requested")
        pending = (await wire.call("device.pair.list", {}))["payload"]["pending"]
        assert [entry["deviceId"] for entry in pending] == [phone.id] == [requested["payload"]["deviceId"]]
        approved = await wire.call("device.pair.approve", {"requestId": pending[0]["requestId"]})
        assert approved["payload"]["device"]["deviceId"] == phone.id
        assert (await wire.event("device.pair.resolved"))["payload"]["decision"] == "approved"
        async with world.wire() as other:
            assert (await other.connect(phone))["ok"]
        assert (await wire.call("device.pair.approve", {"requestId": "nonsense"}))["error"]["message"] == "unknown requestId"


async def test_asking_for_more_scopes_is_a_new_request_and_keeps_the_old_grant(world: World) -> None:
    browser = Browser()
    async with world.connected(browser, scopes=("operator.read",)):
        pass
    async with world.wire() as wire:
        response = await wire.connect(browser)
        assert response["error"]["details"]["reason"] == "scope-upgrade"
    async with world.wire() as wire:
        assert (await wire.connect(browser, scopes=("operator.read",)))["ok"]


async def test_scopes_are_enforced_by_the_table(world: World) -> None:
    async with world.connected(Browser(), scopes=("operator.read",)) as wire:
        response = await wire.call("chat.send", SEND)
        assert response["error"]["code"] == "FORBIDDEN"
        assert response["error"]["message"] == "missing scope: operator.write"
    assert world.cluster.scale_writes == []


async def test_unknown_host_looks_like_a_wrong_token(world: World) -> None:
    """Rule 4: before a lock is passed every host answers alike."""
    answers = []
    for host, token in ((f"eve--default.localhost:{world.router.public.port}", TOKEN), (world.host, "wrong")):
        async with world.wire(host=host) as wire:
            response = await wire.connect(Browser(), token=token)
            answers.append((response["error"], await wire.closed()))
    assert answers[0] == answers[1]
    assert world.cluster.truth[ADA].devices == {}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"payload": "v1"}, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ({"nonce": "another"}, "DEVICE_AUTH_NONCE_MISMATCH"),
        ({"now_ms": 1000}, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        ({"role": "node"}, "DEVICE_AUTH_SIGNATURE_INVALID"),
    ],
)
async def test_a_device_that_proves_nothing_is_refused(world: World, options: dict[str, Any], code: str) -> None:
    async with world.wire() as wire:
        response = await wire.connect(Browser(), **options)
        assert not response["ok"]
        assert response["error"]["details"]["code"] == code
        assert (await wire.closed())[0] == 1008
    assert world.cluster.truth[ADA].devices == {}


async def test_token_without_a_device_opens_no_conversation(world: World) -> None:
    async with world.wire() as wire:
        challenge = await wire.receive()
        params = Browser().params(challenge["payload"]["nonce"], now_ms=challenge["payload"]["ts"])
        del params["device"]
        response = await wire.call("connect", params)
        assert response["error"]["details"]["code"] == "DEVICE_IDENTITY_REQUIRED"


@pytest.mark.parametrize("protocol", [3, 4])
async def test_both_protocol_versions_are_spoken(world: World, protocol: int) -> None:
    async with world.connected(Browser(), protocol=protocol, payload="v2") as wire:
        assert wire.hello["protocol"] == protocol
        limit = {3: 524_288, 4: 26_214_400}[protocol]
        assert wire.hello["policy"]["maxPayload"] == limit


async def test_a_version_that_nobody_speaks_ends_with_1002(world: World) -> None:
    async with world.wire() as wire:
        response = await wire.connect(Browser(), protocol=9)
        assert response["error"]["details"]["code"] == "PROTOCOL_MISMATCH"
        assert (await wire.closed())[0] == 1002


async def test_first_frame_must_be_connect(world: World) -> None:
    async with world.wire() as wire:
        await wire.receive()
        response = await wire.call("health")
        assert response["error"]["message"] == "invalid handshake: first request must be connect"
        assert (await wire.closed())[0] == 1008


async def test_an_oversized_frame_before_the_locks_is_cut_off(world: World) -> None:
    async with world.wire() as wire:
        await wire.receive()
        with pytest.raises((ConnectionError, aiohttp.ClientError, AssertionError)):
            await wire.socket.send_str("x" * 1_000_000)
            await wire.receive()


async def test_a_bad_frame_after_the_opening_keeps_the_socket(world: World) -> None:
    async with world.connected(Browser()) as wire:
        await wire.socket.send_str('{"type":"req","id":"1","method":"health","extra":1}')
        assert "unexpected property 'extra'" in (await wire.answer("1"))["error"]["message"]
        assert "unknown method" in (await wire.call("no.such"))["error"]["message"]
        assert "unexpected property 'foo'" in (await wire.call("chat.send", SEND | {"foo": 1}))["error"]["message"]
        assert (await wire.call("health"))["ok"]


async def test_the_cookie_opens_a_socket_only_from_its_own_origin(world: World) -> None:
    login = await world.request("POST", "/api/login", json={"token": TOKEN})
    cookie = f"moltbot={login.cookies['moltbot'].value}"
    browser = Browser()
    for origin, expected in ((world.origin, "NOT_PAIRED"), ("http://evil.example", "INVALID_REQUEST"), ("", "INVALID_REQUEST")):
        async with world.wire(headers={"Cookie": cookie, **({"Origin": origin} if origin else {})}) as wire:
            assert (await wire.connect(browser, token=None))["error"]["code"] == expected, origin


async def test_wrong_tokens_are_counted_and_then_not_even_checked(world: World) -> None:
    for _ in range(10):
        async with world.wire() as wire:
            assert (await wire.connect(Browser(), token="wrong"))["error"]["details"]["code"] == "AUTH_TOKEN_MISMATCH"
    async with world.wire() as wire:
        response = await wire.connect(Browser())
        assert response["error"]["details"]["code"] == "AUTH_RATE_LIMITED"
        assert response["error"]["retryAfterMs"] > 200_000


async def test_a_stopping_router_closes_with_1012(world: World) -> None:
    async with world.connected(Browser()) as wire:
        closing = asyncio.create_task(world.router.close())
        assert (await wire.event("shutdown"))["payload"]["reason"] == "router restart"
        assert (await wire.closed())[0] == 1012
        await closing


async def test_one_moltbots_token_opens_no_other(world: World) -> None:
    bob = Key("default", "bob")
    world.cluster.add(moltbot(bob))
    async with world.wire(host=f"bob--default.localhost:{world.router.public.port}") as wire:
        assert not (await wire.connect(Browser()))["ok"]
