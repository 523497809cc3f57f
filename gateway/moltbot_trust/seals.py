"""Seals: what the router says about the sender of a request on 18789, so that the gateway trusts it without knowing any credential
(rules 3, 4, 10).

A seal is a JWT for one pod: device, role, scopes, token generation, display name. It is valid for 120 s and used for 60, so it is made
once per sender and minute, and the gateway recognises the exact bytes it has already verified.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from moltbot_trust.errors import CredentialError, CredentialFault
from moltbot_trust.keys import KeyRing, Purpose
from moltbot_trust.tokens import LEEWAY_SECONDS, make_token, read_token

HEADER = "Moltbot-Seal"
VALID_SECONDS = 120
USED_SECONDS = 60
# `sub` of a request that came with the gateway token itself (`gateway.http: token`): no device stands behind it.
GATEWAY_TOKEN_SUBJECT = "gateway-token"  # noqa: S105 - a name, not a token
MAX_SCOPES = 32
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Seal:
    """Who sends. `device_id` is `gateway-token` where no device stands behind it; `generation` is that of the device's token."""

    device_id: str
    role: str
    scopes: tuple[str, ...]
    generation: int
    name: str = ""


def pod_audience(pod_uid: str) -> str:
    """The audience of everything that is for exactly one pod."""
    return f"pod:{pod_uid}"


def moltbot_audience(moltbot_uid: str) -> str:
    """The audience of the backup's assertions: its pod does not know the gateway pod's uid."""
    return f"moltbot:{moltbot_uid}"


def make_seal(ring: KeyRing, seal: Seal, *, pod_uid: str, now: float) -> str:
    """Sign. `now` in seconds since the epoch."""
    return make_token(
        ring,
        Purpose.ROUTER_GATEWAY,
        {
            "aud": pod_audience(pod_uid),
            "exp": int(now) + VALID_SECONDS,
            "sub": seal.device_id,
            "role": seal.role,
            "scopes": list(seal.scopes),
            "generation": seal.generation,
            "name": seal.name[:MAX_TEXT],
        },
    )


def read_seal(ring: KeyRing, token: str, *, pod_uid: str, now: float) -> Seal:
    """Verify. Raises CredentialError."""
    return _typed(read_token(ring, Purpose.ROUTER_GATEWAY, token, audience=pod_audience(pod_uid), now=now))


def _typed(claims: dict[str, object]) -> Seal:
    subject, role, name = claims.get("sub"), claims.get("role"), claims.get("name", "")
    scopes, generation = claims.get("scopes"), claims.get("generation")
    if not isinstance(subject, str) or not subject or not isinstance(role, str) or not isinstance(name, str):
        raise CredentialError(CredentialFault.MALFORMED, "sub, role and name are strings")
    if not isinstance(scopes, list) or len(scopes) > MAX_SCOPES or not all(isinstance(scope, str) for scope in scopes):
        raise CredentialError(CredentialFault.MALFORMED, "scopes are a list of strings")
    if isinstance(generation, bool) or not isinstance(generation, int):
        raise CredentialError(CredentialFault.MALFORMED, "generation is a number")
    return Seal(subject, role, tuple(scopes), generation, name)


class SealMaker:
    """The router's side: one seal per sender and pod, made anew after 60 s. Bounded; the least recently used goes first."""

    def __init__(self, limit: int = 4096) -> None:
        self._kept: OrderedDict[tuple[str, Seal], tuple[str, float]] = OrderedDict()
        self._limit = limit

    def seal(self, ring: KeyRing, seal: Seal, *, pod_uid: str, now: float) -> str:
        """The kept seal when it is younger than 60 s, else a new one."""
        key = (pod_uid, seal)
        kept = self._kept.get(key)
        if kept is not None and now < kept[1]:
            self._kept.move_to_end(key)
            return kept[0]
        token = make_seal(ring, seal, pod_uid=pod_uid, now=now)
        self._kept[key] = (token, now + USED_SECONDS)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return token


class KnownSeals:
    """The gateway's side: a seal is verified once and then known by its exact bytes, until it expires. Bounded in the same way."""

    def __init__(self, ring: KeyRing, pod_uid: str, limit: int = 1024) -> None:
        self._ring = ring
        self._pod_uid = pod_uid
        self._limit = limit
        self._known: OrderedDict[str, tuple[Seal, float]] = OrderedDict()

    def read(self, token: str, *, now: float) -> Seal:
        """As `read_seal`. Raises CredentialError."""
        known = self._known.get(token)
        if known is not None:
            if now < known[1]:
                self._known.move_to_end(token)
                return known[0]
            del self._known[token]
        claims = read_token(self._ring, Purpose.ROUTER_GATEWAY, token, audience=pod_audience(self._pod_uid), now=now)
        seal = _typed(claims)
        expires = claims["exp"]
        assert isinstance(expires, int)
        self._known[token] = (seal, expires + LEEWAY_SECONDS)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return seal
