"""Keeping freed memory, and knowing how much there is."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_HALF_A_GIGABYTE = 1 << 29
# "DefaultCPUAllocator: can't allocate memory", "CUDA out of memory", "std::bad_alloc",
# "CUDNN_STATUS_ALLOC_FAILED", "Failed to allocate memory for requested buffer" and the like.
_RAN_OUT = re.compile(
    r"allocate|bad.alloc|alloc_failed|out of memory|not enough memory", re.IGNORECASE
)


def keep_freed_memory() -> bool:
    """Let this process keep memory it has freed, for the next tensor; True where that worked.

    glibc gives every freed block above 32 MiB at most back to the kernel, which clears each page
    again at the next use. A network frees and takes hundreds of megabytes per image: on two cores
    that was a third of the whole time. Changes the process, so commands call it and the library
    does not. Does nothing outside Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 26))
    worked = [mallopt(what, value) == 1 for what, value in settings]
    return all(worked)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for what torch and the other runtimes raise where memory runs out.

    It is a RuntimeError here and a class of the runtime's own there; only the text tells.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or not _RAN_OUT.search(str(error)):
            raise
        raise MemoryError(str(error).strip().splitlines()[0]) from error


def free_memory(device: torch.device) -> int:
    """Return the bytes that ``device`` can still give to us.

    Where the system does not tell, half a gigabyte, which any machine of today has.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _HALF_A_GIGABYTE
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable")), None)
    available = int(kilobytes) * 1024 if kilobytes else _HALF_A_GIGABYTE
    return min(available, _cgroup_left())


def _cgroup_left() -> int:
    """Return what a container's limit leaves; a very large number without a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - used)
