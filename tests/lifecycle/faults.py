"""What the rest of the world may do between any two steps of the operator, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from moltbot_api.spec import OperatingMode
from moltbot_operator.lifecycle.ports import Unavailable
from tests.lifecycle.world import Killed, World

Fault = Callable[[World], None]


def traffic(world: World) -> None:
    """A message comes, and the router does what it does with it."""
    world.send()
    world.router()


def traffic_that_ends(world: World) -> None:
    """A message comes, is answered, and nobody is busy any more."""
    world.send()
    world.router()
    world.router()
    world.end_turns()


def router_that_started_late(world: World) -> None:
    """The router holds a message and believes that replicas is 0, whatever it is: it writes 1 over 1."""
    world.send()
    world.router_replicas = 0
    world.router()
    world.router_replicas = None


def router_resumes(world: World) -> None:
    """A router resumes although it then has nothing to send (a client that went away)."""
    if world.pod is not None:
        world.pod.process.handshake.resume(world.clock.monotonic())


def wake_over_one(world: World) -> None:
    """1 is written over 1, or over a 0 that was just written."""
    world.write_scale(1)


def gateway_restarts(world: World) -> None:
    world.restart_gateway()


def gateway_restarts_and_takes_work(world: World) -> None:
    world.restart_gateway()
    traffic(world)


def evicted(world: World) -> None:
    """SIGTERM by somebody else; the state container flushes."""
    world.terminate(flush=True)


def another_version(world: World) -> None:
    """A controller writes the StatefulSet's status."""
    world.bump()


def pause(world: World) -> None:
    """The operator stands still for longer than rule 5e allows, not so long that the ttl runs out."""
    world.pass_time(11.0)


def long_pause(world: World) -> None:
    """… until the ttl has run out, or the committed gateway has ended and is there again, unnoticed."""
    world.pass_time(15.5)
    traffic(world)
    world.pass_time(20.0)


def pause_until_the_gateway_is_back(world: World) -> None:
    """The committed process has ended by itself, another one has taken work, and the API has not noticed yet."""
    world.pass_time(15.1)
    traffic(world)


def lost_answer(world: World) -> None:
    """The call was carried out or not, depending on where this is; the answer does not come."""
    raise Unavailable("the connection broke")


def killed(world: World) -> None:
    raise Killed


def suspended(world: World) -> None:
    world.moltbot = replace(world.moltbot, mode=OperatingMode.SUSPENDED, generation=world.moltbot.generation + 1)


def person_asks_to_wake(world: World) -> None:
    now = world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    world.moltbot = replace(world.moltbot, annotations={**world.moltbot.annotations, "moltbot.dev/wake": now})


def spec_changes(world: World) -> None:
    world.template += 1
    world.moltbot = replace(world.moltbot, generation=world.moltbot.generation + 1)
    world.bump()


FAULTS: tuple[Fault, ...] = (
    traffic,
    traffic_that_ends,
    router_that_started_late,
    router_resumes,
    wake_over_one,
    gateway_restarts,
    gateway_restarts_and_takes_work,
    evicted,
    another_version,
    pause,
    long_pause,
    pause_until_the_gateway_is_back,
    lost_answer,
    killed,
    suspended,
    person_asks_to_wake,
    spec_changes,
)


def at(place: int, fault: Fault, world: World) -> Callable[[str], Awaitable[None]]:
    """Let `fault` happen at the `place`-th point (from 0) at which the world may act."""
    return at_each({place: fault}, world)


def at_each(faults: dict[int, Fault], world: World) -> Callable[[str], Awaitable[None]]:
    """Let each happen at its point."""
    points = iter(range(1_000_000))

    async def interleave(where: str) -> None:
        fault = faults.get(next(points))
        no_call = where == "observe" or where.startswith("checkpoint")
        if fault is not None and not (fault is lost_answer and no_call):
            fault(world)

    return interleave
