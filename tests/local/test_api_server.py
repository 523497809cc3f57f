"""The miniature API server's own affairs: who is let in, what a restart keeps, what it costs, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from moltbot_local import history
from moltbot_local.builtin import builtin_registry
from moltbot_local.clock import SystemClock
from moltbot_local.crd import CustomKinds, install
from moltbot_local.errors import ApiError
from moltbot_local.journal import DirectoryInUse, Journal
from moltbot_local.local_api import LocalApi, open_api
from moltbot_local.store import Store
from tests.contract.widgets import definition

TOKENS = {"person": "p-token", "operator": "o-token", "router": "r-token"}
WIDGETS = "widgets.contract.moltbot.test"


def open_store(directory: Path | None) -> tuple[Store, Journal]:
    journal = Journal(directory)
    store = Store(builtin_registry(), journal)
    CustomKinds(store)
    return store, journal


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[LocalApi, aiohttp.ClientSession]]:
    async with open_api(directory, SystemClock(), TOKENS) as api:
        trust = ssl.create_default_context(cadata=api.authority)
        async with aiohttp.ClientSession(api.url, connector=aiohttp.TCPConnector(ssl=trust)) as session:
            yield api, session


async def test_only_the_three_tokens_are_let_in(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, session):
        for header in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "Bearer "}, {"Authorization": "Basic p-token"}):
            for path in ("/api", "/api/v1/namespaces", "/openapi/v3", "/apis/no.such/v1/x"):
                async with session.get(path, headers=header) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"] == "Bearer"
                    assert (await response.json())["reason"] == "Unauthorized"
        for path in ("/healthz", "/readyz", "/livez", "/version"):
            async with session.get(path) as response:
                assert response.status == 200
        for token in TOKENS.values():
            async with session.get("/api", headers={"Authorization": f"Bearer {token}"}) as response:
                assert response.status == 200


async def test_rights_are_those_of_the_chart(tmp_path: Path) -> None:
    async with served(tmp_path) as (api, session):
        api.store.create("namespaces", {"metadata": {"name": "default"}})

        async def code(user: str, method: str, path: str) -> int:
            async with session.request(method, path, headers={"Authorization": f"Bearer {TOKENS[user]}"}, json={}) as response:
                return response.status

        secrets = "/api/v1/namespaces/default/secrets"
        assert await code("operator", "GET", secrets) == 403
        assert await code("operator", "GET", f"{secrets}/x") == 404
        assert await code("router", "GET", f"{secrets}/x") == 403
        assert await code("router", "GET", "/apis/apps/v1/statefulsets") == 200
        assert await code("router", "DELETE", "/apis/apps/v1/namespaces/default/statefulsets/x") == 403
        assert await code("person", "GET", secrets) == 200


async def test_a_restart_keeps_objects_and_versions(tmp_path: Path) -> None:
    store, journal = open_store(tmp_path)
    store.create("namespaces", {"metadata": {"name": "default"}})
    install(store, definition())
    kept = store.create(WIDGETS, {"metadata": {"name": "w", "namespace": "default"}, "spec": {"mode": "A"}})
    store.create(WIDGETS, {"metadata": {"name": "gone", "namespace": "default"}, "spec": {"mode": "A"}})
    store.delete(WIDGETS, "gone", "default")
    version = store.version
    journal.close()
    store, journal = open_store(tmp_path)
    try:
        assert store.get(WIDGETS, "w", "default") == kept
        assert store.find(WIDGETS, "gone", "default") is None
        assert store.version == version
        # A watch from before the restart begins anew, one from its very end misses nothing.
        with pytest.raises(ApiError) as refused:
            store.watch(WIDGETS, since=version - 1)
        assert (refused.value.code, refused.value.reason) == (410, "Expired")
        watch = store.watch(WIDGETS, since=version)
        with pytest.raises(ApiError):
            store.create(WIDGETS, {"metadata": {"name": "bad", "namespace": "default"}, "spec": {"mode": "C"}})
        install(store, definition())
        assert store.version == version
        store.patch(WIDGETS, "w", "default", {"spec": {"mode": "B"}})
        assert [(event.type, event.object["spec"]["mode"]) for event in watch.take()] == [("MODIFIED", "B")]
    finally:
        journal.close()


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from moltbot_local.builtin import builtin_registry
from moltbot_local.journal import Journal
from moltbot_local.store import Store
store = Store(builtin_registry(), Journal(Path(sys.argv[1])))
store.create("namespaces", {"metadata": {"name": "default"}})
number = 0
while True:
    store.create("configmaps", {"metadata": {"name": f"c{number}", "namespace": "default"}})
    print(number, flush=True)
    number += 1
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = -1
    async with asyncio.timeout(20):
        while last < 200:
            last = int(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).split()
    await process.wait()
    last = max([last, *(int(word) for word in rest[:-1])])
    store, journal = open_store(tmp_path)
    names = {item["metadata"]["name"] for item in store.list("configmaps")}
    journal.close()
    assert {f"c{number}" for number in range(last + 1)} <= names


async def test_a_directory_belongs_to_one_process_and_its_owner(tmp_path: Path) -> None:
    _, journal = open_store(tmp_path / "objects")
    with pytest.raises(DirectoryInUse, match="in use by another process"):
        Journal(tmp_path / "objects")
    for path in (tmp_path / "objects").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((tmp_path / "objects").stat().st_mode) == 0o700
    journal.close()
    Journal(tmp_path / "objects").close()


async def test_the_certificate_is_made_once(tmp_path: Path) -> None:
    async with served(tmp_path) as (first, _):
        pass
    async with served(tmp_path) as (second, _):
        assert second.authority == first.authority
    assert stat.S_IMODE((tmp_path / "tls.key").stat().st_mode) == 0o600
    (tmp_path / "tls.crt").write_text("rubbish")
    async with served(tmp_path) as (third, session):
        assert third.authority != first.authority
        async with session.get("/healthz") as response:
            assert response.status == 200


async def test_the_port_of_the_last_run_is_taken_again_when_it_is_free(tmp_path: Path) -> None:
    async with open_api(tmp_path / "a", SystemClock(), TOKENS) as first:
        port = int(first.url.rpartition(":")[2])
        async with open_api(tmp_path / "b", SystemClock(), TOKENS, preferred_port=port) as second:
            assert second.url != first.url
        with pytest.raises(OSError, match="in use"):
            async with open_api(tmp_path / "c", SystemClock(), TOKENS, port):
                pass
    async with open_api(tmp_path / "a", SystemClock(), TOKENS, preferred_port=port) as again:
        assert again.url == first.url


async def test_watches_end_when_the_server_stops(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer p-token"}
    async with contextlib.AsyncExitStack() as stack:
        async with open_api(tmp_path, SystemClock(), TOKENS) as api:
            trust = ssl.create_default_context(cadata=api.authority)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)))
            response = await session.get(f"{api.url}/api/v1/namespaces", params={"watch": "1"}, headers=headers)
            assert response.status == 200
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 5
        async with asyncio.timeout(5):
            assert await response.content.read() == b""


async def test_a_watcher_that_is_too_slow_is_told_to_list_again() -> None:
    store, _ = open_store(None)
    store.create("namespaces", {"metadata": {"name": "default"}})
    watch = store.watch("namespaces", since=store.version)
    for number in range(history.KEPT_CHANGES + 1):
        store.patch("namespaces", "default", None, {"metadata": {"annotations": {"n": str(number)}}})
    with pytest.raises(ApiError) as refused:
        watch.take()
    assert refused.value.code == 410


async def test_a_client_that_leaves_ends_its_watch(tmp_path: Path) -> None:
    async with served(tmp_path) as (api, session):
        waiters = api.store.history._waiters
        response = await session.get("/api/v1/namespaces", params={"watch": "1"}, headers={"Authorization": "Bearer p-token"})
        async with asyncio.timeout(5):
            while not waiters:
                await asyncio.sleep(0.01)
            response.close()
            while waiters:
                await asyncio.sleep(0.01)


async def test_hostile_requests_get_a_status(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer p-token"}
    async with served(tmp_path) as (api, session):
        api.store.create("namespaces", {"metadata": {"name": "default"}})
        path = "/api/v1/namespaces/default/configmaps"
        bodies = (
            b"",
            b"[]",
            b"null",
            b'{"metadata": []}',
            b'{"metadata": {"name": 1}}',
            b'{"metadata": {"name": "x"}, "data": 5}',
            b"\xff",
            b'{"a": NaN}',
        )
        for body in (*bodies, b"[" * 100_000):
            async with session.post(path, data=body, headers={**headers, "Content-Type": "application/json"}) as response:
                assert 400 <= response.status < 500, (body[:20], response.status)
                assert (await response.json())["kind"] == "Status"
        async with session.post(path, data=b"x" * (4 << 20), headers={**headers, "Content-Type": "application/json"}) as response:
            assert response.status == 413
        for query in ("limit=x", "resourceVersion=x", "watch=maybe", "continue=%%%", "labelSelector=((", "fieldSelector=x"):
            async with session.get(f"{path}?{query}", headers=headers) as response:
                assert response.status == 400, query
        yaml = "metadata: {name: x}\ndata: {a: 2026-11-24T08:00:00Z}\n"
        async with session.post(path, data=yaml, headers={**headers, "Content-Type": "application/yaml"}) as response:
            assert (await response.json())["data"] == {"a": "2026-11-24T08:00:00Z"}


async def test_a_deleted_definition_takes_its_objects_along(tmp_path: Path) -> None:
    store, _ = open_store(None)
    store.create("namespaces", {"metadata": {"name": "default"}})
    install(store, definition())
    held = {"name": "w", "namespace": "default", "finalizers": ["moltbot.test/hold"]}
    store.create(WIDGETS, {"metadata": held, "spec": {"mode": "A"}})
    store.create(WIDGETS, {"metadata": {"name": "x", "namespace": "default"}, "spec": {"mode": "A"}})
    _, gone = store.delete("customresourcedefinitions.apiextensions.k8s.io", WIDGETS)
    assert not gone
    assert [item["metadata"]["name"] for item in store.list(WIDGETS)] == ["w"]
    store.patch(WIDGETS, "w", "default", {"metadata": {"finalizers": None}})
    assert store.registry.find(WIDGETS) is None
    assert store.find("customresourcedefinitions.apiextensions.k8s.io", WIDGETS) is None


async def test_starting_imports_nothing_heavy() -> None:
    """The project's budget: `moltbot up` shows a page in 5 s, all processes in 300 MiB."""
    heavy = {"pydantic", "kubernetes", "cryptography", "jsonschema", "kopf"}
    program = f"import json, sys, moltbot_local.local_api; print(json.dumps(sorted({heavy!r} & set(sys.modules))))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert json.loads(output) == []
