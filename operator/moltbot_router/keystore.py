"""Key material from mounted Secrets: read when it appears, read again when it changes. Until then nobody passes a lock, and `/healthz`
is up."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

from moltbot_trust.clock import Clock
from moltbot_trust.errors import KeyRingError
from moltbot_trust.keys import ROUTER_PURPOSES, BranchRing, KeyRing
from moltbot_trust.logs import get_logger
from moltbot_trust.redaction import Secret

# The kubelet brings a changed Secret within about a minute; a new one within seconds (seconds between two looks).
LOOK_SECONDS, FIRST_LOOK_SECONDS = 5.0, 0.2
MAX_FILE_BYTES = 64 * 1024
# Derived rings kept; deriving one costs about 20 µs.
MAX_RINGS = 4096

log = get_logger("moltbot_router.keys")


class KeyStore:
    """`ring_of` and `admin_key` answer None until the files are there."""

    def __init__(self, keys_file: Path, admin_file: Path, clock: Clock) -> None:
        self._keys_file, self._admin_file, self._clock = keys_file, admin_file, clock
        self._branches: BranchRing | None = None
        self._keys_text = ""
        self.admin_key: Secret | None = None
        self._rings: OrderedDict[str, KeyRing] = OrderedDict()
        self._complained: dict[Path, str] = {}

    @property
    def ready(self) -> bool:
        """The locks can be checked."""
        return self._branches is not None

    def ring_of(self, moltbot_uid: str) -> KeyRing | None:
        """The keys of one Moltbot."""
        if self._branches is None:
            return None
        ring = self._rings.get(moltbot_uid)
        if ring is None:
            ring = self._rings[moltbot_uid] = self._branches.for_moltbot(moltbot_uid)
            while len(self._rings) > MAX_RINGS:
                self._rings.popitem(last=False)
        else:
            self._rings.move_to_end(moltbot_uid)
        return ring

    def look(self) -> None:
        """Read both files once. A file that is not usable leaves what was read before in force."""
        text = self._read(self._keys_file)
        if text and text != self._keys_text:
            try:
                branches = BranchRing.parse(text)
                branches.require(ROUTER_PURPOSES)
            except KeyRingError as error:
                self._complain(self._keys_file, str(error))
            else:
                self._branches, self._keys_text = branches, text
                self._rings.clear()
                self._complained.pop(self._keys_file, None)
                log.info("keys read", current=branches.current)
        admin = self._read(self._admin_file).strip()
        if admin and (self.admin_key is None or not self.admin_key.matches(admin)):
            self.admin_key = Secret(admin)
            log.info("administration key read")

    async def run(self) -> None:
        """Look again until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await self._clock.sleep(LOOK_SECONDS if self.ready and self.admin_key is not None else FIRST_LOOK_SECONDS)

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode()
        except FileNotFoundError:
            self._complain(path, "not there yet: the operator makes it at its first start")
        except (OSError, UnicodeDecodeError) as error:
            self._complain(path, type(error).__name__)
        return ""

    def _complain(self, path: Path, problem: str) -> None:
        if self._complained.get(path) != problem:
            self._complained[path] = problem
            log.warning("key file not usable", file=str(path), problem=problem)
