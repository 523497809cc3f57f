"""`moltbot up` as a person starts it: the real operator, router and gateway, ended by Ctrl-C and by `kill -9` ("Without a cluster")."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.yaml"
SECONDS = 60


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "MOLTBOT_HOME": str(home), **more}


@dataclass
class Up:
    """A running `moltbot up`, its output line by line."""

    process: asyncio.subprocess.Process
    home: Path
    port: int
    admin_port: int
    lines: list[str]

    async def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while line := (await self.process.stdout.readline()).decode():
                    self.lines.append(line)
                    if found := re.search(pattern, line):
                        return found
        logs = "".join(f"\n--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted((self.home / "run").glob("*.log")))
        raise AssertionError(f"nothing like {pattern!r} in:\n{''.join(self.lines)}{logs}")

    async def cli(self, *words: str) -> str:
        """`moltbot …` as another terminal would run it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "moltbot_cli", *words, env=environment(self.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, error = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0, error.decode()
        return out.decode()

    async def until_phase(self, phase: str) -> None:
        async with asyncio.timeout(SECONDS):
            while json.loads(await self.cli("status", "ada", "-o", "json"))["status"].get("phase") != phase:
                pass

    def children(self) -> list[int]:
        """The processes that it started, as the launcher wrote them down."""
        return [int(line.split()[0]) for line in (self.home / "processes.lock").read_text().splitlines()]


@asynccontextmanager
async def up(home: Path, *, file: Path = QUICKSTART, **more: str) -> AsyncIterator[Up]:
    port, admin_port = free_ports(2)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moltbot_cli", "up", "-f", str(file), "--port", str(port), "--admin-port", str(admin_port)),
        env=environment(home, **more),
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Up(process, home, port, admin_port, [])
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def is_alive(pid: int) -> bool:
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc").exists()


async def until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(SECONDS):
        while any(map(is_alive, pids)):
            await asyncio.sleep(0.02)


def resident_mib(pids: list[int]) -> float:
    text = "".join(Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(map(int, re.findall(r"VmRSS:\s+(\d+)", text))) / 1024


@pytest.mark.timeout(180)
async def test_a_first_try_from_start_to_a_second_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with up(home, ANTHROPIC_BASE_URL="", SOMETHING_PRIVATE="x") as first:
        link = (await first.read_until(r"ada\s+(http://localhost:\d+/\?token=\S+)"))[1]
        admin = (await first.read_until(r"administration\s+(http://localhost:\d+/_admin/#key=\S+)"))[1]
        assert str(first.port) in link
        assert str(first.admin_port) in admin
        await first.read_until("ready after")
        assert home.stat().st_mode & 0o777 == 0o700
        assert (home / "kubeconfig").stat().st_mode & 0o777 == 0o600
        # the page opens with the link, and is refused without
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page = await asyncio.to_thread(lambda: browser.open(link, timeout=20).read())
        assert b"<html" in page
        with pytest.raises(urllib.error.HTTPError, match="401"):
            await asyncio.to_thread(urllib.request.urlopen, f"http://localhost:{first.port}/", timeout=20)

        assert json.loads(await first.cli("token", "-o", "json"))["token"] in link
        assert (await first.cli("admin")).strip() == admin
        assert await first.cli("devices", "list") == "no device in namespace default\n"
        await first.cli("wake")
        await first.until_phase("Awake")
        assert "state open" in await first.cli("logs")
        if Path("/proc").exists():
            pids = [first.process.pid, *first.children()]
            assert len(pids) == 5  # this, launcher, operator, router, gateway
            environ = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in first.children())
            assert b"SOMETHING_PRIVATE" not in environ
            assert resident_mib(pids) < 330  # the goal is 300; a test on a busy machine leaves a margin
        assert "ada is asleep" in await first.cli("sleep")
        status = json.loads(await first.cli("status", "ada", "-o", "json"))
        recorded = status["status"]["recorded"]["lineage"]

        children = first.children()
        first.process.send_signal(signal.SIGINT)
        await first.read_until("stopped")
        assert await asyncio.wait_for(first.process.wait(), SECONDS) == 0
        assert not any(map(is_alive, children))

    async with up(home) as second:
        assert (await second.read_until(r"ada\s+http://localhost:\d+/\?token=(\S+)"))[1] in link
        await second.read_until("ada is asleep")  # as it was left
        await second.cli("wake")
        await second.until_phase("Awake")
        status = json.loads(await second.cli("status", "ada", "-o", "json"))
        assert status["status"]["recorded"]["lineage"] == recorded

        # a second one on the same directory is refused by name
        async with up(home) as other:
            assert await asyncio.wait_for(other.process.wait(), SECONDS) == 1
            assert other.process.stdout is not None
            assert b"runs already" in await other.process.stdout.read()

        # kill -9 leaves nothing
        children = second.children()
        assert len(children) == 4
        second.process.kill()
        await until_gone(children)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spec: {sleepAfter: 1m, sleepAftr: 2m}", 'unknown field "spec.sleepAftr"'),
        ("spec: {sleepAfter: soon}", "spec.sleepAfter"),
    ],
)
async def test_a_file_that_the_api_refuses_starts_nothing_and_says_why(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "ada.yaml"
    file.write_text("apiVersion: moltbot.dev/v1alpha1\nkind: Moltbot\nmetadata: {name: ada}\n" + text)
    async with up(tmp_path / "home", file=file) as refused:
        found = await refused.read_until("moltbot up: .*")
        assert words in found[0]
        assert "Moltbot ada" in found[0]
        assert await asyncio.wait_for(refused.process.wait(), SECONDS) == 1
        await until_gone(refused.children())
