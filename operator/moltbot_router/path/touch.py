"""Rule 6: a navigation to an awake Moltbot is activity. The gateway keeps the clock; the router tells it, at most every min(30 s,
sleepAfter / 3)."""

from __future__ import annotations

import asyncio

from moltbot_router.path.facts import Key, MoltbotFacts
from moltbot_router.path.ports import ClusterView
from moltbot_router.path.readiness import Readiness
from moltbot_router.path.upstream import Committed, Gateways, UpstreamLost
from moltbot_router.path.wake import Waker
from moltbot_trust.clock import Clock
from moltbot_trust.logs import get_logger

TOUCH_SECONDS = 30.0
log = get_logger("moltbot_router.touch")


def touch_every(sleep_after: float | None) -> float:
    """Seconds between two touches; `sleep_after` None: it never sleeps by itself."""
    return TOUCH_SECONDS if sleep_after is None else min(TOUCH_SECONDS, sleep_after / 3)


class Presence:
    """Tells gateways that somebody is there, and wakes those that sleep. Owns the tasks of the calls under way."""

    def __init__(self, view: ClusterView, waker: Waker, gateways: Gateways, clock: Clock) -> None:
        self._view, self._waker, self._gateways, self._clock = view, waker, gateways, clock
        self._touched: dict[Key, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def navigated(self, moltbot: MoltbotFacts) -> None:
        """A person opened the page. Returns at once."""
        key = moltbot.key
        state = self._waker.state(key)
        if state is None:
            return
        if state.readiness is not Readiness.AWAKE:
            self._waker.start(key, reason="page")
            return
        now = self._clock.monotonic()
        last = self._touched.get(key)
        if last is not None and now - last < touch_every(moltbot.sleep_after):
            return
        self._touched = {known: at for known, at in self._touched.items() if now - at < TOUCH_SECONDS}
        self._touched[key] = now
        task = asyncio.get_running_loop().create_task(self._touch(key), name=f"touch {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _touch(self, key: Key) -> None:
        instance, state = self._view.instance(key), self._waker.state(key)
        if instance is None or state is None or state.pod is None:
            return
        try:
            await self._gateways.touch(instance.moltbot, state.pod)
        except (Committed, UpstreamLost) as error:
            # It is going, or gone: the person who came is reason enough to wake it.
            log.info("touch found nobody", moltbot=str(key), error=str(error))
            self._touched.pop(key, None)
            self._waker.mark_lost(key, state.pod.uid)
            self._waker.start(key, reason="page")

    async def close(self) -> None:
        """End the calls under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
