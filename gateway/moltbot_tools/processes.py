"""Processes that descend from this one: finding, counting and ending them, also those that left their session.

Whoever starts programs is their *subreaper* (prctl(2)): what loses its parent becomes its child and not init's, so that walking the tree
of children finds everything, whatever it did to its session, group or environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moltbot_tools import landlock

_PR_SET_CHILD_SUBREAPER, _PR_SET_PDEATHSIG = 36, 1  # linux/prctl.h
# More than this is looked at in the next round.
_MAX_WALK = 20_000
# Seconds until what cannot be killed (it waits for a device) is left behind.
_PATIENCE = 30.0
# Seconds between SIGTERM and SIGKILL.
GRACE = 2.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HAS_CHILDREN = Path("/proc/thread-self/children").exists()


@dataclass(frozen=True)
class Load:
    """What descendants use together. `memory` in bytes."""

    processes: int
    memory: int


def adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Be told when the process that started this one is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it went before we asked
        os.kill(os.getpid(), number)


def descendants(root: int, limit: int = _MAX_WALK) -> list[int]:
    """Of `root`, without it, parents before children, not many more than `limit`; those that ended but were not waited for are among
    them."""
    found: list[int] = []
    todo = [root]
    while todo and len(found) <= limit:
        for child in _children(todo.pop()):
            found.append(child)
            todo.append(child)
    return found


def own_children() -> list[int]:
    return list(_children(os.getpid()))


def _children(process: int) -> Iterator[int]:
    """By /proc/PID/task/TID/children (proc(5)): no look at anybody else's processes. A kernel built without it: by everybody's parents."""
    if not _HAS_CHILDREN:
        yield from (int(name) for name in _all_processes() if _parent(name) == process)
        return
    try:
        threads = [entry.name for entry in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return
    for thread in threads:
        with contextlib.suppress(OSError):
            yield from map(int, Path(f"/proc/{process}/task/{thread}/children").read_text(encoding="ascii").split())


def _all_processes() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()] if Path("/proc").is_dir() else []


def _parent(process: str) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def load(root: int, most: int) -> Load:
    """What all descendants of `root` use now. Of more than `most` the memory is not looked at: a fork bomb does not wait for that."""
    found = descendants(root, most)
    memory = 0
    for process in found if len(found) <= most else ():
        with contextlib.suppress(OSError, IndexError, ValueError):
            resident, shared = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1:3]
            memory += (int(resident) - int(shared)) * _PAGE
    return Load(len(found), memory)


Waited = Callable[[int, int], None]


def alone_with_its_own(abi: int, outsider: int) -> bool:
    """Enter a domain in which this process's signals reach nothing but itself and what it starts; False where the kernel cannot. Proven by
    `outsider`, a process of the same user: whoever relies on this sends signals to everybody."""
    landlock.separate_signals(abi)
    try:
        os.kill(outsider, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def end_descendants(grace: float = GRACE, waited: Waited = lambda process, status: None, *, alone: bool = False) -> int:
    """SIGTERM to all of this process's, SIGKILL to what is left after `grace` seconds (0: at once), until none is left. Returns how many
    there were at first, 0 where there was no grace. `waited` is told of each of its own children that ended, and how. `alone`: as
    `alone_with_its_own` said."""
    root = os.getpid()
    first = _living(root, waited) if grace else []
    if first:
        _signal(first, signal.SIGTERM)
        _signal(first, signal.SIGCONT)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and _living(root, waited):
            time.sleep(0.02)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if alone:
            _kill_all()
        else:
            _hold_and_kill(root)
        if not _living(root, waited):
            break
        time.sleep(0.005)
    reap(waited)
    return len(first)


def _kill_all() -> None:
    """Every process that may be signalled, but this one, in one step of the kernel: nothing forks meanwhile, so a fork bomb ends here."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)


def _hold_and_kill(root: int) -> None:
    """Stop every descendant, group by group, before its children are listed, so that the list is whole; then kill them. What lost its
    parent meanwhile is a child of `root` in the next look."""
    seen: set[int] = set()
    groups = {os.getpgrp()}
    todo = list(_children(root))
    while todo:
        process = todo.pop()
        if process in seen:
            continue
        seen.add(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(process)
            if group not in groups:
                groups.add(group)
                os.killpg(group, signal.SIGSTOP)
        _signal([process], signal.SIGSTOP)
        todo.extend(_children(process))
    _signal(list(seen), signal.SIGKILL)


def reap(waited: Waited) -> None:
    """Wait for every child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            waited(*found)


def _living(root: int, waited: Waited) -> list[int]:
    reap(waited)
    return [process for process in descendants(root) if not _ended(process)]


def _ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return True


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)
