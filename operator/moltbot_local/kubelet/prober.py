"""The probes of one running container: they set `started`, `ready` and `unhealthy` of its record and wake its pod."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from .environment import Invocation
from .machine import Machine
from .podspec import Probe
from .probes import Counter, attempt
from .processes import CannotStart
from .records import Record


class Prober:
    """`run` lives as long as the process: its pod cancels it then. `unhealthy(words)` is told of every failed attempt."""

    def __init__(
        self,
        record: Record,
        invocation: Invocation,
        address: str,
        machine: Machine,
        *,
        wake: Callable[[], None],
        unhealthy: Callable[[str], None],
    ) -> None:
        self._record, self._invocation, self._address, self._machine = record, invocation, address, machine
        self._wake, self._unhealthy = wake, unhealthy

    async def run(self) -> None:
        container, record = self._record.container, self._record
        if container.startup is not None:
            await self._machine.clock.sleep(container.startup.initial_delay)
            if not await self._until_verdict(container.startup, Counter(container.startup, False), "Startup"):
                record.unhealthy = self._machine.clock.epoch()
                self._wake()
                return
            record.on_startup_passed()
            self._wake()
        async with asyncio.TaskGroup() as group:
            if container.liveness is not None:
                group.create_task(self._liveness(container.liveness))
            if container.readiness is not None:
                group.create_task(self._readiness(container.readiness))

    async def _until_verdict(self, probe: Probe, counter: Counter, kind: str) -> bool:
        """Attempts until the verdict is given anew; returns it."""
        while True:
            success, words = await attempt(probe, self._record.container, self._address, self._machine.session, self._execute)
            if not success:
                self._unhealthy(f"{kind} probe failed: {words}")
            verdict = counter.count(success)
            if verdict is not None:
                return verdict
            await self._machine.clock.sleep(probe.period)

    async def _liveness(self, probe: Probe) -> None:
        await self._machine.clock.sleep(probe.initial_delay)
        counter = Counter(probe, True)
        while await self._until_verdict(probe, counter, "Liveness"):
            await self._machine.clock.sleep(probe.period)
        self._record.unhealthy = self._machine.clock.epoch()
        self._wake()

    async def _readiness(self, probe: Probe) -> None:
        await self._machine.clock.sleep(probe.initial_delay)
        counter = Counter(probe, False)
        while True:
            ready = await self._until_verdict(probe, counter, "Readiness")
            if ready != self._record.ready:
                self._record.ready = ready
                self._wake()
            await self._machine.clock.sleep(probe.period)

    async def _execute(self, command: tuple[str, ...], seconds: float) -> int:
        """A probe's command, as a process of its own with the container's environment. Raises TimeoutError."""
        record, invocation = self._record, self._invocation
        name = f"{record.container_id}/probe/{id(asyncio.current_task())}"
        try:
            process = await self._machine.launcher.start(name, command, invocation.env, invocation.cwd, Path("/dev/null"))
        except CannotStart:
            return 127
        try:
            async with asyncio.timeout(seconds):
                return (await process.wait()).code
        finally:
            if not process.exit.done():
                process.kill()
