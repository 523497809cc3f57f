"""A program, and the file tools, that look for keys wherever keys could be. Rule: tools hold nothing of ours and reach nothing of ours."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from moltbot_gateway.tools.base import ToolCall, ToolOutcome
from moltbot_gateway.tools.files import file_tools
from moltbot_gateway.tools.host import HostFailure, ToolHost
from moltbot_gateway.tools.programs import program_tools
from tests.confinement.conftest import SECRET, SYSTEM_PYTHON, Surroundings
from tests.gateway.pod import Pod, Process
from tests.tools.calls import call, named

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")


async def run(host: ToolHost, command: str) -> str:
    """What a program says; never the secret."""
    outcome = await call(named(program_tools(host), "exec"), command=command)
    assert SECRET not in outcome.model
    assert SECRET not in outcome.person
    return outcome.model


async def python(host: ToolHost, script: str, around: Surroundings) -> str:
    (around.workspace / "attack.py").write_text(script)
    return await run(host, f"{interpreter(around)} attack.py")


def interpreter(around: Surroundings) -> str:
    return sys.executable if around.user == os.getuid() else str(SYSTEM_PYTHON)


async def file_tool(host: ToolHost, name: str, given: Mapping[str, object]) -> ToolOutcome:
    outcome = await named(file_tools(host), name).run(ToolCall("1", name, given, "main", "run"))
    assert SECRET not in outcome.model
    return outcome


async def test_the_secret_is_there_to_be_found(around: Surroundings) -> None:
    """What the other tests say holds only where an unconfined program of the same user would succeed."""
    for place in around.places:
        assert place.read_text() == SECRET
    assert SECRET in Path(f"/proc/{around.holder}/environ").read_text()


async def test_by_name(host: ToolHost, around: Surroundings) -> None:
    for place in around.places:
        answer = await run(host, f"cat '{place}'")
        assert "Permission denied" in answer
        outcome = await file_tool(host, "read", {"path": str(place)})
        assert outcome.error
        assert "outside the workspace" in outcome.model
        relative = os.path.relpath(place, around.workspace)
        assert "outside the workspace" in (await file_tool(host, "read", {"path": relative})).model
    for tool, given in (
        ("list", {"path": str(around.home)}),
        ("search", {"pattern": "sk-", "path": "../.."}),
        ("write", {"path": str(around.places[0]), "content": "x"}),
        ("edit", {"path": "../moltbot.sqlite", "old": "sk", "new": "x"}),
    ):
        outcome = await file_tool(host, tool, given)
        assert outcome.error
        assert "outside the workspace" in outcome.model
    assert all(place.read_text() == SECRET for place in around.places)


async def test_the_environment_has_none(host: ToolHost) -> None:
    await run(host, "env; set; cat /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'")


async def test_by_symbolic_links(host: ToolHost, around: Surroundings) -> None:
    """Placed by the program itself, or by whoever filled the workspace."""
    (around.workspace / "placed").symlink_to(around.places[0])
    (around.workspace / "up").symlink_to("../..")
    assert "Permission denied" in await run(host, f"ln -s '{around.places[1]}' made; cat made placed up/current/moltbot.sqlite; ls up/")
    for path in ("placed", "made", "up/current/moltbot.sqlite"):
        for tool, given in (
            ("read", {"path": path}),
            ("write", {"path": path, "content": "x"}),
            ("edit", {"path": path, "old": "sk", "new": "x"}),
        ):
            outcome = await file_tool(host, tool, given)
            assert outcome.error
            assert "outside the workspace" in outcome.model
    assert "Nothing found" in (await file_tool(host, "search", {"pattern": "sk-ant"})).model
    assert all(place.read_text() == SECRET for place in around.places)


async def test_by_hard_links_and_renames(host: ToolHost, around: Surroundings) -> None:
    answer = await run(
        host, f"ln '{around.places[0]}' hard; cat hard; mv '{around.places[1]}' here; cat here; cp '{around.places[2]}' c; cat c"
    )
    assert "hard: No such file" in answer
    assert all(place.exists() for place in around.places)
    assert not (around.workspace / "hard").exists()


async def test_by_swapping_a_directory_for_a_link_while_it_is_written(host: ToolHost, around: Surroundings) -> None:
    """The check of names loses this race; the kernel does not."""
    target = around.places[0].parent
    flip = f"while true; do mkdir d; rmdir d; ln -s '{target}' d; rm d; done 2>/dev/null"
    await call(named(program_tools(host), "exec"), command=flip, background=True)
    for _ in range(80):
        await file_tool(host, "write", {"path": "d/moltbot.sqlite", "content": "taken over"})
        await file_tool(host, "read", {"path": "d/moltbot.sqlite"})
        # the directory as it stands may hold what was written into the workspace itself
        if not (around.workspace / "d").is_symlink() and (around.workspace / "d/moltbot.sqlite").is_file():
            (around.workspace / "d/moltbot.sqlite").unlink(missing_ok=True)
    assert around.places[0].read_text() == SECRET
    assert sorted(path.name for path in target.iterdir()) == ["moltbot.sqlite", "workspace"]


PROC = ("environ", "mem", "maps", "cwd/moltbot.sqlite", "fd/3", "map_files", "syscall", "stack", "auxv")


async def test_through_proc(host: ToolHost, around: Surroundings) -> None:
    root = f"/proc/{around.holder}/root"
    for name in (*(f"/proc/{around.holder}/{name}" for name in PROC), *(f"{root}{place}" for place in around.places)):
        answer = await run(host, f"cat {name} || ls -l {name}/")
        assert any(words in answer for words in ("ermission denied", "not permitted", "No such file")), answer
        assert (await file_tool(host, "read", {"path": name})).error
    for name in (f"/proc/self/root{around.places[0]}", "/proc/self/cwd/../moltbot.sqlite", f"/proc/thread-self/root{around.places[1]}"):
        assert "ermission denied" in await run(host, f"cat {name}")
        assert (await file_tool(host, "read", {"path": name})).error


_TRACE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
target = {target}
print("attach", libc.ptrace(16, target, 0, 0), os.strerror(ctypes.get_errno()))
print("seize", libc.ptrace(0x4206, target, 0, 0), os.strerror(ctypes.get_errno()))
class Iov(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))
buffer = ctypes.create_string_buffer(4096)
local, remote = Iov(ctypes.addressof(buffer), 4096), Iov(0x400000, 4096)
print("read", libc.process_vm_readv(target, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0), os.strerror(ctypes.get_errno()))
try:
    process = os.pidfd_open(target)
    print("pidfd", libc.syscall(438, process, 3, 0), os.strerror(ctypes.get_errno()))
except OSError as error:
    print("pidfd -1", error)
"""


async def test_through_the_memory_and_descriptors_of_another_process(host: ToolHost, around: Surroundings) -> None:
    answer = await python(host, _TRACE.format(target=around.holder), around)
    assert {line.split()[0]: line.split()[1] for line in answer.splitlines()[:4]} == {
        "attach": "-1",
        "seize": "-1",
        "read": "-1",
        "pidfd": "-1",
    }
    assert answer.count("not permitted") == 4


async def test_the_host_itself_cannot_be_looked_into(host: ToolHost, around: Surroundings) -> None:
    """It is of the same user and holds the gateway's pipes: whoever gets at those answers in its place."""
    assert host._child is not None
    pid = host._child.process.pid
    answer = await python(host, _TRACE.format(target=pid), around)
    assert answer.count("not permitted") == 4
    assert "ermission denied" in await run(host, f"cat /proc/{pid}/mem; ls /proc/{pid}/fd")


_SIGNALS = """
import os, signal
for target in ({holder}, {gateway}, {host}):
    for number in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
        try:
            os.kill(target, number)
            print("sent", number, "to", target)
        except PermissionError:
            print("refused")
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
os.kill(0, 0)
try:
    os.kill(-1, signal.SIGUSR2)
except PermissionError:
    pass
"""


async def test_signals_reach_only_its_own(host: ToolHost, around: Surroundings) -> None:
    assert host._child is not None
    if host._child.hello.landlock < 6:
        pytest.skip("signals are not scoped before ABI 6")
    script = _SIGNALS.format(holder=around.holder, gateway=os.getpid(), host=host._child.process.pid)
    # to all means to all of its own: the shell ignores it
    (around.workspace / "attack.py").write_text(script)
    answer = await run(host, f"trap '' USR2; {interpreter(around)} attack.py")
    assert answer.splitlines() == ["refused"] * 12
    assert host.starts == 1


async def test_abstract_sockets_of_others_stay_closed(host: ToolHost, around: Surroundings) -> None:
    script = f"""
import socket
try:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect("\\0moltbot-holder-{around.holder}")
    print(peer.recv(100))
except PermissionError as error:
    print("refused", error)
"""
    assert (await python(host, script, around)).startswith("refused")


_SOCKETS = """
import ctypes, os, socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    try:
        peer = socket.socket(socket.AF_UNIX, kind)
        peer.connect("{path}")
        print("reached", kind)
    except PermissionError:
        print("refused")
try:
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].connect("{path}")
    print("reached by a pair")
except PermissionError:
    print("refused")
libc = ctypes.CDLL(None, use_errno=True)
print("io_uring", libc.syscall(425, 1, None), ctypes.get_errno() == 38)
one, other = socket.socketpair()
one.sendall(b"pairs work")
print(other.recv(20).decode())
listening = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listening.getsockname())
print("TCP works")
"""


async def test_services_of_the_machine_stay_out_of_reach(host: ToolHost, around: Surroundings, ground: Path) -> None:
    """Docker's socket, the user's systemd, an SSH agent: whoever reaches one is out. Every user may write to this one."""
    path = ground / "home" / "service.sock"
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
    path.chmod(0o777)
    async with server:
        answer = await python(host, _SOCKETS.format(path=path), around)
    assert answer.splitlines() == ["refused"] * 4 + ["io_uring -1 True", "pairs work", "TCP works"]


async def test_no_descriptor_is_inherited(host: ToolHost, around: Surroundings) -> None:
    secret = os.open(around.places[0], os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        answer = await run(host, "ls /proc/self/fd; for n in 3 4 5 6 7 8 9; do cat <&$n; done 2>&1 | sort -u")
    finally:
        os.close(secret)
    # `ls` has the directory itself open as 3
    assert answer.splitlines()[:4] == ["0", "1", "2", "3"]
    assert all("ad file descriptor" in line for line in answer.splitlines()[4:]), answer


async def test_other_homes_and_places_of_secrets_are_closed(host: ToolHost, around: Surroundings) -> None:
    places = ["/root", "/home", "/tmp", "/var", "/run", "/var/run/secrets/kubernetes.io/serviceaccount", "/sys", "/srv", "/mnt"]
    places += [str(around.home), str(around.workspace.parent), "/etc/shadow", "/etc/kubernetes", "/etc/rancher", "/proc/kcore", "/dev/mem"]
    for place in places:
        if Path(place).exists():
            answer = await run(host, f"ls {place}/ || cat {place}")
            assert "ermission denied" in answer or "not permitted" in answer or "Not a directory" in answer, (place, answer)
            outcome = await file_tool(host, "list" if Path(place).is_dir() else "read", {"path": place})
            assert outcome.error, place


async def test_nothing_is_written_outside(host: ToolHost, around: Surroundings) -> None:
    for place in ("/usr/local/bin", "/etc", "/tmp", "/dev/shm", str(around.home), str(around.workspace.parent)):
        await run(host, f"touch {place}/moltbot-was-here; mkdir {place}/moltbot-was-here-too; ln -s x {place}/moltbot-link")
        assert not list(Path(place).glob("moltbot-was-here*"))
        assert not list(Path(place).glob("moltbot-link"))
    answer = await run(
        host, f"rm -rf '{around.workspace.parent}/moltbot.sqlite'; : > '{around.places[1]}'; truncate -s 0 '{around.places[2]}'"
    )
    assert answer.count("ermission denied") >= 2
    assert all(place.read_text() == SECRET for place in around.places)


async def test_privileges_cannot_be_gained(host: ToolHost, around: Surroundings) -> None:
    answer = await run(
        host, "grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status; mount -t tmpfs x . ; mknod b b 259 0; chroot / true; unshare -m true"
    )
    lines = dict(line.split(":\t") for line in answer.splitlines() if ":\t" in line)
    assert lines["NoNewPrivs"] == "1"
    assert int(lines["CapEff"], 16) == 0
    if around.user == 0:
        assert int(lines["CapBnd"], 16) == 0
    # root of a user namespace of its own has all capabilities there, and still no files
    for command in (f"unshare -Ur cat '{around.places[0]}'", f"unshare -Urm sh -c 'mount --bind / . && cat ./{around.places[0]}'"):
        assert await run(host, command)


async def test_what_a_program_needs_is_there(host: ToolHost, around: Surroundings) -> None:
    """A confinement in which nothing works would pass every test above."""
    answer = await run(
        host,
        "set -e; echo text > a; mkdir d; mv a d/b; ln -s b d/c; ln d/b d/e; cat d/c; chmod +x d/b; rm -r d; "
        "echo $(echo substituted); cat <<E\nhere\nE\nmktemp >/dev/null; echo x >/dev/null; head -c 4 /dev/urandom | wc -c; "
        "getent passwd root | cut -d: -f1; ls /usr/bin | wc -l; mkfifo p; ps -o pid= -p $$ >/dev/null || true; id -u",
    )
    lines = answer.splitlines()
    assert lines[:4] == ["text", "substituted", "here", "4"]
    assert lines[4] == "root"
    assert lines[-1] == str(around.user)


async def test_a_real_gateway_of_the_same_user_keeps_its_keys(ground: Path, around: Surroundings, host: ToolHost) -> None:
    if around.user != os.getuid():
        pytest.skip("the gateway of this test runs as the test's own user")
    state = ground / "gateway"
    process = await Process.start(Pod(state, environ={"MOLTBOT_MODEL_API_KEY": SECRET}))
    try:
        pid = process.process.pid
        for name in ("environ", "mem", "maps", "fd/0", "cwd/", f"root{state}/current/moltbot.sqlite"):
            answer = await run(host, f"cat /proc/{pid}/{name} || ls /proc/{pid}/{name}")
            assert "ermission denied" in answer or "not permitted" in answer, answer
        # how many descriptors it has can be counted, where they lead cannot be seen
        assert "->" not in await run(host, f"ls -l /proc/{pid}/fd; readlink /proc/{pid}/fd/* /proc/{pid}/exe")
        assert "ermission denied" in await run(host, f"ls {state}; cat {state}/current/moltbot.sqlite")
        assert process.process.returncode is None
    finally:
        await process.kill()


async def test_a_child_that_cannot_be_confined_does_nothing(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Landlock is there but refuses: no tool is better than a tool without it."""
    if around.user != os.getuid():
        pytest.skip("said once is enough")
    from moltbot_gateway.tools import host as client

    place = str(Path(client.__file__).resolve().parents[2])
    broken = (
        f"import sys; sys.path.insert(0, {place!r}); from moltbot_tools import landlock\n"
        "def restrict(rules, abi): raise OSError(7, 'too many layers')\n"
        "landlock.restrict = restrict\n"
        "from moltbot_tools.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    monkeypatch.setattr(
        client, "_command", lambda command, workspace, confine: [sys.executable, "-I", "-c", broken, command, "--workspace", str(workspace)]
    )
    opened = ToolHost(around.workspace, {})
    with pytest.raises(HostFailure, match="cannot be confined"):
        await opened.call("list", {}, timeout=20)
    await opened.close()
