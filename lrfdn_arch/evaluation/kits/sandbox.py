"""Limits for a process that runs foreign code: memory, and on Linux files and network.

Called before torch is imported: the limits hold for threads that are started afterwards.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, all architectures
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38  # prctl
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # unshare
# Landlock's rights by their version: all that change files (write, remove, make), then link and
# truncate; reading stays allowed.
_WRITE_FILE = 1 << 1
_WRITES = sum(1 << bit for bit in (1, *range(4, 13)))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TCP = 0b11  # bind and connect, from version 4 on
_DEVICES = ("/dev/null", "/dev/shm", "/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm")


def confine(writable: Path, memory_bytes: int) -> list[str]:
    """Confine this process, which must have one thread; return what could not be closed.

    Args:
        writable: the only folder in which files can be written.
        memory_bytes: limit of the data that the process can allocate.
    """
    open_doors = []
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    except (ImportError, ValueError, OSError):  # Windows; macOS does not know this limit
        open_doors.append("memory")
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    version = libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION) if libc else -1
    if libc is None or version < 1 or not _close_files(libc, version, writable):
        open_doors.append("files")
    closed = libc is not None and (
        libc.unshare(_NEW_USER | _NEW_NETWORK) == 0 or libc.unshare(_NEW_NETWORK) == 0
    )
    if not closed and version < 4:
        open_doors.append("network")
    return open_doors


def _close_files(libc: ctypes.CDLL, version: int, writable: Path) -> bool:
    """Forbid writing outside ``writable``, and TCP where Landlock can; see landlock(7)."""
    rights = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=QQ", rights, _TCP) if version >= 4 else struct.pack("=Q", rights)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    files = _WRITE_FILE | (rights & _TRUNCATE)
    allowed = [(writable, rights), *((Path(device), files) for device in _DEVICES)]
    for path, granted in ((path, granted) for path, granted in allowed if path.exists()):
        granted = rights if path.is_dir() else granted
        descriptor = os.open(path, os.O_PATH)  # type: ignore[attr-defined]  # Linux
        rule = struct.pack("=Qi", granted, descriptor)
        failed = libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
        os.close(descriptor)
        if failed:
            return False
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
