"""The parent of every process that this machine runs for us; a program of its own, standard library only.

It starts what it is told over a socket, reports how each process ended, and outlives whoever tells it: when the socket closes,
be it by `kill -9` of the other end, everything started gets SIGTERM, after `grace` seconds SIGKILL, and the launcher ends last.
So there is never a process without a parent that would write where its successor writes.

Three things hold that, each alone enough on Linux:

1. the socket: end of file means that the supervisor is gone, whatever ended it;
2. the lock file: the launcher and every process started hold one `flock` (the descriptor is inherited), and the next launcher of the
   same directory starts nothing before it has the lock, that is before all of them are gone;
3. on Linux, PR_SET_PDEATHSIG: a process ends when the launcher itself is killed.

It forks, so it stays small and has one thread; a supervisor with threads and 80 MiB could do neither safely nor fast.

Lines of JSON. In: `{"start": {id, argv, env, cwd, log}}`, `{"signal": {id, signal, group}}`.
Out: `{"waiting": text}`, `{"ready": pid}`, `{"started": {id, pid}}`, `{"failed": {id, message}}`, `{"exited": {id, code, signal}}`.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

# Linux's prctl(2); 1: parent-death signal, 36: adopt orphans of our children.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# How often the lock of the last run is asked for, and how often it is said that we wait.
LOCK_SECONDS, SAY_SECONDS = 0.05, 2.0


def load_prctl() -> Any:
    """The C library's prctl, None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return ctypes.CDLL(None, use_errno=True).prctl


class Launcher:
    def __init__(self, channel: socket.socket, lock: Path, grace: float) -> None:
        self.channel, self.lock_path, self.grace = channel, lock, grace
        self.lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.names: dict[int, str] = {}  # pid → id, until it is reaped
        self.pids: dict[str, int] = {}
        self.buffer = b""
        self.gone = False  # nobody tells us any more
        self.prctl = load_prctl()
        if self.prctl is not None:
            self.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def send(self, message: dict[str, Any]) -> None:
        # A broken channel is noticed by reading it.
        with contextlib.suppress(OSError):
            self.channel.sendall(json.dumps(message).encode() + b"\n")

    # --- the lock -------------------------------------------------------------------------------------------------------

    def take_lock(self) -> bool:
        """Wait until nothing of an earlier launcher runs. False: the channel closed meanwhile."""
        said = -SAY_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() - said >= SAY_SECONDS:
                    said = time.monotonic()
                    self.send({"waiting": self.lock_path.read_text(errors="replace").strip()})
                if select.select([self.channel], [], [], LOCK_SECONDS)[0] and not self.channel.recv(1, socket.MSG_PEEK):
                    return False
                continue
            self.write_lock()
            return True

    def write_lock(self) -> None:
        """Who runs, for the person who wonders what a later start waits for."""
        lines = [f"{os.getpid()} launcher", *(f"{pid} {name}" for pid, name in self.names.items())]
        with contextlib.suppress(OSError):
            self.lock_path.write_text("\n".join(lines) + "\n")

    # --- processes ------------------------------------------------------------------------------------------------------

    def start(self, order: dict[str, Any]) -> None:
        name = order["id"]
        # The child writes its error here; a successful exec closes it.
        error_read, error_write = os.pipe()
        launcher = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self.become(order, launcher)
            except BaseException as error:  # noqa: BLE001  nothing may return from here into the launcher's loop
                os.write(error_write, str(error).encode(errors="replace")[:2000])
            finally:
                os._exit(127)
        os.close(error_write)
        with os.fdopen(error_read, "rb") as pipe:
            problem = pipe.read()
        if problem:
            os.waitpid(pid, 0)
            self.send({"failed": {"id": name, "message": problem.decode(errors="replace")}})
            return
        self.names[pid], self.pids[name] = name, pid
        self.write_lock()
        self.send({"started": {"id": name, "pid": pid}})

    def become(self, order: dict[str, Any], launcher: int) -> None:
        """In the child: a session of its own (a terminal's Ctrl-C does not reach it), then the program."""
        os.setsid()
        if self.prctl is not None:
            self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != launcher:  # it died before the line above
                os._exit(127)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o077)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.set_inheritable(self.lock, True)
        os.chdir(order["cwd"])
        program = order["argv"][0]
        try:
            os.execvpe(program, order["argv"], order["env"])  # noqa: S606  no shell on purpose
        except FileNotFoundError:
            # The container runtimes' words, which people search for.
            raise FileNotFoundError(f'exec: "{program}": executable file not found in $PATH') from None

    def signal(self, order: dict[str, Any]) -> None:
        pid = self.pids.get(order["id"])
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # As with containers: SIGTERM goes to the first process, SIGKILL to all.
            (os.killpg if order.get("group") else os.kill)(pid, order["signal"])

    def reap(self) -> None:
        while True:
            try:
                ended = self.next_ended()
            except ChildProcessError:
                return
            if ended is None:
                return
            pid, status = ended
            name = self.names.pop(pid, None)
            if name is None:
                continue  # an adopted orphan
            self.pids.pop(name, None)
            self.write_lock()
            signaled = os.WIFSIGNALED(status)
            code = 128 + os.WTERMSIG(status) if signaled else os.WEXITSTATUS(status)
            self.send({"exited": {"id": name, "code": code, "signal": os.WTERMSIG(status) if signaled else 0}})

    def next_ended(self) -> tuple[int, int] | None:
        """(pid, wait status) of a child that ended, reaped; None when none has. A container ends with its first process: what that
        started is killed, before it is reaped where the system allows to look first, for then the group's number is free for others."""
        if hasattr(os, "waitid"):  # macOS has it from Python 3.13 on
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen is None:
                return None
            self.kill_group(seen.si_pid)
            return os.waitpid(seen.si_pid, 0)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return None
        self.kill_group(pid)
        return pid, status

    def kill_group(self, pid: int) -> None:
        if pid in self.names:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def adopted(self) -> list[int]:
        """Children that we did not start: daemons that left their session. Linux alone tells."""
        try:
            text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        except OSError:
            return []
        return [pid for pid in map(int, text.split()) if pid not in self.names]

    # --- the loop -------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        try:
            data = self.channel.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "start" in message:
                self.start(message["start"])
            elif "signal" in message:
                self.signal(message["signal"])

    def run(self, wake: int) -> None:
        if not self.take_lock():
            return
        self.send({"ready": os.getpid()})
        while not self.gone:
            channel = self.channel.fileno()
            readable, _, _ = select.select([channel, wake], [], [])
            if wake in readable:
                os.read(wake, 4096)
                self.reap()
            if channel in readable:
                self.read()
        self.end(wake)

    def end(self, wake: int) -> None:
        for pid in list(self.names):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace
        while True:
            self.reap()
            strays = self.adopted()
            if not self.names and not strays:
                return
            killing = time.monotonic() >= deadline
            for pid in [*(self.names if killing else ()), *(strays if killing or not self.names else ())]:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    (os.killpg if pid in self.names else os.kill)(pid, signal.SIGKILL)
            if select.select([wake], [], [], 0.05)[0]:
                os.read(wake, 4096)


def main() -> None:
    descriptor, lock, grace = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    with contextlib.suppress(PermissionError):  # already a group's leader
        os.setsid()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=descriptor)
    launcher = Launcher(channel, lock, grace)

    def leave(*_: object) -> None:
        channel.shutdown(socket.SHUT_RDWR)  # as if the other end had gone

    signal.signal(signal.SIGTERM, leave)
    launcher.run(wake_read)


if __name__ == "__main__":
    main()
