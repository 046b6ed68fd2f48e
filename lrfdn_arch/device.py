"""Memory: keeping what was freed, recognising that it ran out, and how much is left."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (  # of version 2 and version 1
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
# "DefaultCPUAllocator: can't allocate memory", "CUDA out of memory", "std::bad_alloc",
# "CUDNN_STATUS_ALLOC_FAILED", "Failed to allocate memory for requested buffer" and the like.
_RAN_OUT = re.compile(
    r"allocate|bad.alloc|alloc_failed|out of memory|not enough memory", re.IGNORECASE
)


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for the next tensor; return whether that worked.

    glibc returns every freed block above 32 MiB at most to the kernel, which clears each page again
    at the next use. A network frees and allocates hundreds of megabytes per image: on two cores
    that took a third of the whole time. This changes the whole process, so only commands call it.
    It does nothing outside Linux with glibc.
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
    """Raise MemoryError in place of what torch and the other runtimes raise when memory runs out.

    Each has exception classes of its own; only the messages are similar.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or not _RAN_OUT.search(str(error)):
            raise
        raise MemoryError(str(error).strip().splitlines()[0]) from error


def free_memory(device: torch.device) -> int:
    """Return how many bytes this process can still allocate on ``device``."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(psutil.virtual_memory().available, _container_left())


def _container_left() -> int:
    """Return what the limit of a container (cgroup) leaves; a very large number without a limit.

    The page cache of files counts as used memory there, but the kernel frees it on demand.
    """
    for limit, used, cache in _CGROUP_FILES:
        try:
            left = int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text())
            stat = (_CGROUP / limit).with_name("memory.stat").read_text().splitlines()
            return max(0, left + int(dict(line.split() for line in stat)[cache]))
        except (OSError, ValueError, KeyError):  # no such file, or no limit ("max")
            continue
    return sys.maxsize
