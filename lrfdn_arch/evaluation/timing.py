"""Timing of forward passes and their peak memory, on CUDA devices and the CPU.

The fair timing (warm-up, repeated and interleaved passes, median and spread) is reported
separately from the kit's, which runs every image once without warm-up and reports only the mean.
"""

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lrfdn_arch.device import device_name, float32_arithmetic
from lrfdn_arch.evaluation.results import FairTiming
from lrfdn_arch.inference.torch_runtime import DTYPES
from lrfdn_arch.text import first_line

MIB = 1024**2
Precision = Literal["fp32", "fp16", "bf16"]


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

    kind: Literal["CUDA allocated", "resident"] | None = None

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.kind, self._before = "CUDA allocated", torch.cuda.memory_allocated(device)
            return
        with suppress(OSError, AttributeError, TypeError, StopIteration):  # not Linux, or not glibc
            # Freed memory retained by the C library would hide allocations of the next pass.
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak, VmHWM
            _resident("VmHWM")
            self.kind, self._before = "resident", _resident("VmRSS")

    def mib(self) -> float | None:
        """Return the peak so far in MiB, None where it cannot be measured."""
        if self.kind is None:
            return None
        is_cuda = self._device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self._device) if is_cuda else _resident("VmHWM")
        return (peak - self._before) / MIB


def _resident(field: str) -> int:
    """Return a field of this process's status in bytes; StopIteration if there is no such field."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


@dataclass(frozen=True)
class TimingPlan:
    """Settings of the fair timing: passes of each network and variant, and their input.

    Attributes:
        variants: (precision, compiled) pairs; weights and input are converted to the precision.
        batch: images per forward pass.
        size: (height, width) of the LR images.
        warmup: untimed passes.
        repeats: timed passes, at least 1.
        tf32: allow TF32 in float32 convolutions on GPUs that support it.
    """

    variants: Sequence[tuple[Precision, bool]] = (("fp32", False),)
    batch: int = 1
    size: tuple[int, int] = (256, 256)
    warmup: int = 3
    repeats: int = 10
    tf32: bool = False

    def passes(self, networks: int) -> int:
        """Return the total number of forward passes for a number of networks."""
        return networks * len(self.variants) * (self.warmup + 1 + self.repeats)

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.warmup < 0 or self.batch < 1 or min(self.size) < 1:
            raise ValueError(f"a timing needs positive repeats, batch and size, got {self}")


def time_in_turn(
    networks: Mapping[str, nn.Module],
    plan: TimingPlan,
    device: torch.device,
    on_pass: Callable[[str], object] = lambda label: None,
) -> dict[str, list[FairTiming]]:
    """Time all networks and variants, interleaved so that machine drift affects all equally.

    ``networks`` take (N, 3, H, W) inputs; copies of them are timed on ``device``. ``on_pass`` is
    called with the network's label after each forward pass. Returns a timing of each variant, in
    the plan's order, for each label.
    """
    with torch.inference_mode(), float32_arithmetic(plan.tf32):
        runners = [
            _Runner(label, network, variant, plan, device, on_pass)
            for variant in plan.variants
            for label, network in networks.items()
        ]
        for _ in range(plan.repeats):
            for runner in runners:
                runner.samples.append(runner.run())
                on_pass(runner.label)
    return {
        label: [runner.timing(plan, device) for runner in runners if runner.label == label]
        for label in networks
    }


class _Runner:
    """A warmed-up copy of a network in one variant; its peak memory is measured while it is alone.

    Raises:
        ValueError: the network does not run in this variant.
    """

    def __init__(
        self,
        label: str,
        network: nn.Module,
        variant: tuple[Precision, bool],
        plan: TimingPlan,
        device: torch.device,
        on_pass: Callable[[str], object],
    ) -> None:
        self.label, self.samples = label, list[float]()
        self._precision: Precision = variant[0]
        self._compiled = variant[1]
        dtype = DTYPES[self._precision]
        self._network: Callable[[Tensor], Tensor] = deepcopy(network).eval().to(device, dtype)
        generator = torch.Generator().manual_seed(0)
        self._lq = torch.rand(plan.batch, 3, *plan.size, generator=generator).to(device, dtype)
        if self._compiled:
            self._network = torch.compile(self._network)
        try:
            if self._compiled and not plan.warmup:
                self.run()
            for _ in range(plan.warmup):
                self.run()
                on_pass(label)
            peak = PeakMemory(device)
            self.run()
            on_pass(label)
        except Exception as error:  # torch.compile raises many exception types
            mode = "compiled" if self._compiled else "eager"
            raise ValueError(
                f"{label} cannot be timed in {self._precision}, {mode} on {device}: "
                f"{first_line(error)}"
            ) from error
        is_elsewhere = hasattr(network, "milliseconds")  # in another process
        self._memory = (None, None) if is_elsewhere else (peak.mib(), peak.kind)

    def run(self) -> float:
        """Run one pass and return its milliseconds."""
        return timed(self._network, self._lq)[1]

    def timing(self, plan: TimingPlan, device: torch.device) -> FairTiming:
        """Return the statistics of the samples."""
        low, p25, median, p75, high = map(float, np.percentile(self.samples, [0, 25, 50, 75, 100]))
        return FairTiming(
            device=device_name(device),
            precision=self._precision,
            compiled=self._compiled,
            input_size=(plan.batch, 3, *plan.size),
            warmup=plan.warmup,
            repeats=plan.repeats,
            median_ms=median,
            p25_ms=p25,
            p75_ms=p75,
            min_ms=low,
            max_ms=high,
            memory_mib=self._memory[0],
            memory_kind=self._memory[1],
            samples_ms=tuple(self.samples),
        )
