"""What all pods of this machine share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ..clock import Clock
from ..events import Recorder
from ..store import Store
from .addresses import Addresses
from .podspec import PodSpec
from .processes import Launcher


@dataclass
class Machine:
    """`images`: name → the command that an image runs when its container names none."""

    store: Store
    clock: Clock
    launcher: Launcher
    addresses: Addresses
    images: Mapping[str, tuple[str, ...]]
    data: Path
    recorder: Recorder
    session: aiohttp.ClientSession
    # (name, namespace) → address of a pod behind that Service
    resolve: Callable[[str, str], str | None]
    # (address, port) → words for who else has it
    owner_of_port: Callable[[str, int, str], str]
    shutting_down: bool = False

    def pod_directory(self, spec: PodSpec) -> Path:
        return self.data / "pods" / f"{spec.namespace}_{spec.name}_{spec.uid}"
