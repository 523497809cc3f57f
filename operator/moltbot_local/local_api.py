"""The API of `moltbot up`, opened on this machine: objects from the data directory, served on loopback to three known tokens."""

import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .clock import Clock
from .journal import Journal
from .store import Store


@dataclass(frozen=True)
class LocalApi:
    store: Store
    url: str
