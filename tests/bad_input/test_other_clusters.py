"""The rows that need a cluster or an operator of another kind: no StorageClass, too old, no stand-in for a missing key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moltbot_local import discovery
from tests.bad_input.stage import Stage, arrange, check
from tests.bad_input.table import TABLE, Row, Where
from tests.controller.harness import local_cluster, running

OTHERS = (Where.NO_CLASS, Where.OLD, Where.NO_STAND_IN)
PLAYS = [(row, where) for row in TABLE for where in OTHERS if where in row.where]


@asynccontextmanager
async def open_stage(where: Where, directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """The operator in this process, on a miniature API server that is so. There is no kubelet: nothing of these rows may start anyhow."""
    if where is Where.OLD:
        monkeypatch.setitem(discovery.VERSION, "minor", "29+")
    async with local_cluster(directory, storage_class=where is not Where.NO_CLASS) as cluster, running(cluster) as run:
        stage = Stage(cluster.person, cluster.namespace, {})
        yield stage
        await run.quiet()


@pytest.mark.parametrize(("row", "where"), PLAYS, ids=[f"{row.id}-{where.name.lower()}" for row, where in PLAYS])
async def test_mistake_is_told_with_what_mends_it(row: Row, where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 1 and 9."""
    async with open_stage(where, tmp_path, monkeypatch) as stage:
        await arrange(stage, row)
        await check(stage, row)
        if where in (Where.OLD, Where.NO_CLASS):
            await check_not_started(stage)


async def check_not_started(stage: Stage) -> None:
    status: dict[str, Any] = await stage.status()
    assert status["phase"] == "Pending"
