"""Runs the lifecycle service on a `World` as the operator's queue does: one step at a time, again when it asks or something changes."""

from __future__ import annotations

import itertools

from moltbot_operator.lifecycle.ports import Outcome
from moltbot_operator.lifecycle.service import LifecycleService
from tests.lifecycle.world import Killed, World


class Operator:
    """One operator process after another: `step` survives being killed, with nothing of the old one's memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = itertools.count(1)
        self.kills = 0
        self.service = self._fresh()

    def _fresh(self) -> LifecycleService:
        return LifecycleService(self._world.ports(), new_id=lambda: f"h-{next(self._ids)}")

    async def step(self) -> Outcome | None:
        """One step and the write of the status; `None`: the process was killed in it."""
        try:
            outcome = await self.service.step(self._world.observed())
        except Killed:
            self.kills += 1
            self.service = self._fresh()
            return None
        if outcome.status != self._world.status:
            self._world.status = outcome.status
        return outcome


async def run_for(world: World, operator: Operator, seconds: float, *, router: bool = True) -> None:
    """Everybody acts until `seconds` have passed: the operator when it asked to, the others every half second."""
    end = world.clock.monotonic() + seconds
    due = world.clock.monotonic()
    seen: object = None
    while world.clock.monotonic() < end:
        world.controllers()
        if router:
            world.router()
        now = (world.version, world.pod.uid if world.pod else None, world.moltbot)
        if world.clock.monotonic() >= due or now != seen:
            seen = now
            outcome = await operator.step()
            wait = 0.0 if outcome is None else outcome.requeue_after
            due = world.clock.monotonic() + (wait if wait is not None else 3600.0)
        world.pass_time(0.5)


async def awake(world: World, operator: Operator) -> None:
    """Until it is open and the status says so."""
    for _ in range(40):
        world.controllers()
        await operator.step()
        if world.pod is not None and world.status.instance == world.pod.uid:
            return
        world.pass_time(0.5)
    raise AssertionError(f"it does not wake: {world.status}")


async def settle(world: World, operator: Operator) -> None:
    """Without any fault until everything that was held is delivered and its turns have ended."""
    world.router_replicas = None
    for _ in range(12):
        await run_for(world, operator, 10.0)
        world.end_turns()
        if not world.held:
            break
    await run_for(world, operator, 5.0)
    world.check_settled()
