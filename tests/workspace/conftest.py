from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway.store.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "current" / "moltbot.sqlite")
    yield opened
    await opened.close()
