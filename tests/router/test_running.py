"""The router as a process: stopping without losing anybody, what it logs, what it measures, what its settings are."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from moltbot_router.settings import Settings
from moltbot_trust.logs import LogFormat, LogLevel, configure_logging
from moltbot_trust.settings import describe_settings, split_address
from tests.fakes.clock import FakeClock
from tests.router.cluster import ADA
from tests.router.test_http import cookie_of, device_token_of
from tests.router.test_sockets import SEND, eventually
from tests.router.world import ADMIN_KEY, NAVIGATION, TOKEN, Browser, World, running_router

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "router.md"


async def test_a_stop_waits_for_what_is_held_and_then_tells_it(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", stop_seconds=1.5, hold_seconds=60.0) as world:
        headers = await device_token_of(world)
        events = await world.get("/api/events", headers=await cookie_of(world))
        request = asyncio.create_task(world.get("/v1/models", headers=headers))
        await eventually(lambda: world.router.waker.held == 1)
        await world.router.close()
        answer = await request
        assert (answer.status, (await answer.json())["error"]) == (503, "RouterStopping")
        assert answer.headers["Retry-After"] == "1"
        assert await asyncio.wait_for(events.content.read(), 5) is not None


async def test_a_held_request_that_can_be_served_during_a_stop_is_served(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", stop_seconds=5.0) as world:
        headers = await device_token_of(world)
        request = asyncio.create_task(world.get("/v1/models", headers=headers))
        await eventually(lambda: world.router.waker.held == 1)
        closing = asyncio.create_task(world.router.close())
        pod = await world.make_pod()
        world.cluster.set_pod(ADA, pod.facts())
        assert (await request).status == 200
        await asyncio.wait_for(closing, 5)


async def test_no_secret_is_ever_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that a person and a pod do, at the most talkative level."""
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging(LogFormat.JSON, LogLevel.DEBUG, stream)
    try:
        secrets = {TOKEN, ADMIN_KEY}
        browser = Browser()
        pod = await world.wake()
        async with world.connected(browser) as wire:
            secrets.add(wire.hello["auth"]["deviceToken"])
            await wire.call("chat.send", SEND | {"message": "my-message-body"})
            await wire.call("device.token.rotate", {"deviceId": browser.id, "role": "operator"})
        headers = await cookie_of(world)
        secrets.add(headers["Cookie"].partition("=")[2])
        for path in (f"/?token={TOKEN}", "/?token=wrong-token-guess", "/api/status", "/v1/x"):
            await world.get(path, headers={**headers, **NAVIGATION})
        await world.get("/v1/x", headers={"Authorization": "Bearer wrong-token-guess"})
        await world.request("POST", "/api/login", json={"token": "wrong-token-guess"})
        admin = {"Host": "localhost", "Origin": "http://localhost"}
        for key in (ADMIN_KEY, "wrong-admin-key"):
            await world.http.post(world.admin + "/_admin/api/session", json={"key": key}, headers=admin)
        await pod.stop()
        text = stream.getvalue()
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert '"event":"connected"' in text
    for secret in (*secrets, "wrong-token-guess", "wrong-admin-key", "my-message-body"):
        assert secret not in text, secret
    assert not re.search(r"eyJ[A-Za-z0-9_-]{10,}\.", text)


async def test_a_quiet_stream_gets_a_comment_every_15_seconds(tmp_path: Path) -> None:
    """Rule: proxies in front must not take it for dead."""
    clock = FakeClock()
    async with running_router(tmp_path / "r", clock=clock, stop_seconds=0.1) as world:
        events = await world.get("/api/events", headers=await cookie_of(world))
        assert b"event: phase" in await asyncio.wait_for(events.content.readuntil(b"\n\n"), 5)
        for _ in range(2):
            await asyncio.sleep(0.05)  # the stream's task has to reach its wait, over a real socket
            await clock.advance(15)
            assert await asyncio.wait_for(events.content.readuntil(b"\n\n"), 5) == b": still here\n\n"
        events.close()


async def test_a_tick_goes_out_every_30_seconds_asleep_too(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running_router(tmp_path / "r", clock=clock, stop_seconds=0.1) as world, world.connected(Browser()) as wire:
        for number in (1, 2):
            await asyncio.sleep(0.05)
            await clock.advance(30)
            assert (await wire.event("tick"))["seq"] == number


async def test_metrics_are_served_where_they_are_asked_for(tmp_path: Path) -> None:
    async with running_router(tmp_path / "r", metrics_listen="127.0.0.1:0") as world:
        headers = await device_token_of(world)
        request = asyncio.create_task(world.get("/v1/models", headers=headers))
        await eventually(lambda: world.cluster.scale_writes == [1])
        pod = await world.make_pod()
        world.cluster.set_pod(ADA, pod.facts())
        assert (await request).status == 200
        assert (await world.get("/", headers={})).status == 401
        assert world.router.metrics_listener is not None
        answer = await world.http.get(f"http://127.0.0.1:{world.router.metrics_listener.port}/metrics")
        text = await answer.text()
        assert 'moltbot_router_answers_total{answer="proxy"} 1.0' in text
        assert 'moltbot_router_answers_total{answer="unauthorized"} 1.0' in text
        assert 'moltbot_router_wakes_total{outcome="awake"} 1.0' in text
        documented = REFERENCE.read_text()
        for name in sorted(set(re.findall(r"^# HELP (moltbot_router_\w+)", text, re.MULTILINE))):
            assert name.removesuffix("_total").removesuffix("_created") in documented, name


def test_every_setting_is_documented() -> None:
    """docs/reference/router.md says what the program reads, no more and no less."""
    text = REFERENCE.read_text()
    rows = {row.variable: row for row in describe_settings(Settings)}
    documented = dict(re.findall(r"^\| `(MOLTBOT_[A-Z_]+)` \| `?([^|`]*)`? \|", text, re.MULTILINE))
    assert {name: value.strip() for name, value in documented.items()} == {name: row.default for name, row in rows.items()}


@pytest.mark.parametrize(("text", "expected"), [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::]:8080", ("::", 8080)), (":8080", ("", 8080))])
def test_addresses_are_split(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


async def _run(environ: dict[str, str], *, stop_after: float | None = None) -> tuple[int, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MOLTBOT_")} | environ
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moltbot_router", env=environ, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    if stop_after is not None:
        assert process.stderr is not None
        lines: list[bytes] = []
        async with asyncio.timeout(20):
            while b"listening" not in (line := await process.stderr.readline()):
                assert line, b"".join(lines)
                lines.append(line)
        process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, errors.decode()


async def test_wrong_settings_end_it_with_every_problem() -> None:
    code, errors = await _run({"MOLTBOT_LISTEN": "nowhere", "MOLTBOT_HOLD_SECOND": "5"})
    assert code == 2
    assert "MOLTBOT_LISTEN" in errors
    assert "did you mean MOLTBOT_HOLD_SECONDS?" in errors
    assert "Traceback" not in errors


async def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    code, errors = await _run({"MOLTBOT_KUBECONFIG": str(tmp_path / "none"), "MOLTBOT_LOG_FORMAT": "json"})
    assert code == 2
    assert "no cluster to serve" in errors


async def test_it_serves_health_without_an_api_server_and_stops_on_sigterm(tmp_path: Path) -> None:
    config: Any = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "x"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    environ = {
        "MOLTBOT_KUBECONFIG": str(tmp_path / "config"),
        "MOLTBOT_LISTEN": "127.0.0.1:0",
        "MOLTBOT_ADMIN_LISTEN": "127.0.0.1:0",
        "MOLTBOT_KEYS_DIR": str(tmp_path),
        "MOLTBOT_ADMIN_KEY_FILE": str(tmp_path / "admin"),
        "MOLTBOT_LOG_FORMAT": "json",
    }
    code, errors = await _run(environ, stop_after=0)
    assert code == 0, errors
    assert '"event":"stopped"' in errors
    assert "Traceback" not in errors
