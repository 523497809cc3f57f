"""The fake of the Messages API, and a gateway that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.stage import Stage, faked, on_stage
from tests.fakes.anthropic_api import FakeAnthropic


@pytest.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with faked(hold=20.0) as started:
        yield started


@pytest.fixture
async def stage(fake: FakeAnthropic, tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(fake, tmp_path) as ready:
        yield ready
