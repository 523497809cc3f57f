"""Seals, assertions and verifiers: what counts, and everything that must not (rule 10)."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from moltbot_trust.assertions import make_assertion, read_assertion
from moltbot_trust.errors import CredentialError, CredentialFault
from moltbot_trust.keys import BACKUP_PURPOSES, KeyRing, MasterKeys, Purpose
from moltbot_trust.seals import KnownSeals, Seal, SealMaker, make_seal, moltbot_audience, pod_audience, read_seal
from moltbot_trust.verifiers import Verifier, make_verifier, match_verifier

NOW = 1_800_000_000.0
RING = MasterKeys.generate().key_ring(Purpose, "uid")
SEAL = Seal("d" * 64, "operator", ("operator.read", "operator.write"), 3, "Firefox ✨")


def fault(call: Callable[[], object]) -> CredentialFault:
    with pytest.raises(CredentialError) as error:
        call()
    return error.value.fault


def test_a_seal_says_who_sends() -> None:
    assert read_seal(RING, make_seal(RING, SEAL, pod_uid="p1", now=NOW), pod_uid="p1", now=NOW) == SEAL


def test_a_seal_is_for_one_pod_and_for_two_minutes() -> None:
    token = make_seal(RING, SEAL, pod_uid="p1", now=NOW)
    assert fault(lambda: read_seal(RING, token, pod_uid="p2", now=NOW)) is CredentialFault.AUDIENCE
    assert read_seal(RING, token, pod_uid="p1", now=NOW + 149) == SEAL
    assert fault(lambda: read_seal(RING, token, pod_uid="p1", now=NOW + 150)) is CredentialFault.EXPIRED
    # Another host's clock may be behind.
    assert read_seal(RING, token, pod_uid="p1", now=NOW - 3600) == SEAL


def _forged(claims: dict[str, Any], *, key: bytes | None = None, algorithm: str = "HS256", headers: dict[str, Any] | None = None) -> str:
    good: dict[str, Any] = {
        "aud": "pod:p1",
        "exp": int(NOW) + 60,
        "sub": "d",
        "role": "operator",
        "scopes": [],
        "generation": 0,
        "name": "",
    }
    merged = {name: value for name, value in (good | claims).items() if value is not None}
    kid, own = RING.signing_key(Purpose.ROUTER_GATEWAY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        return jwt.encode(merged, own if key is None else key, algorithm=algorithm, headers=headers or {"kid": kid})


@pytest.mark.parametrize(
    ("name", "token", "expected"),
    [
        ("nothing", "", CredentialFault.MISSING),
        ("nonsense", "abc", CredentialFault.MALFORMED),
        ("huge", "a" * 9000, CredentialFault.MALFORMED),
        ("another key", _forged({}, key=b"k" * 32), CredentialFault.SIGNATURE),
        ("unknown key id", _forged({}, headers={"kid": "9"}), CredentialFault.UNKNOWN_KEY),
        ("no key id", _forged({}, headers={"x": "1"}), CredentialFault.UNKNOWN_KEY),
        ("another algorithm", _forged({}, algorithm="HS512"), CredentialFault.SIGNATURE),
        ("no expiry", _forged({"exp": None}), CredentialFault.AUDIENCE),
        ("no audience", _forged({"aud": None}), CredentialFault.AUDIENCE),
        ("a list that has the audience", _forged({"aud": ["pod:p1"]}), CredentialFault.AUDIENCE),
        ("a list of two", _forged({"aud": ["pod:p1", "pod:p2"]}), CredentialFault.AUDIENCE),
        ("expiry as text", _forged({"exp": "soon"}), CredentialFault.MALFORMED),
        ("expiry as a fraction", _forged({"exp": NOW + 0.5}), CredentialFault.MALFORMED),
        ("no subject", _forged({"sub": None}), CredentialFault.MALFORMED),
        ("empty subject", _forged({"sub": ""}), CredentialFault.MALFORMED),
        ("scopes as text", _forged({"scopes": "operator.admin"}), CredentialFault.MALFORMED),
        ("too many scopes", _forged({"scopes": ["x"] * 33}), CredentialFault.MALFORMED),
        ("generation as truth", _forged({"generation": True}), CredentialFault.MALFORMED),
        ("no role", _forged({"role": None}), CredentialFault.MALFORMED),
    ],
)
def test_whatever_is_not_a_seal_is_refused(name: str, token: str, expected: CredentialFault) -> None:
    assert fault(lambda: read_seal(RING, token, pod_uid="p1", now=NOW)) is expected, name


def test_unsigned_is_refused() -> None:
    kid, _ = RING.signing_key(Purpose.ROUTER_GATEWAY)
    parts = [{"alg": "none", "typ": "JWT", "kid": kid}, {"aud": "pod:p1", "exp": int(NOW) + 60, "sub": "d"}]
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."
    assert fault(lambda: read_seal(RING, token, pod_uid="p1", now=NOW)) is CredentialFault.SIGNATURE


def test_times_from_the_future_are_no_reason_to_refuse() -> None:
    """PyJWT would refuse an `iat` 2 s ahead: clocks of a cluster differ."""
    assert read_seal(RING, _forged({"iat": int(NOW) + 20, "nbf": int(NOW) + 20}), pod_uid="p1", now=NOW).device_id == "d"


def test_a_seal_is_made_once_a_minute_for_the_same_sender_and_pod() -> None:
    maker = SealMaker(limit=2)
    first = maker.seal(RING, SEAL, pod_uid="p1", now=NOW)
    assert maker.seal(RING, SEAL, pod_uid="p1", now=NOW + 59) is first
    assert maker.seal(RING, SEAL, pod_uid="p1", now=NOW + 60) != first
    other = Seal(SEAL.device_id, SEAL.role, SEAL.scopes, SEAL.generation + 1, SEAL.name)
    assert maker.seal(RING, other, pod_uid="p1", now=NOW + 60) != first
    for number in range(10):
        maker.seal(RING, SEAL, pod_uid=f"p{number}", now=NOW)
    assert len(maker._kept) == 2


def test_the_gateway_knows_a_seal_by_its_bytes_until_it_expires() -> None:
    known = KnownSeals(RING, "p1", limit=2)
    token = make_seal(RING, SEAL, pod_uid="p1", now=NOW)
    assert known.read(token, now=NOW) is known.read(token, now=NOW + 149)
    assert fault(lambda: known.read(token, now=NOW + 150)) is CredentialFault.EXPIRED
    assert fault(lambda: known.read(token + "x", now=NOW)) is CredentialFault.SIGNATURE
    for number in range(5):
        known.read(make_seal(RING, SEAL, pod_uid="p1", now=NOW + number), now=NOW)
    assert len(known._known) == 2


CALL: dict[str, Any] = {"method": "POST", "path": "/quiesce", "body": b'{"id":"1"}'}


def _assertion(ring: KeyRing = RING, purpose: Purpose = Purpose.OPERATOR_GATEWAY, audience: str = pod_audience("p1"), **call: Any) -> str:
    return make_assertion(ring, purpose, audience=audience, now=NOW, **(CALL | call))


ALLOWED = {Purpose.OPERATOR_GATEWAY: pod_audience("p1"), Purpose.BACKUP_STATE: moltbot_audience("uid")}


def test_an_assertion_is_for_one_call() -> None:
    token = _assertion()
    assert read_assertion(RING, ALLOWED, token, now=NOW, **CALL).purpose is Purpose.OPERATOR_GATEWAY
    for name, value in (("method", "GET"), ("path", "/commit"), ("body", b"{}")):
        assert fault(lambda name=name, value=value: read_assertion(RING, ALLOWED, token, now=NOW, **(CALL | {name: value}))) is (  # type: ignore[misc]
            CredentialFault.BINDING
        )


def test_an_assertion_lives_a_minute() -> None:
    token = _assertion()
    assert read_assertion(RING, ALLOWED, token, now=NOW + 89, **CALL)
    assert fault(lambda: read_assertion(RING, ALLOWED, token, now=NOW + 90, **CALL)) is CredentialFault.EXPIRED


def test_a_caller_of_another_purpose_or_for_another_pod_is_refused() -> None:
    assert fault(lambda: read_assertion(RING, ALLOWED, _assertion(purpose=Purpose.STATE_GATEWAY), now=NOW, **CALL))
    assert fault(lambda: read_assertion(RING, ALLOWED, _assertion(audience=pod_audience("p2")), now=NOW, **CALL))
    # The purpose's own audience: the backup's is the Moltbot, nobody else's is.
    assert fault(lambda: read_assertion(RING, ALLOWED, _assertion(audience=moltbot_audience("uid")), now=NOW, **CALL))
    backup = _assertion(purpose=Purpose.BACKUP_STATE, audience=moltbot_audience("uid"))
    assert read_assertion(RING, ALLOWED, backup, now=NOW, **CALL).purpose is Purpose.BACKUP_STATE
    other = MasterKeys.generate().key_ring(BACKUP_PURPOSES, "uid")
    assert fault(lambda: read_assertion(RING, ALLOWED, _assertion(other, Purpose.BACKUP_STATE, moltbot_audience("uid")), now=NOW, **CALL))
    assert fault(lambda: read_assertion(RING, {}, _assertion(), now=NOW, **CALL)) is CredentialFault.UNKNOWN_KEY


def test_a_verifier_fits_its_token_and_nothing_else() -> None:
    master = MasterKeys.generate()
    ring = master.key_ring(Purpose, "uid")
    verifier = make_verifier(ring, "token")
    stale = Verifier("9", verifier.value)
    bad = Verifier("1", "not base64url!")
    assert match_verifier(ring, [stale, bad, verifier], "token") == verifier
    assert match_verifier(ring, [verifier], "Token") is None
    assert match_verifier(ring, [verifier], "") is None
    assert match_verifier(ring, [verifier], "x" * 2000) is None
    assert match_verifier(ring, [], "token") is None
    assert match_verifier(ring, [verifier], "\udcff") is None
    assert match_verifier(master.key_ring(Purpose, "another"), [verifier], "token") is None
