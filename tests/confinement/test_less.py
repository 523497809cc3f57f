"""What holds where the kernel offers less, or a person said that the pod is the boundary."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from moltbot_gateway.tools import host as client
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import ToolHost, probe
from moltbot_gateway.tools.programs import program_tools
from tests.confinement.test_floods import marked
from tests.tools.calls import call, named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")


def pretend(monkeypatch: pytest.MonkeyPatch, abi: int) -> None:
    """A kernel of that Landlock version: its rights are those that an older one knows."""
    place = str(Path(client.__file__).resolve().parents[2])
    begin = (
        f"import sys; sys.path.insert(0, {place!r}); from moltbot_tools import landlock; landlock.abi_version = lambda: {abi}\n"
        "from moltbot_tools.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )

    def command(name: str, workspace: Path, confine: bool) -> list[str]:
        flags = [] if confine else ["--unconfined"]
        return [sys.executable, "-I", "-c", begin, name, "--workspace", str(workspace), *flags]

    monkeypatch.setattr(client, "_command", command)


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
async def test_every_version_confines_files_and_ends_what_is_left(abi: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (await probe()).landlock < abi:
        pytest.skip("this kernel has less")
    pretend(monkeypatch, abi)
    (tmp_path / "secret").write_text("sk-secret")
    mark = f"left-{os.getpid()}-{time.monotonic_ns()}"
    host = ToolHost(tmp_path / "workspace", {})
    try:
        leave = f"for n in 1 2 3; do setsid -f sh -c 'trap \"\" TERM; sleep 300; : {mark}'; done"
        command = f"cat {tmp_path}/secret; {leave}; mkdir d; echo x > d/a; mv d/a d/b"
        outcome = await call(named(program_tools(host), "exec"), command=command)
        assert host.confined
        assert "sk-secret" not in outcome.model
        assert "ermission denied" in outcome.model
        assert marked(mark) == []
        assert (host.workspace / "d/b").exists()
    finally:
        await host.close()


async def test_without_landlock_it_says_so_and_names_still_end_at_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0)
    assert not (await probe()).confined
    (tmp_path / "secret").write_text("sk-secret")
    mark = f"left-{os.getpid()}-{time.monotonic_ns()}"
    host = ToolHost(tmp_path / "workspace", {})
    try:
        assert await host.is_confined() is False
        outcome = await call(named(file_tools(host), "read"), path="../secret")
        assert outcome.error
        assert "outside the workspace" in outcome.model
        await call(named(program_tools(host), "exec"), command=f"setsid -f sh -c 'trap \"\" TERM; sleep 300; : {mark}'")
        assert marked(mark) == []
    finally:
        await host.close()


async def test_a_persons_word_leaves_programs_to_the_pod(tmp_path: Path) -> None:
    """`confinement: pod`: limits and the environment hold as ever, the rest of the pod can be read."""
    (tmp_path / "beside").write_text("can be read\n")
    host = ToolHost(tmp_path / "workspace", {}, confine=False)
    try:
        assert await host.is_confined() is False
        outcome = await call(
            named(program_tools(host), "exec"), command=f"cat {tmp_path}/beside; ulimit -c; grep NoNewPrivs /proc/self/status"
        )
        assert outcome.model == "can be read\n0\nNoNewPrivs:\t1"
    finally:
        await host.close()
