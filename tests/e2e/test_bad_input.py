"""The table of `tests/bad_input` on a real cluster: the same rows, played and checked by the same code as on `moltbot up`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config

from moltbot_kube import Kube
from tests.bad_input.stage import Stage, namespace_of, play, remove
from tests.bad_input.table import TABLE, Row, Where
from tests.e2e.bucket import ENDPOINT, Buckets
from tests.e2e.cluster import FAKES_ADDRESS, forwarded
from tests.e2e.release import NAMESPACE, Release
from tests.e2e.test_claude import open_fake

LOOP: Any = {"loop_scope": "session"}
ROWS = [row for row in TABLE if Where.CLUSTER in row.where]


class Cluster:
    """Every row that was collected is begun at once: waiting for one is then waiting for all."""

    def __init__(self, person: Kube, values: Mapping[str, str], port: int, s3: Any) -> None:
        self._person, self._values, self._port, self._s3 = person, values, port, s3
        self._suffix = f"-{uuid.uuid4().hex[:6]}"
        self.stages: dict[str, Stage] = {}
        self.plays: dict[str, asyncio.Task[None]] = {}

    def begin(self, rows: list[Row]) -> None:
        for row in rows:
            stage = Stage(self._person, namespace_of(row, self._suffix), self._values, self._port, self._s3)
            self.stages[row.id] = stage
            self.plays[row.id] = asyncio.create_task(play(stage, row), name=row.id)


def client_of(port: int) -> Any:
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="testsecret")
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 5})
    return session.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", config=config)


@pytest_asyncio.fixture(scope="module", **LOOP)
async def cluster(person: Kube, release: Release, buckets: Buckets, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    wanted = {item.name.partition("[")[2].rstrip("]") for item in request.session.items if item.path == request.path}
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(forwarded(NAMESPACE, "svc/moltbot-router", 8080))
        claude = await stack.enter_async_context(open_fake())
        values = {
            "CLAUDE_CIDR": f"{FAKES_ADDRESS}/32",
            "CLAUDE_PORT": str(claude),
            "CLAUDE": f"http://{FAKES_ADDRESS}:{claude}",
            "S3": ENDPOINT,
            "BUCKET": await buckets.make(),
        }
        cluster = Cluster(person, values, port, client_of(buckets.port))
        cluster.begin([row for row in ROWS if row.id in wanted])
        try:
            yield cluster
        finally:
            for task in cluster.plays.values():
                task.cancel()
            await asyncio.gather(*cluster.plays.values(), return_exceptions=True)
            await asyncio.gather(*map(remove, cluster.stages.values()))
            buckets.made.extend(name for stage in cluster.stages.values() for name in stage.made)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_mistake_is_told_with_what_mends_it_and_nothing_is_lost(cluster: Cluster, row: Row) -> None:
    """Rules 1, 4, 5, 8, 11, 12."""
    await cluster.plays[row.id]
