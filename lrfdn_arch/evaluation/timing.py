"""Runtime and peak memory measurement on CUDA devices and the CPU."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

MIB = 1024**2
MemoryKind = Literal["CUDA allocated", "resident"]


def timed(forward: Callable[[Tensor], Tensor], lq: Tensor) -> tuple[Tensor, float]:
    """Run ``forward`` on ``lq`` and return its result and the milliseconds it took.

    On a GPU the time is measured with CUDA events and a final synchronization, as in the kits. A
    network with ``milliseconds`` measures itself: it runs in another process.
    """
    if lq.device.type != "cuda" or hasattr(forward, "milliseconds"):
        start = time.perf_counter()
        output = forward(lq)
        elapsed = (time.perf_counter() - start) * 1000
        return output, getattr(forward, "milliseconds", elapsed)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    stream = torch.cuda.current_stream(lq.device)  # the current device may be another one
    before.record(stream)
    output = forward(lq)
    after.record(stream)
    torch.cuda.synchronize(lq.device)
    return output, before.elapsed_time(after)


class PeakMemory:
    """Peak memory since construction, relative to the usage at that time.

    Measures memory allocated by torch on a GPU, and resident memory on Linux with glibc;
    unavailable elsewhere.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.kind: MemoryKind | None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.kind = "CUDA allocated"
            self._before = torch.cuda.memory_allocated(device)
        else:
            self._before = _reset_resident_peak()
            self.kind = None if self._before is None else "resident"

    def mib(self) -> float | None:
        """Return the peak so far in MiB, None where it cannot be measured."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _resident("VmHWM")
        return None if peak is None else (peak - self._before) / MIB


def _reset_resident_peak() -> int | None:
    try:
        # Freed memory retained by the C library would hide allocations of the next pass.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak, VmHWM
    except (OSError, AttributeError):  # not Linux, or not glibc
        return None
    return None if _resident("VmHWM") is None else _resident("VmRSS")


def _resident(field: str) -> int | None:
    """Return a field of this process's status in bytes, None if it is not available."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = (int(line.split()[1]) for line in lines if line.startswith(field))
    return next((1024 * number for number in kibibytes), None)
