"""Landlock by system calls: https://docs.kernel.org/userspace-api/landlock.html. No policy here; that is `confinement`.

A domain, once entered, is inherited by every process that is started and can never be left.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

# The same numbers on every architecture (asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h

# LANDLOCK_ACCESS_FS_*, linux/landlock.h.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << number for number in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
# What the kernel accepts for something that is no directory.
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
# LANDLOCK_SCOPE_*, since ABI 6.
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1

READ = EXECUTE | READ_FILE | READ_DIR
# Everything but device nodes: nobody makes those in a workspace.
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE | IOCTL_DEV
USE_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """Version of the kernel's Landlock; 0 where there is none (another system, an old kernel, gVisor, switched off at boot)."""
    if sys.platform != "linux":
        return 0
    try:
        return max(0, _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)))
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[Path, int]], abi: int) -> None:
    """Confine the calling process: what the rules name is allowed beneath their paths, everything else of the file system is refused.
    A path that does not exist is passed over. Signals and abstract sockets stay within the domain where the kernel can.

    Raises:
        OSError: it did not work; nothing may be assumed about what holds.
    """
    handled = _handled(abi)
    size = 8 if abi < 4 else 16 if abi < 6 else 24  # the struct grew with the versions
    attr = _RulesetAttr(handled, 0, SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if abi >= 6 else 0)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path, access in rules:
            _allow(ruleset, path, access & handled)
        _enter(ruleset)
    finally:
        os.close(ruleset)


def separate_signals(abi: int) -> None:
    """Enter a domain of one's own within the present one, so that what runs here can neither signal nor trace what started it. Files are
    as before. Does nothing before ABI 6."""
    if abi < 6:
        return
    attr = _RulesetAttr(0, 0, SCOPE_SIGNALS)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(24), ctypes.c_uint32(0))
    try:
        _enter(ruleset)
    finally:
        os.close(ruleset)


def _handled(abi: int) -> int:
    """All rights that this version knows: a right that is not handled is not restricted."""
    handled = (1 << 13) - 1
    if abi >= 2:
        handled |= REFER
    if abi >= 3:
        handled |= TRUNCATE
    if abi >= 5:
        handled |= IOCTL_DEV
    return handled


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not path.is_dir():
            access &= _OF_FILES
        attr = _PathBeneathAttr(access, opened)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(attr), ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _enter(ruleset: int) -> None:
    forbid_new_privileges()
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def forbid_new_privileges() -> None:
    """No set-uid program and no file capability gives this process or what it starts more than it has. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno() or errno.ENOSYS
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result
