"""The same tests against the miniature API server (`make test`) and against a real one (`-m cluster`, KUBECONFIG set)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from moltbot_local.clock import SystemClock
from moltbot_local.controllers import open_controllers
from moltbot_local.home import kubeconfig_text
from moltbot_local.local_api import open_api
from tests.contract.client import Client, Json, from_kubeconfig
from tests.contract.widgets import WIDGETS, definition

ENDPOINTS = ["local", pytest.param("cluster", marks=pytest.mark.cluster)]


@asynccontextmanager
async def open_local(directory: Path) -> AsyncIterator[Path]:
    """The local API with its controllers, without a kubelet; the kubeconfig of its person."""
    tokens = {name: secrets.token_urlsafe(16) for name in ("operator", "router", "person")}
    clock = SystemClock()
    async with open_api(directory / "objects", clock, tokens, log_root=directory / "pods") as api:
        for name in ("default", "kube-system"):
            api.store.create("namespaces", {"metadata": {"name": name}})
        for name, token in tokens.items():
            (directory / f"{name}.kubeconfig").write_text(kubeconfig_text(api.url, name, token, authority=api.authority))
        controllers = asyncio.create_task(open_controllers(api.store, clock, directory).run())
        try:
            yield directory / "person.kubeconfig"
        finally:
            controllers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await controllers


@pytest.fixture(params=ENDPOINTS)
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """A client with a namespace of its own."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "local":
            kubeconfig = await stack.enter_async_context(open_local(tmp_path))
        elif not os.environ.get("KUBECONFIG"):
            pytest.skip("KUBECONFIG names no cluster")
        else:
            kubeconfig = Path(os.environ["KUBECONFIG"])
        client = await stack.enter_async_context(from_kubeconfig(kubeconfig))
        client.local = request.param == "local"
        client.namespace = f"contract-{secrets.token_hex(4)}"
        (await client.create("/api/v1/namespaces", {"metadata": {"name": client.namespace}})).ok()
        await until(lambda: _exists(client, client.core("serviceaccounts", "default")))
        yield client
        if not client.local:
            await client.delete(f"/api/v1/namespaces/{client.namespace}")


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def shared_definition() -> Iterator[list[bool]]:
    """On a cluster the definition is shared by all tests of a session, and removed at its end when one of them used it there."""
    used: list[bool] = []
    yield used

    async def remove() -> None:
        async with from_kubeconfig(Path(os.environ["KUBECONFIG"])) as client:
            await client.delete(f"{CRDS}/widgets.{WIDGETS.group}")

    if used:
        asyncio.run(remove())


@pytest.fixture
async def widgets(client: Client, shared_definition: list[bool]) -> AsyncIterator[str]:
    """The path of a custom kind in the test's namespace."""
    if not client.local:
        shared_definition.append(True)
    answer = await client.create(CRDS, definition())
    assert answer.code in (201, 409), answer
    kind = client.of(WIDGETS.group, "v1", "widgets")

    async def served() -> bool:
        return (await client.get(kind)).code == 200

    await until(served)
    yield kind
    for item in (await client.get(kind)).ok()["items"]:
        await client.patch(f"{kind}/{item['metadata']['name']}", {"metadata": {"finalizers": []}})


async def _exists(client: Client, path: str) -> bool:
    return (await client.get(path)).code == 200


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Poll until a condition of the cluster holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


def without(item: Json, *names: str) -> Json:
    """An object without these fields of its metadata: for comparing what two writes left."""
    return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key not in names}}
