"""A thousand sleeps and wakes, with everything happening and every process killed at random (architecture, numbers to design for)."""

from __future__ import annotations

import random

import pytest

from moltbot_operator.lifecycle.observed import Storage
from moltbot_operator.lifecycle.status import Phase
from tests.lifecycle.driving import Operator, awake, run_for, settle
from tests.lifecycle.faults import FAULTS, lost_answer, suspended
from tests.lifecycle.world import World

# In two halves, so that two cores share them.
CYCLES = 500
# At each point at which the world may act, one of the faults with this probability.
CHANCE = 0.12
# Suspending for ever would be the end of it; it has tests of its own.
DISTURBANCES = tuple(fault for fault in FAULTS if fault is not suspended)


@pytest.mark.parametrize("storage", list(Storage))
async def test_a_thousand_cycles_with_random_kills_lose_double_and_strand_nothing(storage: Storage) -> None:
    """Rules 2 to 5, 7, 8: operator, router, gateway and pod end at random moments; after each cycle all that was accepted is there."""
    seed = 20261124
    chance = random.Random(seed)
    world = World(storage)
    operator = Operator(world)
    disturbances = 0
    disturbed = True

    async def interleave(where: str) -> None:
        nonlocal disturbances
        if not disturbed or chance.random() >= CHANCE:
            return
        fault = chance.choice(DISTURBANCES)
        if fault is lost_answer and (where == "observe" or where.startswith("checkpoint")):
            return
        disturbances += 1
        fault(world)

    world.interleave = interleave
    await awake(world, operator)
    cycles = 0
    for _ in range(CYCLES * 3):
        if cycles >= CYCLES:
            break
        before = world.scaled_down
        disturbed = True
        if chance.random() < 0.7:
            world.send()
        await run_for(world, operator, 3.0, router=chance.random() < 0.7)  # wakes, or is awake
        world.end_turns()
        world.pass_time(chance.choice((5.0, 61.0, 61.0)))
        await run_for(world, operator, 6.0, router=chance.random() < 0.7)  # sleeps, perhaps
        disturbed = False
        await settle(world, operator)
        world.pass_time(61.0)
        await run_for(world, operator, 4.0)
        cycles += world.scaled_down - before
        world.check_settled()
    assert cycles >= CYCLES, f"only {cycles} sleeps; seed {seed}"
    assert disturbances > CYCLES
    assert operator.kills > CYCLES / 20
    assert world.pods_made > CYCLES / 2
    assert len(world.accepted) > CYCLES / 2
    assert world.status.phase in (Phase.ASLEEP, Phase.AWAKE, Phase.WAKING, Phase.DRAINING)
