"""Derived keys (rule 10): one master key, a branch for each purpose, a key for each Moltbot under it.

    branch = HMAC-SHA256(master, JSON [1, purpose])        key = HMAC-SHA256(branch, JSON [uid])

A process is handed the branches of its purposes, a pod only its own keys, so whoever reads a pod learns nothing about another one. Two
key ids are valid while the master key is rotated. Nothing here does I/O or imports more than the standard library: the gateway reads its
ring before it listens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from moltbot_trust.errors import KeyRingError

KEY_BYTES = 32
# Rotation keeps the current key and the one before it; a few more are tolerated so that an interrupted rotation is not an outage.
MAX_KEY_IDS = 4
MAX_RING_CHARACTERS = 64 * 1024
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DERIVATION_VERSION = 1


class Purpose(StrEnum):
    """Who calls whom. A closed set: a key made for one purpose opens nothing else."""

    ROUTER_GATEWAY = "router-gateway"
    OPERATOR_GATEWAY = "operator-gateway"
    OPERATOR_STATE = "operator-state"
    BACKUP_STATE = "backup-state"
    GATEWAY_STATE = "gateway-state"
    STATE_GATEWAY = "state-gateway"
    OPERATOR_ROUTER = "operator-router"
    ROUTER = "router"


# What each process holds: operator all, by the master key; the others exactly these.
ROUTER_PURPOSES = frozenset({Purpose.ROUTER_GATEWAY, Purpose.OPERATOR_ROUTER, Purpose.ROUTER})
GATEWAY_PURPOSES = frozenset({Purpose.ROUTER_GATEWAY, Purpose.OPERATOR_GATEWAY, Purpose.STATE_GATEWAY, Purpose.GATEWAY_STATE})
STATE_PURPOSES = frozenset({Purpose.OPERATOR_STATE, Purpose.BACKUP_STATE, Purpose.GATEWAY_STATE, Purpose.STATE_GATEWAY})
BACKUP_PURPOSES = frozenset({Purpose.BACKUP_STATE})


def _canonical(value: list[object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def derive_branch(master: bytes, purpose: Purpose) -> bytes:
    """The branch of a purpose under a master key: 32 bytes."""
    return hmac.digest(master, _canonical([_DERIVATION_VERSION, purpose.value]), hashlib.sha256)


def derive_key(branch: bytes, moltbot_uid: str) -> bytes:
    """The key of one Moltbot (by the uid of its resource) under a branch: 32 bytes."""
    if not moltbot_uid:
        raise KeyRingError("a key is derived for the uid of a Moltbot, and that uid is empty")
    return hmac.digest(branch, _canonical([moltbot_uid]), hashlib.sha256)


def encode_bytes(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode_bytes(text: str) -> bytes:
    """The reverse of `encode_bytes`; padding is tolerated. Raises ValueError."""
    stripped = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", stripped):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(stripped + "=" * (-len(stripped) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _decode_key(what: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise KeyRingError(f"{what} is not a string")
    try:
        value = decode_bytes(text.strip())
    except ValueError as error:
        raise KeyRingError(f"{what} is not base64url") from error
    if len(value) != KEY_BYTES:
        raise KeyRingError(f"{what} has {len(value)} bytes, {KEY_BYTES} are needed")
    return value


def _check_key_id(kid: object) -> str:
    if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
        raise KeyRingError("a key id is 1 to 63 letters, digits, '.', '_' or '-'")
    return kid


@dataclass(frozen=True, slots=True, repr=False)
class _Ring:
    """Current key id, and by purpose the secret under each key id."""

    current: str
    keys: Mapping[Purpose, Mapping[str, bytes]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(current={self.current!r}, purposes={sorted(self.keys)})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the JSON of internals.md. Raises KeyRingError; purposes that this version does not know are ignored, so that a newer
        operator may add some."""
        if len(text) > MAX_RING_CHARACTERS:
            raise KeyRingError("the key ring is longer than 64 KiB")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise KeyRingError("the key ring is not JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("keys"), dict):
            raise KeyRingError('a key ring is JSON {"current": "<key id>", "keys": {"<purpose>": {"<key id>": "<base64url>"}}}')
        current = _check_key_id(document.get("current"))
        known = {purpose.value: purpose for purpose in Purpose}
        keys: dict[Purpose, dict[str, bytes]] = {}
        for name, values in document["keys"].items():
            if name not in known:
                continue
            if not isinstance(values, dict) or not 1 <= len(values) <= MAX_KEY_IDS:
                raise KeyRingError(f"purpose {name}: between 1 and {MAX_KEY_IDS} key ids are needed")
            keys[known[name]] = {_check_key_id(kid): _decode_key(f"key {kid} of purpose {name}", value) for kid, value in values.items()}
            if current not in values:
                raise KeyRingError(f"purpose {name} lacks the current key id {current}")
        if not keys:
            raise KeyRingError("the key ring has no purpose that this version knows")
        return cls(current, keys)

    def to_json(self) -> str:
        """The JSON that `parse` reads, always in the same order, so that equal rings are equal bytes."""
        keys = {purpose.value: {kid: encode_bytes(key) for kid, key in sorted(self.keys[purpose].items())} for purpose in sorted(self.keys)}
        return json.dumps({"current": self.current, "keys": keys}, separators=(",", ":"))

    def signing_key(self, purpose: Purpose) -> tuple[str, bytes]:
        """(key id, secret) to sign with. Raises KeyRingError when this process does not hold the purpose."""
        if purpose not in self.keys:
            raise KeyRingError(f"this key ring has no key for purpose {purpose.value}")
        return self.current, self.keys[purpose][self.current]

    def find(self, purpose: Purpose, kid: str) -> bytes | None:
        """The secret of that key id, or None."""
        return self.keys.get(purpose, {}).get(kid)

    def require(self, purposes: Iterable[Purpose]) -> None:
        """Raises KeyRingError that names what is missing."""
        missing = sorted(set(purposes) - set(self.keys))
        if missing:
            raise KeyRingError(f"this key ring lacks the keys for {', '.join(missing)}")


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing(_Ring):
    """Keys of one Moltbot: what signs and verifies."""


@dataclass(frozen=True, slots=True, repr=False)
class BranchRing(_Ring):
    """Branches: what a process that serves many Moltbots holds."""

    def for_moltbot(self, uid: str) -> KeyRing:
        """The keys of one Moltbot under these branches."""
        return KeyRing(self.current, {p: {kid: derive_key(branch, uid) for kid, branch in ids.items()} for p, ids in self.keys.items()})


@dataclass(frozen=True, slots=True, repr=False)
class MasterKeys:
    """Secret `moltbot-master-key`: key id → 32 bytes, and which is current. Only the operator reads it."""

    current: str
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"MasterKeys(current={self.current!r}, ids={sorted(self.keys)})"

    @classmethod
    def generate(cls, kid: str = "1") -> Self:
        """A fresh master key."""
        return cls(_check_key_id(kid), {kid: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        """Read the Secret's (base64-decoded) data. Raises KeyRingError."""
        ids = {_check_key_id(kid): _decode_key(f"master key {kid}", text) for kid, text in data.items() if kid != "current"}
        current = data.get("current", "").strip()
        if current not in ids:
            raise KeyRingError(f"the master key's Secret says current={current!r}, and has no such key")
        if len(ids) > MAX_KEY_IDS:
            raise KeyRingError(f"the master key's Secret has {len(ids)} keys, {MAX_KEY_IDS} at most")
        return cls(current, ids)

    def to_data(self) -> dict[str, str]:
        """The Secret's string data."""
        return {"current": self.current, **{kid: encode_bytes(key) for kid, key in self.keys.items()}}

    def branches(self, purposes: Iterable[Purpose]) -> BranchRing:
        """Branches for a process that holds these purposes."""
        return BranchRing(self.current, {p: {kid: derive_branch(key, p) for kid, key in self.keys.items()} for p in purposes})

    def key_ring(self, purposes: Iterable[Purpose], moltbot_uid: str) -> KeyRing:
        """Keys of one Moltbot for a container that holds these purposes."""
        return self.branches(purposes).for_moltbot(moltbot_uid)
