"""A gateway in this process with a model that a test scripts and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import SealedClient
from tests.gateway.models import ScriptedModel
from tests.gateway.pod import Live, Pod, start


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def live(tmp_path: Path, model: ScriptedModel, clock: FakeClock) -> AsyncIterator[Live]:
    async with start(Pod(tmp_path), model=model, clock=clock) as started:
        yield started


@pytest.fixture
async def client(live: Live) -> AsyncIterator[SealedClient]:
    async with SealedClient.connect(live.address) as connected:
        yield connected
