"""The one way this project makes and reads a JWT (rule 10): HS256 and nothing else, `kid`, `exp` and `aud` always there, one audience
compared strictly.

`exp` is compared here with the caller's time rather than inside PyJWT, which reads the system clock: the same 30 s of leeway, and tests
own the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from moltbot_trust.errors import CredentialError, CredentialFault
from moltbot_trust.keys import KeyRing, Purpose

ALGORITHM = "HS256"
# Two hosts of a cluster may disagree about the time by this much (seconds).
LEEWAY_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8192
_OPTIONS: Any = {"require": ["exp", "aud"], "strict_aud": True, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


def make_token(ring: KeyRing, purpose: Purpose, claims: Mapping[str, object]) -> str:
    """Sign with the current key of the purpose; the claims must have `aud` and `exp`."""
    kid, key = ring.signing_key(purpose)
    return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers={"kid": kid})


def read_token(ring: KeyRing, purpose: Purpose, token: str, *, audience: str, now: float) -> dict[str, object]:
    """The claims of a valid token. `now` in seconds since the epoch. Raises CredentialError."""
    if not token:
        raise CredentialError(CredentialFault.MISSING)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise CredentialError(CredentialFault.MALFORMED, "longer than 8 KiB")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise CredentialError(CredentialFault.MALFORMED) from error
    kid = header.get("kid")
    key = ring.find(purpose, kid) if isinstance(kid, str) else None
    if key is None:
        raise CredentialError(CredentialFault.UNKNOWN_KEY)
    try:
        claims: dict[str, object] = jwt.decode(token, key, algorithms=[ALGORITHM], audience=audience, options=_OPTIONS)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
        raise CredentialError(CredentialFault.SIGNATURE) from error
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError) as error:
        raise CredentialError(CredentialFault.AUDIENCE) from error
    except jwt.InvalidTokenError as error:
        raise CredentialError(CredentialFault.MALFORMED) from error
    expires = claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int):
        raise CredentialError(CredentialFault.MALFORMED, "exp is not whole seconds")
    if now >= expires + LEEWAY_SECONDS:
        raise CredentialError(CredentialFault.EXPIRED)
    return claims
