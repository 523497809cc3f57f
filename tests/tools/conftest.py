"""A tool host on a workspace of its own, as a gateway has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_gateway.tools.host import ToolHost


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "current" / "workspace"
    path.mkdir(parents=True)
    return path


@pytest.fixture
async def host(workspace: Path) -> AsyncIterator[ToolHost]:
    opened = ToolHost(workspace, {"GITHUB_USER": "ada"})
    yield opened
    await opened.close()
