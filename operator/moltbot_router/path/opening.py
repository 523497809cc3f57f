"""The protocol's opening, spoken by the router on every connection, asleep or awake (rule 4): challenge, connect, locks 2 and 3.

The order is fixed: form, version, device signature, lock 2, lock 3. An unknown host takes the same way and ends at lock 2 like a wrong
token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moltbot_protocol.connect import Auth, Connect, negotiate, parse_connect, protocol_mismatch
from moltbot_protocol.errors import CloseCode, ErrorCode, ErrorShape, ProtocolError, unavailable
from moltbot_protocol.frames import Request, parse_client_frame
from moltbot_protocol.identity import ProvenDevice, Verify, verify_device
from moltbot_router.locks.credentials import Kind, Presented, is_device_token
from moltbot_router.locks.gateway_token import Pass, check_presented, check_text
from moltbot_router.locks.limit import AttemptLimit
from moltbot_router.locks.pairing import Pairing, Refused
from moltbot_router.path.facts import DeviceFacts, Key, MoltbotFacts
from moltbot_router.path.ports import ClusterError
from moltbot_trust.clock import Clock
from moltbot_trust.keys import KeyRing
from moltbot_trust.logs import get_logger

log = get_logger("moltbot_router.opening")


class OpeningError(Exception):
    """The connection ends: this error is sent (to `request_id` when there was one), then the close code."""

    def __init__(self, error: ErrorShape, close: CloseCode, request_id: str | None) -> None:
        super().__init__(error.message)
        self.error, self.close, self.request_id = error, close, request_id


@dataclass(frozen=True, slots=True)
class Target:
    """The Moltbot that the host names; None where it names none. `ring` and `devices` are its own."""

    moltbot: MoltbotFacts
    ring: KeyRing
    devices: Sequence[DeviceFacts]

    @property
    def key(self) -> Key:
        return self.moltbot.key


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a connection comes from, and what its upgrade request showed. `cookie_ok`: the Origin is this host's own, exactly."""

    address: str
    presented: Presented
    cookie_ok: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """What an opened connection may do, and by what it came in."""

    device: DeviceFacts
    role: str
    scopes: tuple[str, ...]
    passed: Pass


@dataclass(frozen=True, slots=True)
class Opened:
    """The opening is over; `request_id` is that of `connect`, to which hello-ok is the answer."""

    request_id: str
    connect: Connect
    protocol: int
    grant: Grant


class Opening:
    """What the openings of one router share."""

    def __init__(self, pairing: Pairing, limit: AttemptLimit, clock: Clock, verify: Verify) -> None:
        self._pairing, self._limit, self._clock, self._verify = pairing, limit, clock, verify

    async def run(self, text: str, *, nonce: str, arrival: Arrival, target: Target | None) -> Opened:
        """The client's first frame → an opened connection. Raises OpeningError. Bounded by the caller's timeout."""
        request = _first_request(text)
        connect, protocol, proven = self._prove(request, nonce)
        passed = self._lock2(request.id, connect, arrival, target)
        assert target is not None
        if proven is None:
            # Locks are three: the token alone opens no conversation.
            raise _refusal(request.id, ErrorCode.NOT_PAIRED, "device identity required", {"code": "DEVICE_IDENTITY_REQUIRED"})
        if passed.device is not None and (passed.device.device_id != proven.id or passed.role != connect.role):
            raise _unauthorized(request.id, "device token mismatch (it belongs to another device or role)", "AUTH_DEVICE_TOKEN_MISMATCH")
        grant = await self._lock3(request.id, target, proven, connect=connect, protocol=protocol, passed=passed)
        return Opened(request.id, connect, protocol, grant)

    def _prove(self, request: Request, nonce: str) -> tuple[Connect, int, ProvenDevice | None]:
        try:
            connect = parse_connect(request.params)
            protocol = negotiate(connect)
            if protocol is None:
                raise OpeningError(protocol_mismatch(connect), CloseCode.PROTOCOL_ERROR, request.id)
            now_ms = int(self._clock.epoch() * 1000)
            return connect, protocol, verify_device(connect, nonce=nonce, protocol=protocol, now_ms=now_ms, verify=self._verify)
        except ProtocolError as error:
            raise OpeningError(error.shape(), error.close or CloseCode.POLICY, request.id) from error

    def _lock2(self, request_id: str, connect: Connect, arrival: Arrival, target: Target | None) -> Pass:
        now = self._clock.monotonic()
        shown = _shown(connect.auth)
        guess = bool(shown) or arrival.presented.guess
        wait = self._limit.blocked_for(arrival.address, now)
        if guess and wait > 0:
            raise OpeningError(
                ErrorShape(
                    ErrorCode.INVALID_REQUEST,
                    "unauthorized: too many failed authentication attempts (retry later)",
                    {"code": "AUTH_RATE_LIMITED", "authReason": "rate_limited", "recommendedNextStep": "wait_then_retry"},
                    retryable=True,
                    retry_after_ms=int(wait * 1000),
                ),
                CloseCode.POLICY,
                request_id,
            )
        passed = None
        if target is not None:
            passed = _check(target, shown, arrival, self._clock.epoch())
        if passed is not None:
            if guess:
                self._limit.forget(arrival.address)
            return passed
        if guess:
            self._limit.count_wrong(arrival.address, now)
        if not shown and not arrival.presented.any:
            raise _unauthorized(
                request_id, "gateway token missing (open the link with the token, or paste it)", "AUTH_TOKEN_MISSING", "token_missing"
            )
        if shown and all(is_device_token(text) for text in shown):
            raise _unauthorized(
                request_id, "device token mismatch (rotate or pair again)", "AUTH_DEVICE_TOKEN_MISMATCH", "device_token_mismatch"
            )
        raise _unauthorized(request_id, "gateway token mismatch (check the token)", "AUTH_TOKEN_MISMATCH", "token_mismatch")

    async def _lock3(
        self, request_id: str, target: Target, proven: ProvenDevice, *, connect: Connect, protocol: int, passed: Pass
    ) -> Grant:
        try:
            device, wish = await self._pairing.admit(target.key, proven, connect, protocol)
        except Refused as refused:
            details: dict[str, object] = {"code": "PAIRING_REQUIRED", "reason": refused.reason.value, "deviceId": proven.id}
            if refused.request_id:
                details["requestId"] = refused.request_id
            raise _refusal(request_id, ErrorCode.NOT_PAIRED, refused.message, details) from refused
        except ClusterError as error:
            log.warning("pairing not possible now", moltbot=str(target.key), error=str(error))
            raise OpeningError(
                unavailable("the cluster does not answer; try again", retry_after_ms=2000), CloseCode.TRY_AGAIN_LATER, request_id
            ) from error
        return Grant(device, wish.role, wish.scopes, passed)


def _first_request(text: str) -> Request:
    try:
        frame = parse_client_frame(text)
    except ProtocolError as error:
        raise OpeningError(error.shape(), CloseCode.POLICY, error.request_id) from error
    if not isinstance(frame, Request) or frame.method != "connect":
        raise OpeningError(
            ErrorShape(ErrorCode.INVALID_REQUEST, "invalid handshake: first request must be connect"),
            CloseCode.POLICY,
            frame.id,
        )
    return frame


def _shown(auth: Auth) -> list[str]:
    """What `auth` shows, explicit token first. Official clients also send a device token as `token`; a password is one more place to put
    the token."""
    return [text for text in (auth.token, auth.device_token, auth.password) if text]


def _check(target: Target, shown: Sequence[str], arrival: Arrival, now: float) -> Pass | None:
    for text in shown:
        passed = check_text(target.ring, target.moltbot, target.devices, text)
        if passed is not None:
            return passed
    if shown:
        # An explicit credential that does not count is told as such; the cookie does not paper over it.
        return None
    passed = check_presented(target.ring, target.moltbot, target.devices, arrival.presented, now)
    if passed is not None and passed.kind is Kind.COOKIE and not arrival.cookie_ok:
        # Another site's page would bring this browser's cookie along.
        log.warning("cookie from a foreign origin", moltbot=str(target.key))
        return None
    return passed


def _refusal(request_id: str, code: ErrorCode, message: str, details: object) -> OpeningError:
    return OpeningError(ErrorShape(code, message, details), CloseCode.POLICY, request_id)


def _unauthorized(request_id: str, why: str, code: str, reason: str = "device_token_mismatch") -> OpeningError:
    step = "update_auth_configuration" if reason == "token_missing" else "update_auth_credentials"
    details = {"code": code, "authReason": reason, "canRetryWithDeviceToken": False, "recommendedNextStep": step}
    return _refusal(request_id, ErrorCode.INVALID_REQUEST, f"unauthorized: {why}", details)
