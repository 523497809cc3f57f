"""`kubectl get moltbots -w`, and whether what it says is true at the moment in which it says it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moltbot_api.conditions import Phase
from tests.e2e.cluster import SECONDS, Place, started, until

PHASES = frozenset(phase.value for phase in Phase)


@dataclass
class Watch:
    """`phases`: each once, in the order in which they came. `pods`: what stood in the API when a line said so: none, going, or there."""

    place: Place
    name: str
    phases: list[str] = field(default_factory=list)
    pods: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    async def follow(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            words = line.decode().split()
            self.lines.append(line.decode().rstrip())
            phase = words[1] if len(words) > 1 and words[1] in PHASES else ""
            if words[:1] != [self.name] or not phase or (self.phases and self.phases[-1] == phase):
                continue
            pod = await self.place.pod(self.name)
            self.phases.append(phase)
            self.pods.append("none" if pod is None else "going" if pod["metadata"].get("deletionTimestamp") else "there")

    async def saw(self, *phases: str) -> None:
        """Until the watch ends in these phases."""

        async def ended() -> bool:
            return tuple(self.phases[-len(phases) :]) == phases

        await until(f"{self.name} goes through {phases}, it went {self.phases}", ended, SECONDS)

    def lies(self) -> list[str]:
        """Where what was said was not so. A wake may follow a phase within milliseconds: only what cannot be is a lie."""
        possible = {
            Phase.PENDING: {"none", "there"},
            Phase.WAKING: {"none", "there"},
            Phase.AWAKE: {"there"},
            Phase.DRAINING: {"there", "going", "none"},
            Phase.ASLEEP: {"none"},
            Phase.SUSPENDED: {"none"},
            Phase.FAILED: {"none", "there", "going"},
        }
        said = zip(self.phases, self.pods, strict=True)
        return [f"{phase} with pod {pod}" for phase, pod in said if pod not in possible[Phase(phase)]]


@asynccontextmanager
async def open_watch(place: Place, name: str) -> AsyncIterator[Watch]:
    """Open it before the Moltbot is made, and nothing is missed."""
    watch = Watch(place, name)
    async with started("kubectl", "-n", place.namespace, "get", "moltbots", "-w", "--no-headers") as output:
        task = asyncio.create_task(watch.follow(output))
        try:
            yield watch
        finally:
            task.cancel()
