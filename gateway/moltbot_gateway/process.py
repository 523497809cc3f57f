"""This process as the operating system sees it: when it was started, and that nobody may look into its memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path

_PR_SET_DUMPABLE = 4  # linux/prctl.h
# Where there is no /proc the first import of this module is the earliest moment that we know.
_IMPORTED = time.time()


def started_at() -> float:
    """Seconds since 1970 at which the process began (exec, to 10 ms: proc(5), field 22 of stat)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
    return _IMPORTED


def become_undumpable() -> bool:
    """No core file holds our keys, and another process of the same user cannot read our memory or environment (prctl(2)). Linux only."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
