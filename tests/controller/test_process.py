"""The operator as a process and what it keeps in its own namespace: keys (rule 10), Lease, probes, signals, exit codes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from moltbot_api.names import ADMIN_SECRET, MASTER_KEY_SECRET, OPERATOR_LEASE, ROUTER_KEYS_SECRET
from moltbot_kube import Kube
from moltbot_kube.resources import LEASES, MOLTBOTS, SECRETS
from moltbot_operator.health import health_application, metrics_application, serving
from moltbot_operator.keys import DerivedKeys, bootstrap_keys, decode_data
from moltbot_operator.lease import Lease, LeaseLost
from moltbot_operator.settings import Settings, parse_labels, parse_listen, parse_peers
from moltbot_trust.errors import KeyRingError
from moltbot_trust.keys import MasterKeys, encode_bytes
from tests.controller.harness import OPERATOR_NAMESPACE, Cluster, local_cluster
from tests.fakes.clock import FakeClock, settle


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with local_cluster(tmp_path) as found:
        yield found


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(cluster.operator_config) as found:
        yield found


async def data_of(cluster: Cluster, name: str) -> dict[str, bytes]:
    found = await cluster.person.get(SECRETS, name, OPERATOR_NAMESPACE)
    assert found is not None
    return decode_data(found)


# keys


async def test_keys_are_made_once_and_read_ever_after(cluster: Cluster, kube: Kube) -> None:
    first = await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    before = [await data_of(cluster, name) for name in (MASTER_KEY_SECRET, ROUTER_KEYS_SECRET, ADMIN_SECRET)]
    assert await bootstrap_keys(kube, OPERATOR_NAMESPACE) == first
    assert [await data_of(cluster, name) for name in (MASTER_KEY_SECRET, ROUTER_KEYS_SECRET, ADMIN_SECRET)] == before
    branches = json.loads(before[1]["keys.json"])
    assert set(branches["keys"]) == {"router-gateway", "operator-router", "router"}
    assert len(before[2]["MOLTBOT_ADMIN_KEY"]) >= 40


async def test_two_operators_that_start_together_agree(kube: Kube) -> None:
    results = await asyncio.gather(*(bootstrap_keys(kube, OPERATOR_NAMESPACE) for _ in range(4)))
    assert len({json.dumps(one.master.to_data()) for one in results}) == 1


async def test_a_deleted_master_key_is_made_again_from_what_is_in_use(cluster: Cluster, kube: Kube) -> None:
    first = await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    await cluster.person.delete(SECRETS, MASTER_KEY_SECRET, OPERATOR_NAMESPACE)
    assert await bootstrap_keys(kube, OPERATOR_NAMESPACE, first) == first


async def test_a_rotated_master_key_reaches_the_router_with_both_valid(cluster: Cluster, kube: Kube) -> None:
    await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    data = {"current": base64.b64encode(b"2").decode(), "2": base64.b64encode(encode_bytes(b"x" * 32).encode()).decode()}
    await cluster.person.patch(SECRETS, MASTER_KEY_SECRET, OPERATOR_NAMESPACE, {"data": data}, field_manager="person")
    keys = await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    assert (keys.master.current, set(keys.master.keys)) == ("2", {"1", "2"})
    branches = json.loads((await data_of(cluster, ROUTER_KEYS_SECRET))["keys.json"])
    assert (branches["current"], set(branches["keys"]["router"])) == ("2", {"1", "2"})


async def test_a_master_key_that_is_none_is_an_error_and_is_not_replaced(cluster: Cluster, kube: Kube) -> None:
    await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    await cluster.person.patch(SECRETS, MASTER_KEY_SECRET, OPERATOR_NAMESPACE, {"data": {"1": "eA=="}}, field_manager="person")
    with pytest.raises(KeyRingError):
        await bootstrap_keys(kube, OPERATOR_NAMESPACE)
    assert (await data_of(cluster, MASTER_KEY_SECRET))["1"] == b"x"


def test_a_pod_gets_its_own_keys_and_a_container_those_of_its_purposes() -> None:
    keys = DerivedKeys(MasterKeys.generate())
    one, two = keys.rings("uid-1"), keys.rings("uid-2")
    assert set(json.loads(one.backup)["keys"]) == {"backup-state"}
    assert "operator-router" not in one.gateway + one.state
    assert one.gateway != two.gateway
    assert "hidden" in repr(one)


# Lease


async def test_one_holds_the_lease_and_the_next_waits_until_it_is_not_renewed(kube: Kube) -> None:
    clock = FakeClock()
    first, second = Lease(kube, clock, OPERATOR_NAMESPACE, "one"), Lease(kube, clock, OPERATOR_NAMESPACE, "two")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    for _ in range(7):
        await until_sleeping(clock)
        assert not waiting.done()
        await clock.advance(2)
    for _ in range(3):
        if not waiting.done():
            await until_sleeping(clock, or_done=waiting)
            await clock.advance(2)
    await asyncio.wait_for(waiting, 5)
    holding = asyncio.create_task(first.hold())
    await settle()
    await clock.advance(5)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(holding, 5)


async def until_sleeping(clock: FakeClock, or_done: asyncio.Task[None] | None = None) -> None:
    async with asyncio.timeout(5):
        while not clock.sleepers and not (or_done and or_done.done()):
            await asyncio.sleep(0.005)


async def test_a_released_lease_and_ones_own_are_taken_over_at_once(kube: Kube) -> None:
    clock = FakeClock()
    first = Lease(kube, clock, OPERATOR_NAMESPACE, "one")
    await first.acquire()
    await asyncio.wait_for(Lease(kube, clock, OPERATOR_NAMESPACE, "one").acquire(), 5)
    again = Lease(kube, clock, OPERATOR_NAMESPACE, "one")
    await again.acquire()
    await again.release()
    await asyncio.wait_for(Lease(kube, clock, OPERATOR_NAMESPACE, "two").acquire(), 5)


async def test_a_renewed_lease_is_kept_although_somebody_annotates_it(cluster: Cluster, kube: Kube) -> None:
    clock = FakeClock()
    lease = Lease(kube, clock, OPERATOR_NAMESPACE, "one")
    await lease.acquire()
    holding = asyncio.create_task(lease.hold())
    patch = {"metadata": {"annotations": {"a": "b"}}}
    await cluster.person.patch(LEASES, OPERATOR_LEASE, OPERATOR_NAMESPACE, patch, field_manager="person")
    for _ in range(4):
        await until_sleeping(clock)
        await clock.advance(5)
        await until_sleeping(clock)
    assert not holding.done()
    found = await kube.get(LEASES, OPERATOR_LEASE, OPERATOR_NAMESPACE)
    assert found is not None
    assert found["spec"]["holderIdentity"] == "one"
    holding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await holding


# probes


async def test_probes_and_metrics() -> None:
    ready: list[bool] = []
    async with serving(health_application(lambda: bool(ready)), ("127.0.0.1", 0)) as port, aiohttp.ClientSession() as session:
        assert (await session.get(f"http://127.0.0.1:{port}/healthz")).status == 200
        assert (await session.get(f"http://127.0.0.1:{port}/readyz")).status == 503
        ready.append(True)
        assert (await session.get(f"http://127.0.0.1:{port}/readyz")).status == 200
    async with serving(metrics_application(), ("127.0.0.1", 0)) as port, aiohttp.ClientSession() as session:
        text = await (await session.get(f"http://127.0.0.1:{port}/metrics")).text()
        assert "moltbot_operator_reconcile_seconds_bucket" in text
    async with serving(health_application(lambda: True), None) as port:
        assert port is None


# the process


def environment(cluster: Cluster, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOLTBOT_", "KUBE"))}
    own = {"KUBECONFIG": cluster.operator_config, "MOLTBOT_NAMESPACE": OPERATOR_NAMESPACE, "MOLTBOT_GATEWAY_IMAGE": "gateway:test"}
    return {**kept, **own, "MOLTBOT_LOG_FORMAT": "json", **changes}


async def start(env: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moltbot_operator", env=env, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )


async def test_it_starts_looks_after_a_moltbot_and_stops_at_sigterm_with_the_lease_given_back(cluster: Cluster) -> None:
    secret = "sk-ant-very-secret-0123456789"
    await cluster.secret("ada", {"ANTHROPIC_API_KEY": secret})
    await cluster.moltbot(spec={"secretsFrom": [{"name": "ada"}], "operatingMode": "Suspended"})
    process = await start(environment(cluster, MOLTBOT_LOG_LEVEL="debug"))
    try:
        await cluster.until(MOLTBOTS, "ada", lambda found: found and (found.get("status") or {}).get("phase") == "Suspended", 60)
        token = await cluster.secret_text("ada-gateway-token", "MOLTBOT_GATEWAY_TOKEN")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode()
    lease = await cluster.person.get(LEASES, OPERATOR_LEASE, OPERATOR_NAMESPACE)
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")
    lines = [json.loads(line) for line in log.decode().splitlines()]
    assert {"operator starting", "lease acquired", "phase changed", "operator stopped"} <= {line["event"] for line in lines}
    admin = (await data_of(cluster, ADMIN_SECRET))["MOLTBOT_ADMIN_KEY"].decode()
    assert not any(value in log.decode() for value in (secret, token, admin))


async def test_wrong_settings_are_all_named_and_end_it(cluster: Cluster) -> None:
    process = await start(environment(cluster, MOLTBOT_PUBLIC_PORT="x", MOLTBOT_GATEWAY_IMAGE="", MOLTBOT_BASE_DOMAN="y"))
    async with asyncio.timeout(15):
        _, log = await process.communicate()
    assert process.returncode == 2
    text = log.decode()
    assert all(name in text for name in ("MOLTBOT_PUBLIC_PORT", "MOLTBOT_GATEWAY_IMAGE", "did you mean MOLTBOT_BASE_DOMAIN"))


def test_settings_helpers() -> None:
    assert parse_labels("a=b,c=d/e") == {"a": "b", "c": "d/e"}
    assert [parse_listen(text) for text in ("", "127.0.0.1:80", ":80", "[::1]:80")] == [
        None, ("127.0.0.1", 80), ("0.0.0.0", 80), ("::1", 80),
    ]  # fmt: skip
    wrong = Settings(namespace="n", gateway_image="i", denied_cidrs=("10.0.0.0/8", "nonsense", "10.0.0.1/8"))
    assert len(wrong.problems()) == 2
    assert parse_peers('[{"podSelector": {}}]') == ({"podSelector": {}},)
    for text in ("{}", "[{}]", "x", "[1]"):
        assert len(Settings(namespace="n", gateway_image="i", metrics_from=text).problems()) == 1
