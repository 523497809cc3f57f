"""What `moltbot up` does when its parts fail; stand-in programs instead of operator and router."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from moltbot_local.home import Home
from moltbot_local.manifests import Settings
from moltbot_local.programs import Program
from moltbot_local.supervisor import Broken, Options, Supervisor
from tests.local.machine import sleeper

SECONDS = 20


class Heard:
    """What the person is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._news = asyncio.Event()

    def say(self, subject: str, sentence: str) -> None:
        self.sentences.append(f"{subject} {sentence}".strip())
        self._news.set()

    async def until(self, words: str) -> str:
        async with asyncio.timeout(SECONDS):
            while not (found := [sentence for sentence in self.sentences if words in sentence]):
                self._news.clear()
                await self._news.wait()
        return found[0]


def supervise(home: Path, heard: Heard, *programs: Program) -> Supervisor:
    def made(_: Supervisor) -> Sequence[Program]:
        return programs

    place = Home(home)
    place.make()
    return Supervisor(place, Options(), [], Settings({}, {}), heard.say, programs=made)


def program(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-u", "-S", "-c", code), {})


def launcher_pid(home: Path) -> int:
    return int((home / "processes.lock").read_text().split()[0])


async def until_file(path: Path, words: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not path.exists() or words not in path.read_text():
            await asyncio.sleep(0.01)


async def test_a_program_that_ends_is_told_with_its_last_words_and_started_again(tmp_path: Path) -> None:
    heard = Heard()
    code = (
        "import os, time\nif os.path.exists('once'): print('second'); time.sleep(60)\n"
        "open('once', 'w'); print('oh no'); raise SystemExit(3)"
    )
    supervisor = supervise(tmp_path, heard, program("operator", code))
    running = asyncio.create_task(supervisor.run())
    sentence = await heard.until("the operator is not running")
    assert "it ended with 3" in sentence
    assert "oh no" in sentence
    await until_file(tmp_path / "run" / "operator.log", "second")
    supervisor.stopping.set()
    await running


async def test_when_the_launcher_is_killed_everything_stops_and_says_so(tmp_path: Path) -> None:
    """Nothing runs without the one that would end it."""
    supervisor = supervise(tmp_path, Heard(), program("operator", sleeper("operator")))
    running = asyncio.create_task(supervisor.run())
    await until_file(tmp_path / "run" / "operator.log", "operator up")
    os.kill(launcher_pid(tmp_path), signal.SIGKILL)
    with pytest.raises(Broken, match="was ended by somebody"):
        await asyncio.wait_for(running, SECONDS)


async def test_a_second_signal_does_not_wait_for_anybody(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, Heard(), program("operator", sleeper("operator", wait=3600)))
    running = asyncio.create_task(supervisor.run())
    await until_file(tmp_path / "run" / "operator.log", "operator up")
    supervisor.stopping.set()
    supervisor.hurry.set()
    await asyncio.wait_for(running, SECONDS)


async def test_the_operators_secrets_become_the_routers_files(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, Heard(), program("operator", sleeper("operator")))
    running = asyncio.create_task(supervisor.run())
    await until_file(tmp_path / "run" / "operator.log", "operator up")
    assert supervisor.api is not None
    secret = {"metadata": {"name": "moltbot-router-keys", "namespace": "moltbot-system"}, "data": {"keys.json": "e30="}}
    supervisor.api.store.create("secrets", secret)
    keys = tmp_path / "run" / "keys" / "keys.json"
    await until_file(keys, "{}")
    assert keys.stat().st_mode & 0o777 == 0o600
    supervisor.api.store.patch("secrets", "moltbot-router-keys", "moltbot-system", {"data": {"keys.json": "e30K"}})
    await until_file(keys, "{}\n")
    supervisor.stopping.set()
    await running
