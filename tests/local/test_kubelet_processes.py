"""Processes that never outlive their parent, and never run beside their predecessor ("Without a cluster", rule 3: one writer)."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moltbot_local.kubelet.processes import CannotStart, Exit, Launcher, open_launcher

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    launcher = await open_launcher(tmp_path / "lock", orphan_grace=2)
    yield launcher
    await launcher.close()


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]


async def until(condition: object, seconds: float = 10) -> None:
    """Wait for something that another process does; the deadline only ends a failing test."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_output_exit_code_and_environment_are_exactly_what_was_asked(launcher: Launcher, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    code = "import os, sys; print(sorted(k for k in os.environ if k != 'LC_CTYPE'), os.getcwd()); print('oh', file=sys.stderr); sys.exit(3)"
    process = await launcher.start("a", python(code), {"ONLY": "this"}, tmp_path, log)
    assert await process.wait() == Exit(3, 0)
    assert sorted(log.read_text().splitlines()) == [f"['ONLY'] {tmp_path}", "oh"]
    assert log.stat().st_mode & 0o777 == 0o600


async def test_a_program_that_does_not_exist_is_told_with_the_systems_words(launcher: Launcher, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r'exec: "nothing-of-this-name": executable file not found in \$PATH'):
        await launcher.start("a", ["nothing-of-this-name"], ENV, tmp_path, tmp_path / "0.log")
    # and the launcher lives on
    process = await launcher.start("a", ["true"], ENV, tmp_path, tmp_path / "0.log")
    assert await process.wait() == Exit(0, 0)


async def test_what_a_container_started_ends_with_it(launcher: Launcher, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    process = await launcher.start("a", ["sh", "-c", "sleep 1000 & echo $!; wait"], ENV, tmp_path, log)
    await until(lambda: log.read_text().strip())
    child = int(log.read_text())
    process.terminate()
    assert await process.wait() == Exit(128 + signal.SIGTERM, signal.SIGTERM)
    await until(lambda: not alive(child))


PARENT = """
import asyncio, sys
from pathlib import Path
from moltbot_local.kubelet.processes import open_launcher

async def main():
    here = Path(sys.argv[1])
    launcher = await open_launcher(here / "lock", orphan_grace=float(sys.argv[2]))
    process = await launcher.start("writer", [sys.executable, "-I", "-S", str(here / "writer.py")], {}, here, here / "0.log")
    print(process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def start_parent(here: Path, grace: float, writer: str) -> tuple[subprocess.Popen[str], int]:
    (here / "writer.py").write_text(textwrap.dedent(writer))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(here), str(grace)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    await until(lambda: "ready" in (here / "0.log").read_text())
    return parent, pid


async def kill(parent: "subprocess.Popen[str]") -> None:
    parent.kill()
    await asyncio.to_thread(parent.communicate)


async def test_after_kill_9_of_the_parent_a_child_may_finish_and_is_gone(tmp_path: Path) -> None:
    parent, pid = await start_parent(
        tmp_path,
        10,
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("committed", flush=True), sys.exit(0)))
        print("ready", flush=True)
        while True: time.sleep(10)
        """,
    )
    await kill(parent)
    await until(lambda: not alive(pid))
    assert "committed" in (tmp_path / "0.log").read_text()


async def test_a_successor_starts_nothing_before_a_stubborn_child_is_killed(tmp_path: Path) -> None:
    parent, pid = await start_parent(
        tmp_path,
        0.5,
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        while True: time.sleep(10)
        """,
    )
    await kill(parent)
    assert alive(pid)
    said: list[str] = []
    successor = await open_launcher(tmp_path / "lock")
    successor.on_waiting = said.append
    process = await successor.start("next", ["true"], ENV, tmp_path, tmp_path / "1.log")
    assert not alive(pid)
    assert f"{pid} writer" in said[0]
    await process.wait()
    await successor.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="parent-death signal")
async def test_kill_9_of_the_launcher_itself_leaves_nothing_and_is_seen(tmp_path: Path) -> None:
    launcher = await open_launcher(tmp_path / "lock")
    process = await launcher.start("a", ["sleep", "1000"], ENV, tmp_path, tmp_path / "0.log")
    os.kill(await launcher.ready, signal.SIGKILL)
    assert (await process.wait()).signal == signal.SIGKILL
    await until(lambda: not alive(process.pid))
    with pytest.raises(CannotStart, match="ended"):
        await launcher.start("b", ["true"], ENV, tmp_path, tmp_path / "0.log")
    await launcher.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="adopting orphans")
async def test_a_daemon_that_left_its_session_ends_with_the_launcher(tmp_path: Path) -> None:
    launcher = await open_launcher(tmp_path / "lock")
    log = tmp_path / "0.log"
    process = await launcher.start("a", ["sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2"], ENV, tmp_path, log)
    await process.wait()
    daemon = int(log.read_text())
    assert alive(daemon)
    await launcher.close()
    assert not alive(daemon)
