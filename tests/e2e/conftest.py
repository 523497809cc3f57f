"""One cluster, one release, one browser for all of it, on one event loop: a browser belongs to the loop that started it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from moltbot_kube import Kube
from moltbot_kube.resources import SERVICES
from tests.chromium import chromium_flags, find_chromium
from tests.e2e.bucket import Buckets
from tests.e2e.cluster import Place, forwarded, open_place
from tests.e2e.people import WAIT_MS, Doors, Visitor, open_visitor
from tests.e2e.release import NAMESPACE, Release, open_release

# Chromium resolves *.localhost by itself; nothing else needs to be resolved.
RESOLVER_RULES = "MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost, EXCLUDE 127.0.0.1"
LOOP: Any = {"loop_scope": "session"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it needs a cluster, and shares the release and the loop."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.xdist_group("cluster"))
            item.add_marker(pytest.mark.timeout(300))
            item.add_marker(pytest.mark.asyncio(**LOOP), append=False)
    # The first conversation is timed from the installation; what takes the release away comes last. Everything else stays where it was.
    ours = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    rank = {"test_first_conversation.py": 0, "test_upgrade.py": 2}
    for place, item in zip(ours, sorted((items[place] for place in ours), key=lambda item: rank.get(item.path.name, 1)), strict=True):
        items[place] = item


@pytest_asyncio.fixture(scope="package", **LOOP)
async def person() -> AsyncIterator[Kube]:
    """The API, with the rights of KUBECONFIG: a cluster's administrator."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    async with await Kube.connect() as kube:
        yield kube


@pytest_asyncio.fixture(scope="package", **LOOP)
async def release(person: Kube) -> AsyncIterator[Release]:
    """The chart, installed for these tests and uninstalled after them: it looks after the Moltbots of every namespace."""
    async with open_release(person) as installed:
        yield installed


@pytest_asyncio.fixture(scope="package", **LOOP)
async def doors(release: Release) -> AsyncIterator[Doors]:
    """A browser, and the two port-forwards of NOTES.txt."""
    async with AsyncExitStack() as stack:
        public = await stack.enter_async_context(forwarded(NAMESPACE, "svc/moltbot-router", 8080))
        admin = await stack.enter_async_context(forwarded(NAMESPACE, "deploy/moltbot-router", 8081))
        playwright = await stack.enter_async_context(async_playwright())
        expect.set_options(timeout=WAIT_MS)
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=chromium_flags(RESOLVER_RULES))
        stack.push_async_callback(browser.close)
        yield Doors(browser, public, admin, await release.admin_key())


@pytest_asyncio.fixture(scope="package", **LOOP)
async def buckets(person: Kube) -> AsyncIterator[Buckets]:
    """The S3 server inside the cluster."""
    if await person.get(SERVICES, "s3", "s3") is None:
        pytest.skip("the cluster has no S3 server in namespace s3: .ci/e2e says where it comes from")
    async with forwarded("s3", "svc/s3", 7070) as port:
        opened = Buckets(port)
        yield opened
        await opened.remove()


@pytest_asyncio.fixture(**LOOP)
async def place(person: Kube, release: Release) -> AsyncIterator[Place]:
    """A namespace of the test's own."""
    async with open_place(person) as opened:
        yield opened


@pytest_asyncio.fixture(**LOOP)
async def visit(doors: Doors) -> AsyncIterator[Callable[..., Any]]:
    """`await visit(place, "ada")` is a person at that Moltbot's page, with a browser of their own."""
    async with contextlib.AsyncExitStack() as stack:

        async def new(place: Place, name: str = "ada") -> Visitor:
            return await stack.enter_async_context(open_visitor(doors, place, name))

        yield new
