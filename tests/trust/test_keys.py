"""Derived keys, rings and rotation (rule 10)."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys

import pytest

from moltbot_trust.errors import KeyRingError
from moltbot_trust.keys import (
    GATEWAY_PURPOSES,
    ROUTER_PURPOSES,
    BranchRing,
    KeyRing,
    MasterKeys,
    Purpose,
    derive_branch,
    derive_key,
    encode_bytes,
)


def test_derivation_is_the_documented_one() -> None:
    master = bytes(range(32))
    branch = hmac.digest(master, b'[1,"router-gateway"]', hashlib.sha256)
    assert derive_branch(master, Purpose.ROUTER_GATEWAY) == branch
    assert derive_key(branch, "uid-1") == hmac.digest(branch, b'["uid-1"]', hashlib.sha256)


def test_every_purpose_and_every_moltbot_has_keys_of_its_own() -> None:
    master = MasterKeys.generate()
    keys = {ring.signing_key(purpose)[1] for uid in ("a", "b", "ab") for ring in [master.key_ring(Purpose, uid)] for purpose in Purpose}
    assert len(keys) == 3 * len(Purpose)


def test_branches_derive_what_the_master_derives() -> None:
    master = MasterKeys.generate()
    through_branches = BranchRing.parse(master.branches(ROUTER_PURPOSES).to_json()).for_moltbot("uid")
    assert through_branches.keys == master.key_ring(ROUTER_PURPOSES, "uid").keys


def test_a_pod_holds_only_its_own_purposes() -> None:
    ring = MasterKeys.generate().key_ring(GATEWAY_PURPOSES, "uid")
    with pytest.raises(KeyRingError, match="operator-router"):
        ring.signing_key(Purpose.OPERATOR_ROUTER)
    with pytest.raises(KeyRingError, match=r"router$"):
        ring.require({Purpose.ROUTER})


def test_two_key_ids_are_valid_while_rotating() -> None:
    old = MasterKeys.generate("1")
    both = MasterKeys("2", {**old.keys, **MasterKeys.generate("2").keys})
    ring = both.key_ring(GATEWAY_PURPOSES, "uid")
    assert ring.signing_key(Purpose.ROUTER_GATEWAY)[0] == "2"
    assert ring.find(Purpose.ROUTER_GATEWAY, "1") == old.key_ring(GATEWAY_PURPOSES, "uid").signing_key(Purpose.ROUTER_GATEWAY)[1]
    assert ring.find(Purpose.ROUTER_GATEWAY, "0") is None


def test_rings_and_master_keys_read_what_they_write() -> None:
    master = MasterKeys.generate("2026-11")
    assert MasterKeys.parse(master.to_data()) == master
    ring = master.key_ring(GATEWAY_PURPOSES, "uid")
    assert KeyRing.parse(ring.to_json()) == ring
    assert KeyRing.parse(ring.to_json()).to_json() == ring.to_json()


def test_unknown_purposes_are_ignored_so_that_a_newer_operator_may_add_some() -> None:
    document = json.loads(MasterKeys.generate().key_ring(GATEWAY_PURPOSES, "uid").to_json())
    document["keys"]["gateway-moon"] = {"1": "x"}
    assert set(KeyRing.parse(json.dumps(document)).keys) == GATEWAY_PURPOSES


GOOD = encode_bytes(bytes(32))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no JSON", "{"),
        ("a list", "[]"),
        ("no keys", '{"current": "1"}'),
        ("no purpose that is known", '{"current": "1", "keys": {}}'),
        ("no current", '{"keys": {"router": {"1": "' + GOOD + '"}}}'),
        ("current is missing among the keys", '{"current": "2", "keys": {"router": {"1": "' + GOOD + '"}}}'),
        ("short", '{"current": "1", "keys": {"router": {"1": "AAAA"}}}'),
        ("not base64url", '{"current": "1", "keys": {"router": {"1": "' + "!" * 43 + '"}}}'),
        ("number", '{"current": "1", "keys": {"router": {"1": 5}}}'),
        ("too many ids", '{"current": "1", "keys": {"router": {' + ",".join(f'"{n}": "{GOOD}"' for n in range(9)) + "}}}"),
        ("bad id", '{"current": "..", "keys": {"router": {"..": "' + GOOD + '"}}}'),
        ("huge", "x" * 70_000),
    ],
)
def test_a_bad_ring_is_refused_without_showing_a_key(name: str, text: str) -> None:
    with pytest.raises(KeyRingError) as error:
        KeyRing.parse(text)
    assert GOOD not in str(error.value), name


def test_repr_shows_no_key() -> None:
    master = MasterKeys.generate()
    ring = master.key_ring(GATEWAY_PURPOSES, "uid")
    for shown in (repr(master), repr(ring), repr(master.branches(ROUTER_PURPOSES))):
        assert encode_bytes(next(iter(master.keys.values()))) not in shown
        assert "\\x" not in shown


def test_reading_keys_and_seals_imports_no_http_library() -> None:
    """The gateway reads them before it listens: 0.3 s of imports there would be 0.3 s of every wake."""
    program = "import moltbot_trust.keys, moltbot_trust.seals, moltbot_trust.settings, moltbot_trust.logs, moltbot_trust.tls, sys; "
    program += "print([name for name in ('aiohttp', 'yarl', 'pydantic', 'anthropic', 'boto3') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
