"""Rule 9: the gateway opens its state when the state container says that it is there, and says so when it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from moltbot_gateway.conditions import STATE_READY
from moltbot_trust.assertions import Assertion
from moltbot_trust.control import Call, JsonObject, control_application
from moltbot_trust.keys import Purpose
from moltbot_trust.seals import pod_audience
from moltbot_trust.tls import server_context
from tests.gateway.pod import Pod, start, until_open

WAIT = {"kind": "wait", "reason": "SnapshotMissing", "message": "The bucket has no snapshot of this assistant."}


@dataclass
class StateContainer:
    """Answers GET /restored as the real one does."""

    answer: JsonObject = field(default_factory=lambda: {"restored": False, "choice": {"kind": "wait"}})
    asked: int = 0
    url: str = ""

    async def restored(self, body: JsonObject, _: Assertion) -> JsonObject:
        self.asked += 1
        return self.answer


@contextlib.asynccontextmanager
async def state_container(pod: Pod) -> AsyncIterator[StateContainer]:
    container = StateContainer()
    calls = [Call("GET", "/restored", frozenset({Purpose.GATEWAY_STATE}), container.restored)]
    application = control_application(calls, pod.ring, {Purpose.GATEWAY_STATE: pod_audience(pod.pod_uid)})
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(pod.certificate, pod.private_key)).start()
    container.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield container
    finally:
        await runner.cleanup()


async def test_the_state_is_opened_once_it_is_restored(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    async with state_container(pod) as container:
        pod.environ = {"MOLTBOT_STATE_URL": container.url}
        async with start(pod, wait=False) as live:
            gateway = live.running.gateway
            async with asyncio.timeout(10):
                while container.asked < 3:
                    await asyncio.sleep(0.01)
            assert not (tmp_path / "current").exists()
            container.answer = {"restored": True, "choice": {"kind": "head"}, "lineage": "l" * 32, "sequence": 7}
            await until_open(live.running)
            async with live.address.control() as control:
                report = await control.get("/report")
            assert (report["state"], report["lineage"], report["sequence"]) == ("open", "l" * 32, 7)
            assert gateway.timings.restored is not None
            assert gateway.timings.open is not None
            assert gateway.timings.open >= gateway.timings.restored


async def test_a_choice_to_wait_is_told_and_asked_again(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    async with state_container(pod) as container:
        container.answer = {"restored": False, "choice": WAIT}
        pod.environ = {"MOLTBOT_STATE_URL": container.url}
        async with start(pod, wait=False) as live:
            conditions = live.running.gateway.conditions
            async with asyncio.timeout(10):
                while (told := conditions.get(STATE_READY)) is None:
                    await asyncio.sleep(0.01)
            assert (told.status, told.reason, told.message) == ("False", WAIT["reason"], WAIT["message"])
            container.answer = {"restored": True, "choice": {"kind": "head"}, "lineage": "l" * 32, "sequence": 0}
            await until_open(live.running)
            assert conditions.get(STATE_READY) is None


async def test_it_can_be_ended_while_it_waits(tmp_path: Path) -> None:
    async with start(Pod(tmp_path, environ={"MOLTBOT_STATE_URL": "https://127.0.0.1:1"}), wait=False) as live:
        live.running.gateway.terminate()
    assert not (tmp_path / "current").exists()
