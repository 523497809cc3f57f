"""The client of the confined child: its life, its limits, and what a child that was taken over can do to the gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from moltbot_gateway.tools import host as client
from moltbot_gateway.tools.host import HostFailure, ToolHost, child_environment, probe

linux = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and /proc are Linux's")


def child_of(host: ToolHost) -> int:
    assert host._child is not None
    return host._child.process.pid


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            await asyncio.sleep(0.01)  # polling the kernel: nothing is synchronised by this pause


async def test_nothing_is_started_before_the_first_call(host: ToolHost) -> None:
    assert (host.confined, host.starts) == (None, 0)
    await host.call("write", {"path": "a", "content": "x"}, timeout=10)
    assert host.confined is not None
    assert host.starts == 1


@linux
async def test_it_says_what_confinement_holds(host: ToolHost) -> None:
    found = await probe()
    await host.call("list", {}, timeout=10)
    assert host.confined is found.confined is (found.landlock > 0)
    assert not found.problem


async def test_the_environment_is_made_anew(host: ToolHost, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLTBOT_MODEL_API_KEY", "sk-secret")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    result = await host.call("exec", {"command": "env", "env": host.environment}, timeout=20)
    names = {line.partition("=")[0] for line in str(result["output"]).splitlines()}
    # PWD and _ are the shell's own
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "GITHUB_USER"}
    assert child_environment(workspace)["HOME"] == str(workspace)


async def test_a_person_cannot_take_over_the_childs_start(workspace: Path) -> None:
    """What a person puts into the environment reaches programs alone, never the interpreter that has yet to confine itself."""
    (workspace / "json.py").write_text("open('taken', 'w').close()")
    opened = ToolHost(workspace, {"PYTHONPATH": str(workspace), "PATH": "/nowhere"})
    try:
        await opened.call("list", {}, timeout=10)
        assert not (workspace / "taken").exists()
        result = await opened.call("exec", {"command": "echo $PYTHONPATH; echo $PATH", "env": opened.environment}, timeout=20)
        assert str(result["output"]).splitlines()[0] == str(workspace)
        assert "/nowhere" not in str(result["output"])
    finally:
        await opened.close()


async def test_calls_run_side_by_side(host: ToolHost) -> None:
    """Each of two waits for the other's file: one after the other would wait for ever."""
    first = "touch one; until test -e two; do sleep 0.01; done"
    second = "touch two; until test -e one; do sleep 0.01; done"
    results = await asyncio.gather(*(host.call("exec", {"command": command}, timeout=20) for command in (first, second)))
    assert [result["exitCode"] for result in results] == [0, 0]


@linux
async def test_a_child_that_dies_fails_its_calls_and_is_started_again(host: ToolHost) -> None:
    running = asyncio.create_task(host.call("exec", {"command": "touch begun; sleep 60"}, timeout=30))
    await until(host.workspace / "begun")
    os.kill(child_of(host), 9)
    with pytest.raises(HostFailure, match="tool process ended") as failure:
        await running
    assert failure.value.code == "ended"
    assert (await host.call("exec", {"command": "echo again"}, timeout=20))["output"] == "again\n"
    assert host.starts == 2


async def until(path: Path) -> None:
    async with asyncio.timeout(20):
        while not path.exists() or not path.read_text():
            if path.exists() and path.stat().st_size == 0 and path.name == "begun":
                return
            await asyncio.sleep(0.01)  # polling a file of another process


@linux
async def test_programs_end_with_a_killed_child(host: ToolHost) -> None:
    running = asyncio.create_task(host.call("exec", {"command": "echo $$ > pid; exec sleep 60"}, timeout=30))
    await until(host.workspace / "pid")
    os.kill(child_of(host), 9)
    with pytest.raises(HostFailure):
        await running
    await gone(int((host.workspace / "pid").read_text()))


@linux
async def test_cancelling_a_call_ends_its_programs(host: ToolHost) -> None:
    command = "trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done"
    running = asyncio.create_task(host.call("exec", {"command": command}, timeout=30))
    await until(host.workspace / "pid")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not Path(f"/proc/{int((host.workspace / 'pid').read_text())}").exists()
    assert (await host.call("exec", {"command": "echo well"}, timeout=20))["output"] == "well\n"
    assert host.starts == 1


async def test_a_call_that_takes_too_long_is_ended(host: ToolHost) -> None:
    with pytest.raises(HostFailure, match="longer than") as failure:
        await host.call("exec", {"command": "sleep 60"}, timeout=0.5)
    assert failure.value.code == "timeout"
    assert host.starts == 1


async def test_closing_ends_everything(workspace: Path) -> None:
    opened = ToolHost(workspace, {})
    await opened.call("start", {"command": "echo $$ > pid; exec sleep 60"}, timeout=20)
    await until(workspace / "pid")
    await opened.close()
    assert not Path(f"/proc/{int((workspace / 'pid').read_text())}").exists()
    with pytest.raises(HostFailure, match="going to sleep"):
        await opened.call("list", {}, timeout=10)
    await opened.close()


async def test_an_odd_name_or_output_survives_the_frames(host: ToolHost) -> None:
    result = await host.call("exec", {"command": r"printf 'a\377b\n\360\237\230\200'"}, timeout=20)
    assert result["output"] == "a\ufffdb\n😀"
    await host.call("exec", {"command": r"touch \"$(printf 'x\377')\""}, timeout=20)
    assert await host.call("list", {}, timeout=10)
    await host.call("write", {"path": "half", "content": "\ud83d"}, timeout=10)
    assert (host.workspace / "half").read_text() == "?"


async def test_a_request_that_is_too_large_is_refused_before_it_is_sent(host: ToolHost) -> None:
    with pytest.raises(HostFailure) as failure:
        await host.call("write", {"path": "a", "content": "x" * client.MAX_FRAME}, timeout=10)
    assert failure.value.code == "too-large"
    assert host.starts == 1


HOSTILE = {
    "no JSON": "print('{{{', flush=True)",
    "no frame": "print('[1]', flush=True)",
    "an answer to nothing": """print('{"id": 99, "result": {}}', flush=True)""",
    "neither result nor error": """print('{"id": 1, "result": 5}', flush=True)""",
    "too deep": "print('[' * 200000, flush=True)",
    "a line without end": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "an end": "sys.exit(0)",
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_child_that_was_taken_over_costs_its_calls_and_nothing_else(
    words: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = 'import sys\nprint(\'{"hello": {"landlock": 7, "confined": true}}\', flush=True)\nsys.stdin.readline()\n'
    hostile = [sys.executable, "-I", "-c", hello + words + "\nsys.stdin.read()"]
    opened = ToolHost(workspace, {})
    real = client._command
    monkeypatch.setattr(client, "_command", lambda *given: hostile if opened.starts == 0 else real(*given))
    try:
        with pytest.raises(HostFailure) as failure:
            await opened.call("list", {}, timeout=20)
        assert failure.value.code == "ended"
        assert (await opened.call("list", {}, timeout=20))["entries"] is not None
    finally:
        await opened.close()


async def test_a_child_that_floods_stderr_is_heard_out(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = (
        'import os, sys\nprint(\'{"hello": {"landlock": 7, "confined": true}}\', flush=True)\nsys.stdin.readline()\n'
        "for _ in range(200): os.write(2, b'x' * 65536)\nprint('{\"id\": 1, \"result\": {}}', flush=True)\nsys.stdin.read()"
    )
    monkeypatch.setattr(client, "_command", lambda *given: [sys.executable, "-I", "-c", flood])
    opened = ToolHost(workspace, {})
    try:
        assert await opened.call("list", {}, timeout=20) == {}
    finally:
        await opened.close()


@pytest.mark.parametrize("words", ["", "hello", '{"hello": {}}', '{"hello": {"landlock": 7, "confined": false}}'])
async def test_a_child_that_does_not_begin_as_it_should_is_not_used(words: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one: the kernel could confine and it did not."""
    script = f"import sys; print({words!r}, flush=True); print('why it is so', file=sys.stderr, flush=True); sys.stdin.readline()"
    monkeypatch.setattr(client, "_command", lambda *given: [sys.executable, "-I", "-c", script])
    opened = ToolHost(workspace, {})
    with pytest.raises(HostFailure) as failure:
        await opened.call("list", {}, timeout=10)
    assert failure.value.code == "start"
    await opened.close()


@linux
async def test_an_idle_child_is_small(host: ToolHost) -> None:
    await host.call("exec", {"command": "true"}, timeout=20)
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{child_of(host)}/smaps_rollup").read_text().splitlines()[1:])
    own = int(rollup["Private_Dirty"].split()[0]) + int(rollup["Private_Clean"].split()[0])
    assert own < 24 * 1024, f"{own} KiB"


def update_texts(told: list[Mapping[str, object]]) -> list[str]:
    return [str(one["text"]) for one in told]


async def test_what_a_program_says_is_told_while_it_runs(host: ToolHost) -> None:
    told: list[Mapping[str, object]] = []
    heard = asyncio.Event()

    def update(so_far: Mapping[str, object]) -> None:
        told.append(so_far)
        heard.set()

    command = "echo first; until test -e go; do sleep 0.01; done; echo last"
    running = asyncio.create_task(host.call("exec", {"command": command}, timeout=30, update=update))
    await asyncio.wait_for(heard.wait(), 10)
    (host.workspace / "go").touch()
    assert (await running)["output"] == "first\nlast\n"
    assert update_texts(told)[0] == "first\n"
