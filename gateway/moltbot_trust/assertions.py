"""Assertions: one signed statement for one control call (rule 10). It names the callee, the purpose, and binds method, path and the
SHA-256 of the body for 60 s."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from moltbot_trust.errors import CredentialError, CredentialFault
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.tokens import make_token, read_token

HEADER = "Moltbot-Assertion"
VALID_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Assertion:
    """What was proven: who calls (by purpose), and whom they meant."""

    purpose: Purpose
    audience: str


def _body_digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def make_assertion(ring: KeyRing, purpose: Purpose, *, audience: str, method: str, path: str, body: bytes, now: float) -> str:
    """Sign one call. `path` as it goes over the wire, query included; `now` in seconds since the epoch."""
    return make_token(
        ring,
        purpose,
        {
            "aud": audience,
            "exp": int(now) + VALID_SECONDS,
            "purpose": purpose.value,
            "method": method.upper(),
            "path": path,
            "body": _body_digest(body),
        },
    )


def read_assertion(
    ring: KeyRing, allowed: Mapping[Purpose, str], token: str, *, method: str, path: str, body: bytes, now: float
) -> Assertion:
    """Verify a call against the purposes that may make it, each with the audience that it must name.

    Raises CredentialError: the most telling fault (that another purpose's key did not sign it tells nothing).
    """
    failure = CredentialError(CredentialFault.UNKNOWN_KEY)
    for purpose, audience in allowed.items():
        try:
            claims = read_token(ring, purpose, token, audience=audience, now=now)
        except CredentialError as error:
            if failure.fault in (CredentialFault.UNKNOWN_KEY, CredentialFault.SIGNATURE):
                failure = error
            continue
        _check_binding(claims, purpose, method, path, body)
        return Assertion(purpose, audience)
    raise failure


def _check_binding(claims: Mapping[str, object], purpose: Purpose, method: str, path: str, body: bytes) -> None:
    wanted = {"purpose": purpose.value, "method": method.upper(), "path": path, "body": _body_digest(body)}
    for name, value in wanted.items():
        claimed = claims.get(name)
        if not isinstance(claimed, str) or not hmac.compare_digest(claimed.encode(), value.encode()):
            raise CredentialError(CredentialFault.BINDING, f"another {name}")
