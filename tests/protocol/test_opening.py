"""connect, device identity and hello-ok, by the words and shapes of the official servers (reference: the protocol, §2)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from moltbot_protocol.connect import negotiate, parse_connect, protocol_mismatch
from moltbot_protocol.errors import CloseCode, IdentityError, ParamsError
from moltbot_protocol.hello import DeviceGrant, Hello, build_hello
from moltbot_protocol.identity import SignedFields, decode_base64url, device_id, encode_base64url, verify_device

KEY = Ed25519PrivateKey.generate()
RAW = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
NOW_MS = 1_800_000_000_000
NONCE = "nonce-1"


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def params(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "minProtocol": 3,
        "maxProtocol": 4,
        "client": {"id": "cli", "version": "1", "platform": " Linux ", "mode": "cli", "deviceFamily": "Desktop"},
        "role": "operator",
        "scopes": ["operator.read", "operator.write"],
        "auth": {"token": "t"},
    }
    return made | changes


def signed(payload: str = "v3", *, token: str = "t", nonce: str = NONCE, at: int = NOW_MS, **changes: Any) -> dict[str, Any]:
    fields = SignedFields(
        device_id(RAW), "cli", "cli", "operator", ("operator.read", "operator.write"), at, token, nonce, " Linux ", "Desktop"
    )
    message = {"v1": fields.payload_v1(), "v2": fields.payload_v2(), "v3": fields.payload_v3()}[payload]
    device = {
        "id": device_id(RAW),
        "publicKey": encode_base64url(RAW),
        "signature": encode_base64url(KEY.sign(message)),
        "signedAt": at,
        "nonce": nonce,
    }
    return params(device=device | changes)


def test_payloads_are_the_documented_strings() -> None:
    fields = SignedFields("id", "cli", "ui", "operator", ("a", "b"), 5, "t", "n", " MacOS ", "Phone")
    assert fields.payload_v1() == b"v1|id|cli|ui|operator|a,b|5|t"
    assert fields.payload_v2() == b"v2|id|cli|ui|operator|a,b|5|t|n"
    assert fields.payload_v3() == b"v3|id|cli|ui|operator|a,b|5|t|n|macos|phone"
    assert device_id(RAW) == hashlib.sha256(RAW).hexdigest()


@pytest.mark.parametrize("payload", ["v2", "v3"])
def test_a_device_that_signed_is_proven(payload: str) -> None:
    proven = verify_device(parse_connect(signed(payload)), nonce=NONCE, protocol=4, now_ms=NOW_MS + 60_000, verify=verify)
    assert proven is not None
    assert proven.id == device_id(RAW)
    assert verify_device(parse_connect(params()), nonce=NONCE, protocol=4, now_ms=NOW_MS, verify=verify) is None


def test_padded_and_plain_base64_are_taken() -> None:
    document = signed()
    document["device"]["publicKey"] = base64.b64encode(RAW).decode()
    document["device"]["signature"] = base64.b64encode(decode_base64url(document["device"]["signature"])).decode()
    assert verify_device(parse_connect(document), nonce=NONCE, protocol=4, now_ms=NOW_MS, verify=verify) is not None


@pytest.mark.parametrize(
    ("name", "document", "protocol", "code"),
    [
        ("without a nonce in the signature", signed("v1"), 4, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ("without a nonce", signed("v1", nonce=""), 3, "DEVICE_AUTH_NONCE_REQUIRED"),
        ("another nonce", signed(nonce="other"), 4, "DEVICE_AUTH_NONCE_MISMATCH"),
        ("old for version 4", signed(at=NOW_MS - 130_000), 4, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        ("ahead", signed(at=NOW_MS + 130_000), 4, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        ("another token", signed(token="u"), 4, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ("another id", signed(id="0" * 64), 4, "DEVICE_AUTH_DEVICE_ID_MISMATCH"),
        ("no key", signed(publicKey="!"), 4, "DEVICE_AUTH_PUBLIC_KEY_INVALID"),
        ("short key", signed(publicKey="AAAA"), 4, "DEVICE_AUTH_PUBLIC_KEY_INVALID"),
        ("no signature", signed(signature="!"), 4, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ("short signature", signed(signature="AAAA"), 4, "DEVICE_AUTH_SIGNATURE_INVALID"),
    ],
)
def test_whatever_proves_nothing_is_refused(name: str, document: dict[str, Any], protocol: int, code: str) -> None:
    with pytest.raises(IdentityError) as error:
        verify_device(parse_connect(document), nonce=NONCE, protocol=protocol, now_ms=NOW_MS, verify=verify)
    assert isinstance(error.value.details, dict)
    assert error.value.details["code"] == code, name
    assert error.value.close is CloseCode.POLICY


def test_version_3_tolerates_ten_minutes() -> None:
    connect = parse_connect(signed(at=NOW_MS - 130_000))
    assert verify_device(connect, nonce=NONCE, protocol=3, now_ms=NOW_MS, verify=verify) is not None


@pytest.mark.parametrize(
    ("auth", "token"),
    [({}, ""), ({"token": "a", "deviceToken": "b"}, "a"), ({"deviceToken": "b"}, "b"), ({"password": "p"}, ""), ({"token": ""}, "")],
)
def test_the_signed_token_is_the_first_that_was_sent(auth: dict[str, str], token: str) -> None:
    assert parse_connect(params(auth=auth)).auth.signature_token == token


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foo": 1}, "invalid connect params: at root: unexpected property 'foo'"),
        ({"client": {"id": "cli", "version": "1", "platform": "x", "mode": "cli", "y": 1}}, "at /client: unexpected property 'y'"),
        ({"client": {"id": "cli"}}, "at /client: must have required property 'version'"),
        ({"client": {"id": "Bad Id", "version": "1", "platform": "x", "mode": "cli"}}, "at /client/id"),
        ({"client": {"id": "cli", "version": "1", "platform": "x", "mode": "spy"}}, "at /client/mode"),
        ({"minProtocol": "3"}, "at /minProtocol: must be integer"),
        ({"minProtocol": True}, "at /minProtocol: must be integer"),
        ({"scopes": ["x"] * 33}, "at /scopes: must NOT have more than 32 items"),
        ({"role": "king"}, "invalid role"),
        ({"auth": {"token": "x" * 5000}}, "at /auth/token: must NOT have more than 4096 characters"),
    ],
)
def test_bad_connect_params_are_told_in_the_official_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse_connect(params(**changes))
    assert message in error.value.message
    with pytest.raises(ParamsError):
        parse_connect(None)


@pytest.mark.parametrize(
    "client",
    [
        "webchat-ui",
        "webchat",
        "cli",
        "gateway-client",
        "node-host",
        "test",
        "fingerprint",
        "openclaw-control-ui",
        "openclaw-tui",
        "clawdbot-macos",
    ],
)
def test_official_clients_are_let_in(client: str) -> None:
    document = params(client={"id": client, "version": "2026.9.6", "platform": "darwin", "mode": "ui", "buildId": "b", "timeZone": "UTC"})
    assert parse_connect(document).client.id == client


@pytest.mark.parametrize(("low", "high", "spoken"), [(3, 3, 3), (3, 4, 4), (4, 9, 4), (1, 2, None), (5, 9, None), (1, 9, 4)])
def test_both_sides_speak_the_newest_common_version(low: int, high: int, spoken: int | None) -> None:
    connect = parse_connect(params(minProtocol=low, maxProtocol=high))
    assert negotiate(connect) == spoken
    assert protocol_mismatch(connect).to_wire()["details"] == {
        "code": "PROTOCOL_MISMATCH",
        "clientMinProtocol": low,
        "clientMaxProtocol": high,
        "expectedProtocol": 4,
        "minimumProbeProtocol": 3,
    }


def test_auth_shows_no_token() -> None:
    assert "hush" not in repr(parse_connect(params(auth={"token": "hush"})))


def test_hello_has_what_each_version_requires() -> None:
    grant = DeviceGrant("operator", ("operator.read",), "device-token", 5)
    four = build_hello(Hello(4, "1.0", "c1", grant, {"ok": True}, 10, name="ada", model_configured=False))
    assert four["auth"] == {"role": "operator", "scopes": ["operator.read"], "deviceToken": "device-token", "issuedAtMs": 5}
    assert four["snapshot"]["sessionDefaults"]["modelConfigured"] is False  # type: ignore[index]
    assert four["policy"]["attachments"] == {"maxBytes": 19_464_192, "maxImageBytes": 6_291_456}  # type: ignore[index]
    assert {"version", "connId", "buildId", "bootId", "name"} == set(four["server"])  # type: ignore[call-overload]
    three = build_hello(Hello(3, "1.0", "c1", DeviceGrant("operator", ()), {"ok": True}, 10))
    assert "auth" not in three
    assert "modelConfigured" not in three["snapshot"]["sessionDefaults"]  # type: ignore[index]
    assert three["policy"] == {"maxPayload": 524_288, "maxBufferedBytes": 1_572_864, "tickIntervalMs": 30_000}
