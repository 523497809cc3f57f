"""Fixtures of the router's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.router.world import World, running_router


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A router and one sleeping Moltbot."""
    async with running_router(tmp_path / "router") as made:
        yield made
