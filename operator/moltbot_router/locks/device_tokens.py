"""Device tokens: self-verifying (the device object's uid, role, generation, HMAC), so nothing is stored and nothing is a secret in the API.

    mbd1.<uid of the MoltbotDevice>.<role>.<generation>.<key id>.<HMAC-SHA256, base64url>

A token counts while its object is there with that uid, its role is granted, and its generation is the object's: removing the device
deletes the object, revoking and rotating raise the generation, and neither a restore nor a new pairing (another uid) revives it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from moltbot_router.path.facts import DeviceFacts
from moltbot_trust.keys import KeyRing, Purpose, encode_bytes

PREFIX = "mbd1."
_TOKEN = re.compile(r"mbd1\.([A-Za-z0-9-]{1,64})\.(operator|node)\.([0-9]{1,7})\.([A-Za-z0-9_-]{1,63})\.([A-Za-z0-9_-]{43})")


def make_device_token(ring: KeyRing, device: DeviceFacts, role: str) -> str:
    """The token of a device for a role, in its present generation. The same every time under the same key."""
    kid, key = ring.signing_key(Purpose.ROUTER)
    kid = kid.replace(".", "_")
    body = f"{PREFIX}{device.uid}.{role}.{device.generation}.{kid}"
    return f"{body}.{_mac(key, body)}"


def find_device(ring: KeyRing, devices: Iterable[DeviceFacts], token: str) -> tuple[DeviceFacts, str] | None:
    """(device, role) whose token this is, or None. Everything is checked before the answer differs."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    uid, role, generation, kid, mac = match.groups()
    key = next((ring.find(Purpose.ROUTER, known) for known in ring.keys.get(Purpose.ROUTER, {}) if known.replace(".", "_") == kid), None)
    if key is None or not hmac.compare_digest(_mac(key, token.rpartition(".")[0]), mac):
        return None
    device = next((device for device in devices if device.uid == uid), None)
    if device is None or device.approved is None or role not in device.approved.roles or device.generation != int(generation):
        return None
    return device, role


def _mac(key: bytes, body: str) -> str:
    return encode_bytes(hmac.digest(key, b"device-token\0" + body.encode(), hashlib.sha256))
