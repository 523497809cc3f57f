"""Lock 2: whoever shows the gateway token, a cookie made from it, or a device's token, may come to the Moltbot's pages.

What passes is a `Pass`; everything that does not is the same 401, whatever host it came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moltbot_router.locks.cookies import read_cookie
from moltbot_router.locks.credentials import Kind, Presented, is_device_token
from moltbot_router.locks.device_tokens import find_device
from moltbot_router.path.facts import DeviceFacts, MoltbotFacts
from moltbot_trust.keys import KeyRing
from moltbot_trust.verifiers import Verifier, match_verifier


@dataclass(frozen=True, slots=True)
class Pass:
    """Lock 2 is open. `verifier` for the token and cookies made from it, `device` and `role` for a device token, `renew` for a cookie
    past half its time."""

    kind: Kind
    verifier: Verifier | None = None
    device: DeviceFacts | None = None
    role: str = ""
    renew: bool = False
    from_query: bool = False


def check_text(ring: KeyRing, moltbot: MoltbotFacts, devices: Sequence[DeviceFacts], text: str) -> Pass | None:
    """A token of either kind, by its form."""
    if is_device_token(text):
        found = find_device(ring, devices, text)
        return Pass(Kind.DEVICE, device=found[0], role=found[1]) if found is not None else None
    verifier = match_verifier(ring, moltbot.verifiers, text)
    return Pass(Kind.TOKEN, verifier=verifier) if verifier is not None else None


def check_presented(ring: KeyRing, moltbot: MoltbotFacts, devices: Sequence[DeviceFacts], presented: Presented, now: float) -> Pass | None:
    """The first credential that counts: explicit ones before the cookie, so that a fresh link wins over a stale cookie."""
    if presented.bearer:
        passed = check_text(ring, moltbot, devices, presented.bearer)
        if passed is not None:
            return passed
    if presented.query:
        passed = check_text(ring, moltbot, devices, presented.query)
        if passed is not None:
            return Pass(passed.kind, passed.verifier, passed.device, passed.role, from_query=True)
    if presented.cookie:
        found = read_cookie(ring, moltbot.uid, moltbot.verifiers, presented.cookie, now)
        if found is not None:
            return Pass(Kind.COOKIE, verifier=found[0], renew=found[1])
    return None
