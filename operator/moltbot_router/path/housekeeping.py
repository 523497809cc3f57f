"""What has to be done about devices without anybody asking: requests that nobody answered go after five minutes, and kubectl's column
says what is so."""

from __future__ import annotations

import asyncio

from moltbot_router.locks.pairing import Pairing
from moltbot_router.path.facts import Key
from moltbot_router.path.ports import ClusterError, ClusterView
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

# A burst of changes becomes one look (seconds); and every Moltbot with devices that ask is looked at this often.
GATHER_SECONDS, ROUND_SECONDS = 0.5, 20.0

log = get_logger("moltbot_router.housekeeping")


class Housekeeping:
    """`run` as a task of the router."""

    def __init__(self, view: ClusterView, pairing: Pairing, clock: Clock) -> None:
        self._view, self._pairing, self._clock = view, pairing, clock
        self._dirty: set[Key] = set()
        self._stirred = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        unsubscribe = self._view.subscribe(self._changed)
        timer = asyncio.create_task(self._rounds())
        try:
            while True:
                await self._stirred.wait()
                await self._clock.sleep(GATHER_SECONDS)
                self._stirred.clear()
                keys, self._dirty = self._dirty, set()
                for key in keys:
                    await self._tidy(key)
        finally:
            unsubscribe()
            timer.cancel()

    async def _rounds(self) -> None:
        while True:
            await self._clock.sleep(ROUND_SECONDS)
            for moltbot in self._view.moltbots():
                if any(device.request is not None for device in self._view.devices(moltbot.key)):
                    self._changed(moltbot.key)

    async def _tidy(self, key: Key) -> None:
        try:
            await self._pairing.tidy(key)
        except ClusterError as error:
            log.debug("devices not tidied now", moltbot=str(key), error=str(error))

    def _changed(self, key: Key) -> None:
        self._dirty.add(key)
        self._stirred.set()
