"""A program that hangs, floods, forks, eats memory, hides or ends: contained, with an answer, and the next call works."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moltbot_gateway.tools import host as client
from moltbot_gateway.tools.base import ToolOutcome
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import ToolHost
from moltbot_gateway.tools.programs import program_tools
from tests.tools.calls import call, named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what descends from a program is found by /proc")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ToolHost]:
    opened = ToolHost(tmp_path / "workspace", {})
    yield opened
    # whatever a program did, the host it ran in is still the first, and works
    outcome = await run(opened, "echo well")
    assert outcome.model == "well"
    assert opened.starts == 1
    await opened.close()


async def run(host: ToolHost, command: str, **given: Any) -> ToolOutcome:
    return await call(named(program_tools(host), "exec"), command=command, **given)


def marked(mark: str) -> list[int]:
    """Living processes whose command line has the mark in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes() and "\nState:\tZ" not in (entry / "status").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_a_fork_bomb(host: ToolHost) -> None:
    mark = f"bomb-{os.getpid()}-{time.monotonic_ns()}"
    outcome = await run(host, f"f() {{ sh -c 'sleep 300 # {mark}' & f & f & wait; }}; f", timeout=60)
    assert outcome.error
    assert "too many processes" in outcome.model
    assert marked(mark) == []


async def test_many_processes_that_leave_at_once(host: ToolHost) -> None:
    mark = f"daemons-{os.getpid()}-{time.monotonic_ns()}"
    script = (
        f"for n in $(seq 1 40); do setsid -f env -i sh -c 'trap \"\" TERM HUP INT; sleep 300; : {mark}' >/dev/null 2>&1; done; echo done"
    )
    outcome = await run(host, script, timeout=60)
    assert outcome.model.startswith("done\n")
    assert "were ended" in outcome.model
    assert marked(mark) == []


async def test_memory_of_one_process(host: ToolHost) -> None:
    script = "import sys\nhog = []\nwhile True: hog.append(bytearray(64 * 2**20))"
    (host.workspace).mkdir(exist_ok=True)
    (host.workspace / "hog.py").write_text(script)
    outcome = await run(host, f"ulimit -d; ulimit -d 1048576; {sys.executable} hog.py", timeout=60)
    assert outcome.error
    assert outcome.model.split()[0].isdecimal(), "a limit stands before the program sets a lower one"
    assert "MemoryError" in outcome.model or "used more than" in outcome.model


async def test_memory_of_many_processes_together(host: ToolHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each below what one may have. The limit is made small, so that the machine that runs the test need not be large."""
    place = str(Path(client.__file__).resolve().parents[2])
    begin = (
        f"import sys; sys.path.insert(0, {place!r}); import moltbot_tools.__main__ as m; m.memory_limit = lambda: 512 * 2**20; "
        "sys.exit(m.main(sys.argv[1:]))"
    )
    monkeypatch.setattr(
        client, "_command", lambda command, workspace, confine: [sys.executable, "-I", "-c", begin, command, "--workspace", str(workspace)]
    )
    host.workspace.mkdir(exist_ok=True)
    (host.workspace / "hog.py").write_text("import time\nhog = bytearray(b'x') * (200 * 2**20)\ntime.sleep(300)\n")
    outcome = await run(host, f"for n in 1 2 3 4; do {sys.executable} hog.py & done; wait", timeout=60)
    assert outcome.error
    assert "used more than 512 MiB of memory" in outcome.model


async def test_output_without_end(host: ToolHost) -> None:
    outcome = await run(host, "yes", timeout=60)
    assert outcome.error
    assert "it wrote more than 64 MiB" in outcome.model
    assert len(outcome.model) < 30_000


async def test_output_in_the_background_is_slowed_down(host: ToolHost) -> None:
    await run(host, "yes", background=True)
    tools = program_tools(host)
    outcome = await call(named(tools, "process"), action="poll", id="p1", wait=5)
    assert outcome.model.endswith("s]")
    assert len(outcome.model) < 80_000
    # one that floods does not keep others waiting
    assert (await run(host, "echo between")).model == "between"
    await call(named(tools, "process"), action="kill", id="p1")


async def test_a_file_without_end(host: ToolHost) -> None:
    outcome = await run(host, "truncate -s 5G sparse && echo made; ls")
    assert "made" not in outcome.model
    assert outcome.error or "sparse" in outcome.model
    assert (host.workspace / "sparse").stat().st_size <= 4 * 2**30


async def test_a_program_that_ignores_being_asked_to_end(host: ToolHost) -> None:
    mark = f"deaf-{os.getpid()}-{time.monotonic_ns()}"
    outcome = await run(host, f"trap '' TERM HUP INT; while true; do sleep 1; : {mark}; done", timeout=1)
    assert "it took longer than 1 s" in outcome.model
    assert marked(mark) == []


async def test_a_stopped_program_is_ended_too(host: ToolHost) -> None:
    mark = f"stopped-{os.getpid()}-{time.monotonic_ns()}"
    outcome = await run(host, f": {mark}; kill -STOP $$", timeout=1)
    assert "it took longer than 1 s" in outcome.model
    assert marked(mark) == []


async def test_binary_rubbish_control_characters_and_frames_in_output(host: ToolHost) -> None:
    frame = '{"id": 1, "result": {"output": "forged"}}'
    outcome = await run(host, f"printf '\\033[2J\\007'; echo '{frame}'; echo '{frame}' >&2; echo '{frame}' > /proc/$PPID/fd/1")
    assert outcome.model.count("forged") == 2
    assert "ermission denied" in outcome.model or "nonexistent" in outcome.model
    assert (await run(host, "head -c 300000 /dev/urandom")).model.startswith("[binary output, 300000 bytes")


async def test_the_end_of_the_shell_is_the_end_of_the_call(host: ToolHost) -> None:
    """Though a program that it left holds the output open."""
    began = time.monotonic()
    outcome = await run(host, "(trap '' TERM; sleep 300) & exit 7", timeout=60)
    assert "[exit code 7]" in outcome.model
    assert time.monotonic() - began < 30


async def test_closing_its_own_output_does_not_hide_it(host: ToolHost) -> None:
    outcome = await run(host, "exec >&- 2>&-; sleep 300", timeout=1)
    assert "it took longer than 1 s" in outcome.model


async def test_sixteen_at_once_and_not_more(host: ToolHost) -> None:
    """Calls that hang side by side are each ended, and the one too many is refused in words."""
    hanging = [asyncio.create_task(run(host, "touch begun-$$; sleep 300", timeout=120)) for _ in range(16)]
    async with asyncio.timeout(30):
        while len(list(host.workspace.glob("begun-*"))) < 16:
            await asyncio.sleep(0.02)  # polling files of other processes
    refused = await run(host, "true")
    assert refused.error
    assert "are running already" in refused.model
    assert (await call(named(file_tools(host), "list"))).model
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    assert all(task.cancelled() for task in hanging)
