"""Which parts of the machine a tool may use, and shutting this process in before it reads its first request.

Beneath the workspace everything but device nodes; the system's directories, this interpreter and `/proc` to read and run; a few devices.
Not the database beside the workspace, not homes, `/tmp`, `/run`, `/var`, service account tokens or mounted Secrets: nothing names them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from moltbot_tools import landlock
from moltbot_tools.local_sockets import refuse_local_sockets

# Directories of programs and libraries.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
# Of /etc what programs need to run, find names and trust certificates; never all of it: on a node kubeconfigs are there.
SETTINGS = (
    *("alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf"),
    *("gitconfig", "group", "host.conf", "hostname", "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.conf"),
    *("localtime", "machine-id", "magic", "mime.types", "nsswitch.conf", "os-release", "passwd", "perl", "pki", "profile", "profile.d"),
    *(
        "protocols",
        "python3",
        "redhat-release",
        "resolv.conf",
        "rpc",
        "services",
        "shells",
        "ssl",
        "terminfo",
        "timezone",
        "alpine-release",
    ),
)
# Where resolv.conf points on many machines; the file is replaced there, so the directory it is.
RESOLVER = "/run/systemd/resolve"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
# A file that a program writes may have so many bytes: a volume is smaller or much larger than this, and both are fine.
MAX_FILE_BYTES = 4 * 2**30
MAX_OPEN_FILES = 8192
# Least memory of a program on a small machine (bytes): below this not every language's runtime starts.
LEAST_MEMORY = 512 * 2**20
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 4, 24  # linux/prctl.h
_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


@dataclass(frozen=True)
class Holds:
    """What confinement holds. `landlock`: version of the kernel's, 0 without it."""

    landlock: int
    confined: bool

    def to_json(self) -> dict[str, object]:
        return {"landlock": self.landlock, "confined": self.confined}


def readable_places() -> list[Path]:
    """What tools may read and run besides the workspace. In a checkout the interpreter and our own package lie anywhere."""
    own = (sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(__file__).resolve().parent))
    settings = (f"/etc/{name}" for name in SETTINGS)
    return [Path(place) for place in dict.fromkeys((*SYSTEM, *settings, RESOLVER, "/proc", *own)) if place != "/"]


def confine(workspace: Path, *, wanted: bool = True) -> Holds:
    """Shut this process in for good. `wanted` false: a person's word that the pod is the boundary; limits hold all the same.

    Raises:
        OSError: the kernel has Landlock and refused it. The caller must not go on.
    """
    _prefer_for_oom()
    limit_resources()
    if sys.platform != "linux":
        return Holds(0, False)
    libc = ctypes.CDLL(None, use_errno=True)
    # Programs run as the same user: this keeps them out of our memory and descriptors.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _drop_capabilities(libc)
    landlock.forbid_new_privileges()
    abi = landlock.abi_version()
    if not wanted or not abi:
        return Holds(abi, False)
    rules = [(workspace, landlock.WRITE)]
    rules += [(place, landlock.READ) for place in readable_places()]
    rules += [(Path(device), landlock.USE_DEVICE) for device in DEVICES]
    landlock.restrict(rules, abi)
    refuse_local_sockets()
    return Holds(abi, True)


def limit_resources() -> None:
    """Per process: no core files, bounded files and descriptors. Not RLIMIT_NPROC: it counts all processes of the user, on a node those of
    other pods too; `watch` counts ours."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)


def limit_memory(limit: int) -> None:
    """Writable memory of one process (bytes). Not RLIMIT_AS: node, Go and Java reserve far more addresses than they use."""
    _lower(resource.RLIMIT_DATA, limit)


def memory_limit() -> int:
    """Bytes that all programs of one call may use together: half of the machine's, and never more than half of the container's. The kubelet
    has the kernel end everything in a container that goes over its limit (memory.oom.group), the gateway too. Read before the kernel shuts
    us in: `/sys` is not among the places."""
    limits = [max(LEAST_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(name).read_text(encoding="ascii")) // 2)
    return min(limits)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (limit, limit))


def _prefer_for_oom() -> None:
    """When memory runs out the kernel ends tools, not the gateway."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root without capabilities is an ordinary user: no raw memory by /proc/kcore, no reading past permissions. In a pod we have none
    anyway, and what cannot be dropped was not there."""
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION, 0)), ctypes.byref(none))
