"""The API of `moltbot up`, opened on this machine: objects from the data directory, served on loopback to three known tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .builtin import builtin_registry
from .certificate import open_certificate
from .clock import Clock
from .crd import CustomKinds
from .journal import Journal
from .server import open_server
from .store import Store

STORAGE_CLASS = {
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "moltbot.dev/directory",
    "allowVolumeExpansion": True,
}


@dataclass(frozen=True)
class LocalApi:
    store: Store
    url: str
    # PEM of the certificate that a kubeconfig must trust.
    authority: str


@asynccontextmanager
async def open_api(
    directory: Path,
    clock: Clock,
    tokens: Mapping[str, str],
    port: int = 0,
    preferred_port: int = 0,
    *,
    log_root: Path | None = None,
) -> AsyncIterator[LocalApi]:
    """Raises DirectoryInUse, and OSError when `port` (not 0) is taken. `preferred_port` is used when it is free and `port` is 0."""
    journal = Journal(directory)
    try:
        store = Store(builtin_registry(), journal, clock=clock)
        CustomKinds(store)
        if store.entry("storageclasses.storage.k8s.io", "standard") is None:
            store.create("storageclasses.storage.k8s.io", STORAGE_CLASS)
        certificate = open_certificate(directory)
        serving = open_server(store, tokens, port=port, preferred_port=preferred_port, log_root=log_root, tls=certificate.context)
        async with serving as url:
            yield LocalApi(store, url, certificate.pem)
    finally:
        journal.close()
