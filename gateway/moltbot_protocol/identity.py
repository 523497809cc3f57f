"""A device proves that it holds its Ed25519 key by signing what it is about to say. The payloads, and the order in which they are tried.

The verifying itself is a function that the caller brings: the router has `cryptography`, the gateway's environment does not need it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from moltbot_protocol.connect import Connect, Device
from moltbot_protocol.errors import CloseCode, IdentityError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
# How far a device's clock may be off (ms): version 3 allows 10 minutes, version 4 two.
SKEW_MS = {3: 10 * 60 * 1000, 4: 2 * 60 * 1000}

# (raw public key, message, signature) → does it verify. Must not raise.
Verify = Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class ProvenDevice:
    """A device whose signature verified. `public_key` is base64url as the device object keeps it."""

    id: str
    public_key: str


def device_id(public_key: bytes) -> str:
    """Hex SHA-256 of the raw key."""
    return hashlib.sha256(public_key).hexdigest()


def decode_base64url(text: str) -> bytes:
    """base64url, padded or not; plain base64 is taken too, as the official servers do. Raises ValueError."""
    plain = text.strip().replace("+", "-").replace("/", "_").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error


def encode_base64url(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True, repr=False)
class SignedFields:
    """What every payload version carries, in this order."""

    device_id: str
    client_id: str
    client_mode: str
    role: str
    scopes: tuple[str, ...]
    signed_at: int
    token: str
    nonce: str = ""
    platform: str = ""
    device_family: str = ""

    def _common(self, version: str) -> list[str]:
        return [
            version,
            self.device_id,
            self.client_id,
            self.client_mode,
            self.role,
            ",".join(self.scopes),
            str(self.signed_at),
            self.token,
        ]

    def payload_v1(self) -> bytes:
        """Without a nonce: whoever saw it can use it again, so no server of ours accepts it; here for tests of old clients."""
        return "|".join(self._common("v1")).encode()

    def payload_v2(self) -> bytes:
        """January 2026."""
        return "|".join([*self._common("v2"), self.nonce]).encode()

    def payload_v3(self) -> bytes:
        """Since protocol 4: what the device is, signed too."""
        extra = [self.nonce, self.platform.strip().lower(), self.device_family.strip().lower()]
        return "|".join([*self._common("v3"), *extra]).encode()


def signed_fields(connect: Connect, device: Device) -> SignedFields:
    """The fields of a `connect` as its sender signed them."""
    return SignedFields(
        device_id=device.id,
        client_id=connect.client.id,
        client_mode=connect.client.mode,
        role=connect.role,
        scopes=connect.scopes or (),
        signed_at=device.signed_at,
        token=connect.auth.signature_token,
        nonce=device.nonce,
        platform=connect.client.platform,
        device_family=connect.client.device_family,
    )


def verify_device(connect: Connect, *, nonce: str, protocol: int, now_ms: int, verify: Verify) -> ProvenDevice | None:
    """Check everything a `connect` says about its device; None when it names none.

    Raises IdentityError with the official wording and code; the connection ends with 1008 then.
    """
    device = connect.device
    if device is None:
        return None
    try:
        public_key = decode_base64url(device.public_key)
    except ValueError as error:
        raise _invalid("device public key invalid", "DEVICE_AUTH_PUBLIC_KEY_INVALID") from error
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise _invalid("device public key invalid", "DEVICE_AUTH_PUBLIC_KEY_INVALID")
    if not hmac.compare_digest(device_id(public_key).encode(), device.id.encode()):
        raise _invalid("device identity mismatch", "DEVICE_AUTH_DEVICE_ID_MISMATCH")
    if abs(now_ms - device.signed_at) > SKEW_MS[protocol]:
        raise _invalid("device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED")
    if not device.nonce:
        raise _invalid("device nonce required", "DEVICE_AUTH_NONCE_REQUIRED")
    if not hmac.compare_digest(device.nonce.encode(), nonce.encode()):
        raise _invalid("device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH")
    try:
        signature = decode_base64url(device.signature)
    except ValueError as error:
        raise _invalid("device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID") from error
    fields = signed_fields(connect, device)
    if len(signature) != SIGNATURE_BYTES or not any(
        verify(public_key, payload, signature) for payload in (fields.payload_v3(), fields.payload_v2())
    ):
        raise _invalid("device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID")
    return ProvenDevice(device.id, encode_base64url(public_key))


def _invalid(message: str, code: str) -> IdentityError:
    return IdentityError(message, details={"code": code, "reason": message}, close=CloseCode.POLICY)
