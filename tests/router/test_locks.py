"""The locks piece by piece: credentials, cookies, device tokens, limits, pairing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moltbot_protocol.connect import Client, Connect, parse_connect
from moltbot_protocol.identity import ProvenDevice
from moltbot_router.locks.cookies import (
    ADMIN_SECONDS,
    COOKIE_SECONDS,
    is_admin_cookie,
    make_admin_cookie,
    make_cookie,
    read_cookie,
)
from moltbot_router.locks.credentials import Kind, read_presented, without_own_cookies, without_token
from moltbot_router.locks.device_tokens import find_device, make_device_token
from moltbot_router.locks.ed25519 import verify_ed25519
from moltbot_router.locks.gateway_token import check_presented
from moltbot_router.locks.limit import MAX_ADDRESSES, AttemptLimit
from moltbot_router.locks.pairing import MAX_PENDING, Pairing, Reason, Refused, Wish, missing_grant, wished
from moltbot_router.path.facts import ApprovalFacts, DeviceFacts, RequestFacts
from moltbot_router.path.ports import Conflict, Unavailable
from moltbot_trust.keys import MasterKeys, Purpose
from moltbot_trust.redaction import Secret
from moltbot_trust.verifiers import make_verifier
from tests.fakes.clock import FakeClock
from tests.router.cluster import ADA, MemoryCluster
from tests.router.world import moltbot

RING = MasterKeys.generate().key_ring(Purpose, "uid-ada")
NOW = 1_800_000_000.0
AT = datetime(2026, 11, 24, tzinfo=UTC)
GRANT = ApprovalFacts("r1", ("operator",), ("operator.read", "operator.write"), "a person", AT)
DEVICE = DeviceFacts("ada-d1", "uid-d1", "5", "d1" * 32, "A" * 43, approved=GRANT, generation=2)


@pytest.mark.parametrize(
    ("query", "authorization", "cookies", "secure", "expected"),
    [
        ("token=a%20b&x=1", "", {}, False, ("a b", "", "")),
        ("x=1", "Bearer  t ", {}, False, ("", "t", "")),
        ("", "bearer t", {}, False, ("", "t", "")),
        ("", "Basic dDp0", {}, False, ("", "", "")),
        ("", "", {"moltbot": "plain"}, False, ("", "", "plain")),
        ("", "", {"moltbot": "plain"}, True, ("", "", "")),
        ("", "", {"moltbot": "plain", "__Host-moltbot": "secure"}, True, ("", "", "secure")),
        ("token=", "Bearer ", {"other": "x"}, False, ("", "", "")),
    ],
)
def test_what_a_request_shows(query: str, authorization: str, cookies: dict[str, str], secure: bool, expected: tuple[str, ...]) -> None:
    shown = read_presented(query, authorization, cookies, secure=secure)
    assert (shown.query, shown.bearer, shown.cookie) == expected
    assert shown.any == any(expected)
    assert expected[0] in ("", "a b")
    assert "a b" not in repr(shown)


def test_the_token_is_taken_out_of_the_query_and_the_rest_is_left() -> None:
    assert without_token("a=1&token=t&b=2") == "a=1&b=2"
    assert without_token("a=%20&b") == "a=%20&b"
    assert without_token("token=t") == ""


def test_own_cookies_are_taken_out_and_the_rest_is_left() -> None:
    assert without_own_cookies("a=1; moltbot=x; __Host-moltbot=y; moltbot-admin=z; CF_Authorization=j; b=2") == "a=1; b=2"
    assert without_own_cookies("moltbot=x") == ""


def test_a_cookie_is_bound_to_its_moltbot_its_token_and_its_time() -> None:
    verifier, other = make_verifier(RING, "t"), make_verifier(RING, "u")
    cookie = make_cookie(RING, "uid-ada", verifier, NOW)
    assert read_cookie(RING, "uid-ada", [other, verifier], cookie, NOW) == (verifier, False)
    assert read_cookie(RING, "uid-ada", [verifier], cookie, NOW + COOKIE_SECONDS * 0.6) == (verifier, True)
    assert read_cookie(RING, "uid-ada", [verifier], cookie, NOW + COOKIE_SECONDS + 60) is None
    assert read_cookie(RING, "uid-bob", [verifier], cookie, NOW) is None
    assert read_cookie(RING, "uid-ada", [other], cookie, NOW) is None
    assert read_cookie(RING, "uid-ada", [verifier], cookie[:-2], NOW) is None
    another = MasterKeys.generate().key_ring(Purpose, "uid-ada")
    assert read_cookie(another, "uid-ada", [verifier], cookie, NOW) is None


def test_an_administrators_cookie_ends_with_its_key_and_its_time() -> None:
    cookie = make_admin_cookie(Secret("k"), NOW)
    assert is_admin_cookie(Secret("k"), cookie, NOW + ADMIN_SECONDS - 1)
    assert not is_admin_cookie(Secret("l"), cookie, NOW)
    assert not is_admin_cookie(Secret("k"), cookie, NOW + ADMIN_SECONDS + 60)
    # A person's cookie is no administrator's.
    assert not is_admin_cookie(Secret("k"), make_cookie(RING, "uid-ada", make_verifier(RING, "t"), NOW), NOW)


def test_a_device_token_verifies_itself() -> None:
    token = make_device_token(RING, DEVICE, "operator")
    assert find_device(RING, [DEVICE], token) == (DEVICE, "operator")
    assert make_device_token(RING, DEVICE, "operator") == token


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("removed", []),
        ("paired again: another uid", [replace(DEVICE, uid="uid-d2")]),
        ("revoked or rotated", [replace(DEVICE, generation=3)]),
        ("a restored older object", [replace(DEVICE, generation=1)]),
        ("approval withdrawn", [replace(DEVICE, approved=None)]),
        ("role withdrawn", [replace(DEVICE, approved=replace(GRANT, roles=("node",)))]),
    ],
)
def test_a_device_token_ends_with_what_it_was_given_for(name: str, devices: list[DeviceFacts]) -> None:
    assert find_device(RING, devices, make_device_token(RING, DEVICE, "operator")) is None, name


def test_a_device_token_cannot_be_altered() -> None:
    token = make_device_token(RING, DEVICE, "operator")
    for forged in (token.replace("operator", "node"), token.replace(".2.", ".3."), token[:-1], token + "A", "mbd1.", ""):
        assert find_device(RING, [DEVICE, replace(DEVICE, generation=3)], forged) is None
    assert find_device(MasterKeys.generate().key_ring(Purpose, "uid-ada"), [DEVICE], token) is None


def test_device_tokens_of_the_key_before_still_count_while_rotating() -> None:
    old = MasterKeys.generate("1.a")
    token = make_device_token(old.key_ring(Purpose, "uid-ada"), DEVICE, "operator")
    both = MasterKeys("2", {**old.keys, **MasterKeys.generate("2").keys}).key_ring(Purpose, "uid-ada")
    assert find_device(both, [DEVICE], token) is not None


def test_an_explicit_credential_wins_over_a_cookie() -> None:
    verifier = make_verifier(RING, "t")
    ada = moltbot(verifiers=(verifier,))
    cookie = make_cookie(RING, ada.uid, verifier, NOW)
    token = make_device_token(RING, DEVICE, "operator")

    def kind(query: str, authorization: str) -> Kind | None:
        shown = read_presented(query, authorization, {"moltbot": cookie}, secure=False)
        passed = check_presented(RING, ada, [DEVICE], shown, NOW)
        return passed.kind if passed is not None else None

    assert kind("", "") is Kind.COOKIE
    assert kind("token=t", "") is Kind.TOKEN
    assert kind("token=t", f"Bearer {token}") is Kind.DEVICE
    assert kind("token=wrong", "Bearer wrong") is Kind.COOKIE


def test_limit_counts_by_address_and_forgets() -> None:
    limit = AttemptLimit(attempts=3, window=60, block=300)
    for _ in range(2):
        limit.count_wrong("10.0.0.1", 0)
    assert limit.blocked_for("10.0.0.1", 0) == 0
    limit.count_wrong("10.0.0.1", 1)
    assert limit.blocked_for("10.0.0.1", 1) == 300
    assert limit.blocked_for("10.0.0.2", 1) == 0
    assert limit.blocked_for("10.0.0.1", 302) == 0
    limit.count_wrong("10.0.0.1", 302)
    assert limit.blocked_for("10.0.0.1", 302) == 0
    for _ in range(2):
        limit.count_wrong("10.0.0.3", 0)
    limit.forget("10.0.0.3")
    limit.count_wrong("10.0.0.3", 0)
    assert limit.blocked_for("10.0.0.3", 0) == 0


def test_limit_counts_an_ipv6_network_as_one_and_mapped_addresses_as_themselves() -> None:
    limit = AttemptLimit(attempts=2)
    limit.count_wrong("2001:db8::1", 0)
    limit.count_wrong("2001:db8::ffff", 0)
    assert limit.blocked_for("2001:db8:0:0:5::9", 0) > 0
    limit.count_wrong("::ffff:10.0.0.1", 0)
    limit.count_wrong("10.0.0.1", 0)
    assert limit.blocked_for("10.0.0.1", 0) > 0


def test_limit_has_a_bounded_memory() -> None:
    limit = AttemptLimit()
    for number in range(MAX_ADDRESSES + 500):
        limit.count_wrong(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 0)
    assert len(limit) == MAX_ADDRESSES


def test_a_key_that_is_none_verifies_nothing() -> None:
    assert not verify_ed25519(b"short", b"m", b"s" * 64)
    assert not verify_ed25519(bytes(32), b"m", b"s" * 64)


# pairing


def connect(scopes: list[str] | None = None, role: str = "operator") -> Connect:
    document: dict[str, Any] = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "role": role,
        "client": {"id": "cli", "version": "1", "platform": "Linux", "mode": "cli", "displayName": "x\n" + "n" * 200},
    }
    if scopes is not None:
        document["scopes"] = scopes
    return parse_connect(document)


@pytest.mark.parametrize(
    ("name", "asked", "protocol", "device", "scopes"),
    [
        ("by name", ["operator.read", "operator.read"], 4, None, ("operator.read",)),
        ("words that are no scope", ["operator.read", "everything"], 4, None, ("operator.read",)),
        ("nothing, version 3", None, 3, None, ("operator.admin",)),
        ("nothing, version 4", [], 4, None, ("operator.read", "operator.write")),
        ("nothing, approved before", None, 3, DEVICE, GRANT.scopes),
    ],
)
def test_what_a_connection_asks_for(
    name: str, asked: list[str] | None, protocol: int, device: DeviceFacts | None, scopes: tuple[str, ...]
) -> None:
    assert wished(connect(asked), protocol, device) == Wish("operator", scopes), name


def test_what_is_missing() -> None:
    assert missing_grant(None, Wish("operator", ())) is Reason.NOT_PAIRED
    assert missing_grant(replace(DEVICE, approved=None), Wish("operator", ())) is Reason.NOT_PAIRED
    assert missing_grant(DEVICE, Wish("node", ())) is Reason.ROLE
    assert missing_grant(DEVICE, Wish("operator", ("operator.admin",))) is Reason.SCOPE
    assert missing_grant(DEVICE, Wish("operator", ("operator.read",))) is None


class Desk:
    """Pairing over a cluster in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = MemoryCluster(self.clock)
        self.cluster.add(moltbot())
        self.pairing = Pairing(self.cluster, self.cluster, self.clock)

    async def ask(self, number: int = 1, scopes: list[str] | None = None) -> Refused:
        with pytest.raises(Refused) as refused:
            await self.admit(number, scopes)
        return refused.value

    async def admit(self, number: int = 1, scopes: list[str] | None = None) -> DeviceFacts:
        proven = ProvenDevice(f"{number:064x}", "A" * 43)
        device, _ = await self.pairing.admit(ADA, proven, connect(scopes or ["operator.read"]), 4)
        return device

    @property
    def devices(self) -> dict[str, DeviceFacts]:
        return self.cluster.truth[ADA].devices


async def test_asking_again_is_the_same_request_while_it_lives() -> None:
    desk = Desk()
    first = await desk.ask()
    desk.clock.set(200)
    assert (await desk.ask()).request_id == first.request_id
    desk.clock.set(150)
    assert (await desk.ask()).request_id != first.request_id
    assert len(desk.devices) == 1


async def test_the_object_decides_not_the_watch() -> None:
    """The watch may be behind: nobody who was approved is refused, and nothing is created twice."""
    desk = Desk()
    refused = await desk.ask()
    desk.cluster.lagging = True
    await desk.pairing.approve(ADA, f"{1:064x}", refused.request_id, "a person")
    assert (await desk.admit()).approved is not None
    desk.cluster.lagging = False
    desk.cluster.truth[ADA].devices.clear()
    desk.cluster.lagging = True
    assert (await desk.ask()).reason is Reason.NOT_PAIRED


async def test_two_connections_at_once_make_one_request() -> None:
    desk = Desk()
    refused = await asyncio.gather(desk.ask(), desk.ask())
    assert refused[0].request_id == refused[1].request_id
    assert len(desk.devices) == 1


async def test_only_so_many_may_wait_and_a_known_one_still_may() -> None:
    desk = Desk()
    for number in range(MAX_PENDING):
        await desk.ask(number)
    full = await desk.ask(99)
    assert full.request_id == ""
    assert "too many" in full.message
    assert len(desk.devices) == MAX_PENDING
    assert (await desk.ask(3)).request_id
    desk.clock.set(301)
    assert (await desk.ask(99)).request_id


async def test_hostile_self_descriptions_are_cut_and_made_printable() -> None:
    desk = Desk()
    await desk.ask()
    device = next(iter(desk.devices.values()))
    assert len(device.name) == 128
    assert device.name.isprintable()


async def test_approving_is_of_exactly_the_request_that_was_shown() -> None:
    desk = Desk()
    first = await desk.ask()
    second = await desk.ask(scopes=["operator.admin"])
    with pytest.raises(Conflict):
        await desk.pairing.approve(ADA, f"{1:064x}", first.request_id, "a person")
    desk.clock.set(301)
    with pytest.raises(Conflict, match="older than five minutes"):
        await desk.pairing.approve(ADA, f"{1:064x}", second.request_id, "a person")


async def test_what_nobody_answers_goes_and_what_was_granted_stays() -> None:
    desk = Desk()
    await desk.ask(1)
    refused = await desk.ask(2)
    await desk.pairing.approve(ADA, f"{2:064x}", refused.request_id, "a person")
    await desk.ask(2, ["operator.admin"])
    await desk.pairing.tidy(ADA)
    assert {device.shown_state for device in desk.devices.values() if device.approved} <= {"", "Approved"}
    desk.clock.set(301)
    await desk.pairing.tidy(ADA)
    assert list(desk.devices) == [f"{2:064x}"]
    assert desk.devices[f"{2:064x}"].request is None
    await desk.pairing.tidy(ADA)
    assert desk.devices[f"{2:064x}"].shown_state == "Approved"
    version = desk.devices[f"{2:064x}"].resource_version
    await desk.pairing.tidy(ADA)
    assert desk.devices[f"{2:064x}"].resource_version == version


async def test_last_seen_is_written_at_most_every_five_minutes() -> None:
    desk = Desk()
    refused = await desk.ask()
    device = await desk.pairing.approve(ADA, f"{1:064x}", refused.request_id, "a person")
    await desk.pairing.note_seen(ADA, device)
    version = desk.devices[device.device_id].resource_version
    desk.clock.set(299)
    await desk.pairing.note_seen(ADA, device)
    assert desk.devices[device.device_id].resource_version == version
    desk.clock.set(2)
    await desk.pairing.note_seen(ADA, desk.devices[device.device_id])
    assert desk.devices[device.device_id].resource_version != version


async def test_an_api_that_does_not_answer_refuses_nobody_for_good() -> None:
    desk = Desk()
    desk.cluster.fail_next = [Unavailable("no answer")]
    with pytest.raises(Unavailable):
        await desk.admit()
    assert isinstance(RequestFacts("r", AT, "operator", ()), RequestFacts)
    assert Client("cli", "1", "x", "cli").display_name == ""
    assert timedelta(minutes=5).total_seconds() == 300
