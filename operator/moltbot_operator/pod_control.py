"""GatewayControl and StateControl of the lifecycle: control calls into a pod, pinned to its certificate and made for its uid (rule 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from moltbot_operator.keys import DerivedKeys
from moltbot_operator.lifecycle.observed import PodFacts
from moltbot_operator.lifecycle.ports import (
    Busy,
    Committed,
    Quiesced,
    Resumed,
    SnapshotReason,
    SnapshotRefused,
    SnapshotTaken,
    Unavailable,
)
from moltbot_operator.lifecycle.report_parsing import parse_due, parse_gateway_report, parse_snapshot, parse_state_report, printable
from moltbot_operator.lifecycle.reports import GatewayReport, NotAReport, StateReport
from moltbot_trust.clock import Clock
from moltbot_trust.control import ControlClient, ControlError, Refused
from moltbot_trust.errors import TrustError
from moltbot_trust.keys import Purpose
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, STATE_CONTROL_PORT, pod_url

_WORD, _WORDS = 64, 1024
_BUSY_MOST = 16


@dataclass(frozen=True, slots=True)
class _Target:
    """What a client was made for; another one of these is another client."""

    pod_uid: str
    ip: str
    certificate: str
    kid: str


class PodCalls:
    """Clients for pods, one for each pod and port, over one session. `moltbot_uid_of`: whose pod that is, None when nobody knows."""

    def __init__(self, keys: Callable[[], DerivedKeys], moltbot_uid_of: Callable[[str], str | None], clock: Clock) -> None:
        self._keys, self._moltbot_uid_of, self._clock = keys, moltbot_uid_of, clock
        self._session: aiohttp.ClientSession | None = None
        self._clients: dict[tuple[str, int], tuple[_Target, ControlClient]] = {}

    async def close(self) -> None:
        """Close all connections into pods."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self, pod: PodFacts, port: int, method: str, path: str, body: Mapping[str, object] | None = None, *, timeout: float
    ) -> dict[str, object]:
        """One call. Raises Refused (the pod's own no) and Unavailable."""
        client = self._client(pod, port)
        try:
            return await client.call(method, path, body, timeout_seconds=timeout)
        except Refused as refused:
            if refused.status == 401:
                raise Unavailable("the pod does not accept the operator's assertion") from refused
            raise
        except (ControlError, TrustError) as error:
            raise Unavailable(str(error)) from error

    def _client(self, pod: PodFacts, port: int) -> ControlClient:
        if pod.ip is None or pod.certificate is None:
            raise Unavailable("the pod has no address yet")
        owner = self._moltbot_uid_of(pod.uid)
        if owner is None:
            raise Unavailable("the pod is not known to be a Moltbot's")
        keys = self._keys()
        target = _Target(pod.uid, pod.ip, pod.certificate, keys.master.current)
        kept = self._clients.get((owner, port))
        if kept is not None and kept[0] == target:
            return kept[1]
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        purpose = Purpose.OPERATOR_GATEWAY if port == GATEWAY_CONTROL_PORT else Purpose.OPERATOR_STATE
        try:
            client = ControlClient(
                url=pod_url(pod.ip, port),
                fingerprint=pod.certificate,
                ring=keys.own(owner),
                purpose=purpose,
                audience=f"pod:{pod.uid}",
                clock=self._clock,
                session=self._session,
            )
        except (TrustError, ValueError) as error:
            raise Unavailable(f"the pod cannot be talked to: {error}") from error
        self._clients[owner, port] = (target, client)
        return client

    def forget(self, moltbot_uid: str) -> None:
        """The Moltbot is gone."""
        for port in (GATEWAY_CONTROL_PORT, STATE_CONTROL_PORT):
            self._clients.pop((moltbot_uid, port), None)


class PodGateway:
    """Port 18790."""

    def __init__(self, calls: PodCalls, clock: Clock) -> None:
        self._calls, self._clock = calls, clock

    async def report(self, pod: PodFacts, *, timeout: float) -> GatewayReport:
        answer = await _ask(self._calls, pod, GATEWAY_CONTROL_PORT, timeout)
        try:
            return parse_gateway_report(answer, pod_uid=pod.uid, now=self._clock.now())
        except NotAReport as error:
            raise Unavailable(str(error)) from error

    async def quiesce(self, pod: PodFacts, handshake_id: str, *, ttl: float, force: bool, timeout: float) -> Quiesced | Busy | Resumed:
        body = {"id": handshake_id, "ttlSeconds": ttl, "force": force}
        try:
            answer = await self._calls.call(pod, GATEWAY_CONTROL_PORT, "POST", "/quiesce", body, timeout=timeout)
        except Refused as refused:
            match refused.error:
                case "busy":
                    return Busy(_words(refused.answer.get("busy")))
                case "resumed":
                    return Resumed()
                case _:
                    raise Unavailable(printable(str(refused), _WORDS)) from refused
        return Quiesced(answer.get("state") == "committed", parse_due(answer.get("nextDue"), now=self._clock.now()))

    async def commit(self, pod: PodFacts, handshake_id: str, *, timeout: float) -> Committed | Resumed:
        try:
            answer = await self._calls.call(pod, GATEWAY_CONTROL_PORT, "POST", "/commit", {"id": handshake_id}, timeout=timeout)
        except Refused as refused:
            if refused.error == "resumed":
                return Resumed()
            raise Unavailable(printable(str(refused), _WORDS)) from refused
        if answer.get("state") != "committed":
            raise Unavailable("the gateway answered commit with something else")
        return Committed()


class PodState:
    """Port 18791."""

    def __init__(self, calls: PodCalls, clock: Clock) -> None:
        self._calls, self._clock = calls, clock

    async def report(self, pod: PodFacts, *, timeout: float) -> StateReport:
        answer = await _ask(self._calls, pod, STATE_CONTROL_PORT, timeout)
        try:
            return parse_state_report(answer, pod_uid=pod.uid, now=self._clock.now())
        except NotAReport as error:
            raise Unavailable(str(error)) from error

    async def snapshot(
        self, pod: PodFacts, reason: SnapshotReason, *, handshake_id: str | None, timeout: float
    ) -> SnapshotTaken | SnapshotRefused:
        body: dict[str, object] = {"reason": reason.value}
        if handshake_id is not None:
            body["id"] = handshake_id
        try:
            answer = await self._calls.call(pod, STATE_CONTROL_PORT, "POST", "/snapshot", body, timeout=timeout)
        except Refused as refused:
            return SnapshotRefused(printable(refused.error, _WORD), printable(refused.message, _WORDS))
        snapshot = parse_snapshot(answer.get("snapshot"), now=self._clock.now())
        if snapshot is None:
            raise Unavailable("the state container answered without a snapshot that can be understood")
        return SnapshotTaken(answer.get("result") == "created", snapshot)

    async def bucket_revision(self, pod: PodFacts, *, timeout: float) -> str | None:
        """What the container calls the bucket that it read at its start; None when it does not say. Raises Unavailable."""
        answer = await _ask(self._calls, pod, STATE_CONTROL_PORT, timeout)
        revision = answer.get("bucketRevision")
        return printable(revision, _WORD) if answer.get("podUid") == pod.uid and isinstance(revision, str) and revision else None

    async def exit(self, pod: PodFacts, *, timeout: float) -> None:
        """Have the container end: the kubelet starts it again in place, with what its references hold now. Raises Unavailable."""
        try:
            await self._calls.call(pod, STATE_CONTROL_PORT, "POST", "/exit", {}, timeout=timeout)
        except Refused as refused:
            raise Unavailable(printable(str(refused), _WORDS)) from refused


async def _ask(calls: PodCalls, pod: PodFacts, port: int, timeout: float) -> dict[str, object]:
    try:
        return await calls.call(pod, port, "GET", "/report", timeout=timeout)
    except Refused as refused:
        raise Unavailable(printable(str(refused), _WORDS)) from refused


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(printable(one, _WORD) for one in value[:_BUSY_MOST] if isinstance(one, str))
