"""One S3 server for the folder; every test has a prefix and a state directory of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from moltbot_state.layout import StateDir
from tests.fakes.s3 import S3Server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Server]:
    s3_server.requests.clear()
    yield s3_server
    s3_server.fault, s3_server.conditions = None, True


@pytest.fixture
def prefix() -> str:
    return f"team/ada-{next(_numbers)}/"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    root = tmp_path / "state"
    root.mkdir()
    return StateDir(root)
