"""The router's cookies: JWTs under the Moltbot's own `router` key (or the administration's key), each for one audience.

A person's cookie is bound to this Moltbot (key and audience) and to the gateway token that made it (its verifier): when the token is
rotated, the cookie ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from moltbot_trust.errors import CredentialError
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.redaction import Secret
from moltbot_trust.tokens import make_token, read_token
from moltbot_trust.verifiers import Verifier

# A browser that is used at least once in this time stays in (seconds): each page renews the cookie when half of it is over.
COOKIE_SECONDS = 30 * 24 * 3600
ADMIN_SECONDS = 12 * 3600
_ADMIN_AUDIENCE = "moltbot-administration"


def make_cookie(ring: KeyRing, moltbot_uid: str, verifier: Verifier, now: float) -> str:
    """The value of a person's cookie."""
    claims = {"aud": f"cookie:{moltbot_uid}", "exp": int(now) + COOKIE_SECONDS, "token": _bound(verifier)}
    return make_token(ring, Purpose.ROUTER, claims)


def read_cookie(ring: KeyRing, moltbot_uid: str, verifiers: Iterable[Verifier], value: str, now: float) -> tuple[Verifier, bool] | None:
    """(the verifier it is bound to, whether it should be renewed), or None when it does not count."""
    try:
        claims = read_token(ring, Purpose.ROUTER, value, audience=f"cookie:{moltbot_uid}", now=now)
    except CredentialError:
        return None
    verifier = next((verifier for verifier in verifiers if _bound(verifier) == claims.get("token")), None)
    if verifier is None:
        return None
    expires = claims["exp"]
    assert isinstance(expires, int)
    return verifier, expires - now < COOKIE_SECONDS / 2


def _bound(verifier: Verifier) -> str:
    return hashlib.sha256(f"{verifier.key_id}\0{verifier.value}".encode()).hexdigest()[:32]


def admin_ring(key: Secret) -> KeyRing:
    """A key ring of the administration key's own: another key ends every session."""
    derived = hashlib.sha256(b"moltbot administration session\0" + key.reveal().encode()).digest()
    return KeyRing("admin", {Purpose.ROUTER: {"admin": derived}})


def make_admin_cookie(key: Secret, now: float) -> str:
    """The value of an administrator's cookie."""
    return make_token(admin_ring(key), Purpose.ROUTER, {"aud": _ADMIN_AUDIENCE, "exp": int(now) + ADMIN_SECONDS})


def is_admin_cookie(key: Secret, value: str, now: float) -> bool:
    """Whether this cookie was made under this key and is young enough."""
    try:
        read_token(admin_ring(key), Purpose.ROUTER, value, audience=_ADMIN_AUDIENCE, now=now)
    except CredentialError:
        return False
    return True
