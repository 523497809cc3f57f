"""Verifiers: what `status.verifiers` carries, so that the router checks the gateway token without reading any Secret (rule 10)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from moltbot_trust.keys import KeyRing, Purpose, decode_bytes, encode_bytes

# A gateway token longer than this is refused unread; the official ones have 43 to 64 characters.
MAX_TOKEN_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Verifier:
    """`{keyId, value}` of internals.md: base64url(HMAC(key of operator-router, SHA-256(token)))."""

    key_id: str
    value: str


def make_verifier(ring: KeyRing, token: str) -> Verifier:
    """The verifier of a token under the current key."""
    kid, key = ring.signing_key(Purpose.OPERATOR_ROUTER)
    return Verifier(kid, encode_bytes(_digest(key, token)))


def match_verifier(ring: KeyRing, verifiers: Iterable[Verifier], token: str) -> Verifier | None:
    """The verifier that this token fits, or None. Constant time for each verifier; a value that is not base64url fits nothing."""
    if not token or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    found: Verifier | None = None
    for verifier in verifiers:
        key = ring.find(Purpose.OPERATOR_ROUTER, verifier.key_id)
        if key is None:
            continue
        try:
            wanted = decode_bytes(verifier.value)
        except ValueError:
            continue
        if hmac.compare_digest(_digest(key, token), wanted):
            found = verifier
    return found


def _digest(key: bytes, token: str) -> bytes:
    return hmac.digest(key, hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), hashlib.sha256)
