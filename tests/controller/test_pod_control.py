"""Rule 3: the operator talks to a pod only pinned, only in the pod's own name, and whatever comes back is data (rule 12)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from moltbot_operator.certificates import Certificate, make_certificate, read_certificate
from moltbot_operator.keys import DerivedKeys
from moltbot_operator.lifecycle.observed import PodFacts
from moltbot_operator.lifecycle.ports import Busy, Committed, Quiesced, Resumed, SnapshotReason, SnapshotRefused, SnapshotTaken, Unavailable
from moltbot_operator.lifecycle.reports import GatewayState
from moltbot_operator.pod_control import PodCalls, PodGateway, PodState
from moltbot_trust.assertions import Assertion
from moltbot_trust.clock import SystemClock
from moltbot_trust.control import Call, JsonObject, Refusal, control_application
from moltbot_trust.keys import GATEWAY_PURPOSES, STATE_PURPOSES, MasterKeys, Purpose
from moltbot_trust.tls import GATEWAY_CONTROL_PORT, STATE_CONTROL_PORT, server_context
from tests.fakes.clock import START

MASTER = MasterKeys.generate()
CERTIFICATE = make_certificate("ada.team", START)
UID, POD = "moltbot-uid", "pod-uid"
# The ports of a pod are fixed, so each test process has a loopback address of its own, as the local kubelet's pods do.
ADDRESS = f"127.{101 + os.getpid() % 100}.{os.getpid() // 100 % 250}.9"
Answer = JsonObject | Refusal


@asynccontextmanager
async def serving(
    answers: dict[str, Answer], port: int, certificate: Certificate = CERTIFICATE
) -> AsyncIterator[list[tuple[str, JsonObject]]]:
    """A container that answers each path with what is given; what it was asked."""
    asked: list[tuple[str, JsonObject]] = []

    def handler(path: str) -> Callable[[JsonObject, Assertion], object]:
        async def handle(body: JsonObject, _: Assertion) -> JsonObject:
            asked.append((path, body))
            answer = answers[path]
            if isinstance(answer, Refusal):
                raise answer
            return answer

        return handle

    gateway = port == GATEWAY_CONTROL_PORT
    purpose = Purpose.OPERATOR_GATEWAY if gateway else Purpose.OPERATOR_STATE
    ring = MASTER.key_ring(GATEWAY_PURPOSES if gateway else STATE_PURPOSES, UID)
    calls = [Call("GET" if path == "/report" else "POST", path, frozenset({purpose}), handler(path)) for path in answers]  # type: ignore[arg-type]
    application = control_application(calls, ring, {purpose: f"pod:{POD}"})
    runner = web.AppRunner(application)
    await runner.setup()
    context = server_context(certificate.certificate_pem, certificate.private_key_pem)
    await web.TCPSite(runner, ADDRESS, port, ssl_context=context).start()
    try:
        yield asked
    finally:
        await runner.cleanup()


@asynccontextmanager
async def calling(owner: str | None = UID) -> AsyncIterator[PodCalls]:
    calls = PodCalls(lambda: DerivedKeys(MASTER), lambda _: owner, SystemClock())
    try:
        yield calls
    finally:
        await calls.close()


HERE = PodFacts(uid=POD, created_at=START, ip=ADDRESS, certificate=CERTIFICATE.fingerprint)
REPORT = {"podUid": POD, "state": "open", "progress": 3}


async def test_a_report_is_asked_for_and_understood() -> None:
    async with serving({"/report": REPORT}, GATEWAY_CONTROL_PORT), calling() as calls:
        report = await PodGateway(calls, SystemClock()).report(HERE, timeout=5)
    assert (report.state, report.progress) == (GatewayState.OPEN, 3)


async def test_quiesce_and_commit_in_all_their_answers() -> None:
    due = "2030-01-01T00:00:00Z"
    answers: dict[str, Answer] = {"/quiesce": {"state": "quiesced", "nextDue": due}, "/commit": {"state": "committed"}}
    async with serving(answers, GATEWAY_CONTROL_PORT) as asked, calling() as calls:
        gateway = PodGateway(calls, SystemClock())
        quiesced = await gateway.quiesce(HERE, "h1", ttl=30, force=True, timeout=5)
        assert isinstance(quiesced, Quiesced)
        assert (quiesced.committed, quiesced.next_due and quiesced.next_due.year) == (False, 2030)
        assert await gateway.commit(HERE, "h1", timeout=5) == Committed()
        assert asked == [("/quiesce", {"id": "h1", "ttlSeconds": 30, "force": True}), ("/commit", {"id": "h1"})]
        answers["/quiesce"] = Refusal(409, "busy", "x", busy=["turn", 7])
        answers["/commit"] = Refusal(409, "resumed", "x")
        assert await gateway.quiesce(HERE, "h2", ttl=30, force=False, timeout=5) == Busy(("turn",))
        assert await gateway.commit(HERE, "h2", timeout=5) == Resumed()
        answers["/quiesce"], answers["/commit"] = Refusal(409, "resumed", "x"), {"state": "something"}
        assert await gateway.quiesce(HERE, "h2", ttl=30, force=False, timeout=5) == Resumed()
        with pytest.raises(Unavailable):
            await gateway.commit(HERE, "h3", timeout=5)


async def test_snapshots_made_and_refused() -> None:
    snapshot = {
        "id": "s1",
        "time": "2026-01-01T00:00:00Z",
        "bytes": 1,
        "files": 2,
        "lineage": "l",
        "sequence": 3,
        "parent": None,
        "verified": True,
    }
    answers: dict[str, Answer] = {"/snapshot": {"result": "created", "snapshot": snapshot}, "/report": {"podUid": POD, "state": "open"}}
    async with serving(answers, STATE_CONTROL_PORT) as asked, calling() as calls:
        state = PodState(calls, SystemClock())
        taken = await state.snapshot(HERE, SnapshotReason.FINAL, handshake_id="h", timeout=5)
        assert isinstance(taken, SnapshotTaken)
        assert (taken.created, taken.snapshot.id, taken.snapshot.sequence) == (True, "s1", 3)
        assert asked == [("/snapshot", {"reason": "final", "id": "h"})]
        assert (await state.report(HERE, timeout=5)).pod_uid == POD
        answers["/snapshot"] = Refusal(503, "BucketUnreachable", "no route")
        refused = await state.snapshot(HERE, SnapshotReason.SCHEDULED, handshake_id=None, timeout=5)
        assert refused == SnapshotRefused("BucketUnreachable", "no route")
        answers["/snapshot"] = {"result": "created", "snapshot": {"id": 7}}
        with pytest.raises(Unavailable):
            await state.snapshot(HERE, SnapshotReason.SCHEDULED, handshake_id=None, timeout=5)


async def test_a_pod_with_another_certificate_is_not_talked_to() -> None:
    async with serving({"/report": REPORT}, GATEWAY_CONTROL_PORT, make_certificate("x", START)) as asked, calling() as calls:
        with pytest.raises(Unavailable, match="another certificate"):
            await PodGateway(calls, SystemClock()).report(HERE, timeout=5)
        assert asked == []


async def test_an_address_that_belongs_to_another_pod_by_now_refuses() -> None:
    async with serving({"/report": REPORT}, GATEWAY_CONTROL_PORT) as asked, calling() as calls:
        with pytest.raises(Unavailable, match="does not accept"):
            await PodGateway(calls, SystemClock()).report(replace(HERE, uid="an earlier pod"), timeout=5)
        assert asked == []


async def test_a_report_of_another_pod_or_of_nothing_is_no_answer() -> None:
    for answer in ({**REPORT, "podUid": "other"}, {"state": "?"}, {}):
        async with serving({"/report": answer}, GATEWAY_CONTROL_PORT), calling() as calls:
            with pytest.raises(Unavailable):
                await PodGateway(calls, SystemClock()).report(HERE, timeout=5)


@pytest.mark.parametrize("pod", [replace(HERE, ip=None), replace(HERE, certificate=None), replace(HERE, certificate="nonsense")])
async def test_a_pod_without_address_or_fingerprint_cannot_be_asked(pod: PodFacts) -> None:
    async with calling() as calls:
        with pytest.raises(Unavailable):
            await PodGateway(calls, SystemClock()).report(pod, timeout=5)


async def test_nobody_answers_and_nobody_knows_whose_pod_it_is() -> None:
    async with calling() as calls:
        with pytest.raises(Unavailable):
            await PodGateway(calls, SystemClock()).report(HERE, timeout=5)
    async with calling(owner=None) as calls:
        with pytest.raises(Unavailable, match="not known"):
            await PodGateway(calls, SystemClock()).report(HERE, timeout=5)


def test_a_certificate_is_read_back_and_a_broken_one_is_none() -> None:
    data = {"tls.crt": CERTIFICATE.certificate_pem.encode(), "tls.key": CERTIFICATE.private_key_pem.encode()}
    assert read_certificate(data) == CERTIFICATE
    other = make_certificate("x", START)
    assert read_certificate({**data, "tls.key": other.private_key_pem.encode()}) is None
    assert read_certificate({"tls.crt": b"x", "tls.key": b"y"}) is None
    assert read_certificate({}) is None
