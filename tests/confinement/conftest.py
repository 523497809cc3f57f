"""A confined child, as root and as an ordinary user, next to what it must not reach: a process of the same user that holds keys in its
environment, memory and an open file, a database, a kubeconfig, another home.

Everything here belongs to the user as whom the tools run, and the process can be looked into by its own user: what holds is the
confinement alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moltbot_gateway.tools import host as client
from moltbot_gateway.tools.host import ToolHost

SECRET = "sk-ant-the-model-key-0123456789"
UNPRIVILEGED = 65532
PACKAGE = Path(client.__file__).resolve().parents[2] / "moltbot_tools"
# An interpreter that every user may run; the one of a checkout may lie in a home.
SYSTEM_PYTHON = Path("/usr/bin/python3")

# Stands for the gateway: the secret in its environment, in its memory, in an open file, and behind an abstract socket.
_HOLDER = """
import os, socket, sys
secret = os.environ["MODEL_KEY"] + " in memory"
opened = open(sys.argv[1])
door = socket.socket(socket.AF_UNIX)
door.bind("\\0moltbot-holder-%d" % os.getpid())
door.listen()
print("ready", flush=True)
while True:
    try:
        peer, _ = door.accept()
        peer.sendall(secret.encode())
        peer.close()
    except OSError:
        pass
"""


def _system_python_works() -> bool:
    if not SYSTEM_PYTHON.exists():
        return False
    name = SYSTEM_PYTHON.readlink().name if SYSTEM_PYTHON.is_symlink() else ""
    return name.rpartition("python3.")[2].isdecimal() and int(name.rpartition("python3.")[2]) >= 11


@dataclass(frozen=True)
class Surroundings:
    """`holder`: process that holds the secret. `places`: files that hold it."""

    user: int
    home: Path
    workspace: Path
    holder: int
    places: tuple[Path, ...]


def as_user(user: int) -> str:
    """Python that becomes `user`, where we are another one."""
    return "" if user == os.getuid() else f"import os; os.setgroups([]); os.setgid({user}); os.setuid({user})\n"


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are closed to others."""
    path = Path(tempfile.mkdtemp(prefix="moltbot-confinement-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["own user", "unprivileged"])
def user(request: pytest.FixtureRequest) -> int:
    if request.param == "own user":
        return os.getuid()
    if os.getuid() != 0:
        pytest.skip("only root can become another user; the first case is unprivileged already")
    if not _system_python_works():
        pytest.skip("no interpreter that another user may run")
    return UNPRIVILEGED


def _python(user: int) -> str:
    return sys.executable if user == os.getuid() else str(SYSTEM_PYTHON)


@pytest.fixture
async def around(ground: Path, user: int) -> AsyncIterator[Surroundings]:
    state = ground / "state" / "current"
    workspace = state / "workspace"
    kubeconfig = ground / "home" / ".kube" / "config"
    for directory in (workspace, kubeconfig.parent):
        directory.mkdir(parents=True)
    places = (state / "moltbot.sqlite", kubeconfig, ground / "keys.json")
    for place in places:
        place.write_text(SECRET)
    shutil.copytree(PACKAGE, ground / "app" / "moltbot_tools")
    if user != os.getuid():
        for path in (ground / "state", ground / "home", *(ground / "state").rglob("*"), *(ground / "home").rglob("*"), *places):
            os.chown(path, user, user)
    process = await asyncio.create_subprocess_exec(
        _python(user), "-I", "-c", as_user(user) + _HOLDER, str(places[0]), env={"MODEL_KEY": SECRET}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
    yield Surroundings(user, ground / "home", workspace, process.pid, places)
    assert process.returncode is None, "the process that holds the secret was ended"
    process.kill()
    await process.wait()


@pytest.fixture
async def host(around: Surroundings, ground: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ToolHost]:
    if around.user != os.getuid():
        begin = as_user(around.user) + f"import sys; sys.path.insert(0, {str(ground / 'app')!r})\n"
        begin += "from moltbot_tools.__main__ import main; sys.exit(main(sys.argv[1:]))"
        monkeypatch.setattr(
            client,
            "_command",
            lambda command, workspace, confine: [str(SYSTEM_PYTHON), "-I", "-c", begin, command, "--workspace", str(workspace)],
        )
    opened = ToolHost(around.workspace, {})
    if not await opened.is_confined():
        await opened.close()
        pytest.skip("this kernel has no Landlock")
    yield opened
    await opened.close()
