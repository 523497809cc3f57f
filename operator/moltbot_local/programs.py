"""Operator and router as processes beside the miniature Kubernetes, as a Deployment would keep them."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .clock import Clock
from .environment_of_children import base_environment
from .kubelet.processes import CannotStart, Launcher, Process

# A program that ends at once is started again after 1 s, doubling to 30 s; after 60 s of life it begins anew.
FIRST_SECONDS, LONGEST_SECONDS, GOOD_SECONDS = 1.0, 30.0, 60.0
# Neither keeps anything that SIGKILL could lose; Kopf alone takes five seconds to end its watches.
STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


class Supervised:
    """One program that is kept running until `stop`."""

    def __init__(self, launcher: Launcher, clock: Clock, program: Program, directory: Path, say: Callable[[str], None]) -> None:
        self._launcher, self._clock, self._program, self._say = launcher, clock, program, say
        self._directory = directory
        self.log = directory / f"{program.name}.log"
        self.process: Process | None = None
        self._starts = 0

    async def run(self) -> None:
        """Until cancelled; the process is then left to `stop`."""
        wait = FIRST_SECONDS
        home = self._directory / self._program.name
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.log.exists():
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            self.log.write_text("")
        while True:
            self._starts += 1
            began = self._clock.epoch()
            try:
                env = {**base_environment(home), **self._program.env}
                self.process = await self._launcher.start(f"{self._program.name}/{self._starts}", self._program.argv, env, home, self.log)
                how = f"it ended with {(await self.process.wait()).code}"
            except CannotStart as error:
                how = f"it could not be started: {error}"
            if self._clock.epoch() - began > GOOD_SECONDS:
                wait = FIRST_SECONDS
            self._say(f"the {self._program.name} is not running ({how}; {last_line(self.log)}); it is started again in {wait:g} s")
            await self._clock.sleep(wait)
            wait = min(wait * 2, LONGEST_SECONDS)

    async def stop(self, *, at_once: bool = False) -> None:
        """SIGTERM, then SIGKILL; `at_once`: SIGKILL."""
        if self.process is None or self.process.exit.done():
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(0 if at_once else STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def last_line(log: Path) -> str:
    """For a person: the end of a log in one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, 2) - 2048, 0))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1][:200]} — {log}" if lines else str(log)
