"""No UNIX sockets: behind those of a machine stand services that do more than any confinement allows (Docker's, systemd's for the user,
an SSH agent), and Landlock lets a program connect to each whose file it may write by mode, wherever that lies (until
LANDLOCK_ACCESS_FS_RESOLVE_UNIX, Linux 7).

A system call filter (seccomp(2)) refuses to make such a socket. Pairs of connected ones, by which node and others speak to their children,
stay; datagram pairs do not, since they can be connected anew. io_uring, which makes sockets past the filter, is as if the kernel had none.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2  # linux/prctl.h, linux/seccomp.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
# linux/bpf_common.h: load a word of seccomp_data; and; compare with a constant; end.
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NR, _ARCH, _ARGUMENT = 0, 4, 16  # offsets in seccomp_data; arguments are 8 bytes each, the lower half first
_AF_UNIX, _SOCK_DGRAM, _TYPE_MASK = 1, 2, 0xF
_IO_URING_SETUP = 425
_X32 = 0x40000000  # the other numbering of x86-64


@dataclass(frozen=True)
class _Machine:
    """AUDIT_ARCH_* (linux/audit.h) and the numbers of two calls."""

    arch: int
    socket: int
    socketpair: int


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 41, 53),
    "aarch64": _Machine(0xC00000B7, 198, 199),
    "riscv64": _Machine(0xC00000F3, 198, 199),
}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refuse_local_sockets() -> bool:
    """For this process and all that it starts; needs no_new_privs. False on a kind of machine whose numbers we do not know.

    Raises:
        OSError: the kernel did not take the filter.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    steps = [_Instruction(*step) for step in _filter(machine)]
    program = _Program(len(steps), (_Instruction * len(steps))(*steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
    return True


def _filter(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """Jumps count from the next instruction. A program of another architecture (32 bits) finds no system calls at all."""
    refused, missing = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS
    return [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 0, 12, machine.arch),  # else → missing
        (_LOAD, 0, 0, _NR),
        (_AT_LEAST, 10, 0, _X32),  # → missing
        (_EQUAL, 9, 0, _IO_URING_SETUP),  # → missing
        (_EQUAL, 0, 2, machine.socket),
        (_LOAD, 0, 0, _ARGUMENT),
        (_EQUAL, 5, 4, _AF_UNIX),  # → refused, else → allowed
        (_EQUAL, 0, 3, machine.socketpair),  # else → allowed
        (_LOAD, 0, 0, _ARGUMENT + 8),
        (_AND, 0, 0, _TYPE_MASK),
        (_EQUAL, 1, 0, _SOCK_DGRAM),  # → refused, else → allowed
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, refused),
        (_RETURN, 0, 0, missing),
    ]
