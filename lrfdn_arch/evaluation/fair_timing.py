"""Fair timing: warm-up, repeated and interleaved passes, median and spread.

It is reported separately from the kit's timing, which runs every image once without warm-up and
reports only the mean.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lrfdn_arch.device import device_name, float32_arithmetic
from lrfdn_arch.evaluation.results import FairTiming
from lrfdn_arch.evaluation.timing import PeakMemory, timed
from lrfdn_arch.text import first_line

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


@dataclass(frozen=True)
class TimingPlan:
    """Settings of the fair timing.

    Attributes:
        variants: (precision, compiled) pairs; weights and input are converted to the precision.
        batch: images per forward pass.
        size: (height, width) of the LR images.
        warmup: untimed passes of each network and variant.
        repeats: timed passes of each network and variant, at least 1.
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


@dataclass
class _Runner:
    label: str
    precision: Precision
    compiled: bool
    network: nn.Module
    lq: Tensor
    samples: list[float] = field(default_factory=list)
    memory: tuple[float | None, Literal["CUDA allocated", "resident"] | None] = (None, None)

    def run(self) -> float:
        return timed(self.network, self.lq)[1]


def time_in_turn(
    networks: Mapping[str, nn.Module],
    plan: TimingPlan,
    device: torch.device,
    on_pass: Callable[[str], object] = lambda label: None,
) -> dict[str, list[FairTiming]]:
    """Time all networks and variants, interleaved so that machine drift affects all equally.

    Args:
        networks: networks by label, for (N, 3, H, W) inputs; copies of them are timed.
        plan: the timing settings.
        device: device to time on.
        on_pass: called with the network's label after each forward pass.

    Returns:
        One timing per variant for each label, in the plan's order.
    """
    with torch.inference_mode(), float32_arithmetic(plan.tf32):
        runners = [
            _prepare(label, network, variant, plan, device, on_pass)
            for variant in plan.variants
            for label, network in networks.items()
        ]
        for _ in range(plan.repeats):
            for runner in runners:
                runner.samples.append(runner.run())
                on_pass(runner.label)
    return {
        label: [_summary(runner, plan, device) for runner in runners if runner.label == label]
        for label in networks
    }


def _prepare(
    label: str,
    network: nn.Module,
    variant: tuple[Precision, bool],
    plan: TimingPlan,
    device: torch.device,
    on_pass: Callable[[str], object],
) -> _Runner:
    """Build and warm up one runner, and measure its peak memory while nothing else runs."""
    precision, compiled = variant
    dtype = DTYPES[precision]
    copy: nn.Module = deepcopy(network).eval().to(device, dtype)
    generator = torch.Generator().manual_seed(0)
    lq = torch.rand(plan.batch, 3, *plan.size, generator=generator).to(device, dtype)
    if compiled:
        copy = torch.compile(copy)  # type: ignore[assignment]  # callable as a module is
    runner = _Runner(label, precision, compiled, copy, lq)
    try:
        for number in range(max(plan.warmup, 1 if compiled else 0)):
            runner.run()
            if number < plan.warmup:
                on_pass(label)
        peak = PeakMemory(device)
        runner.run()
        on_pass(label)
        if not hasattr(network, "milliseconds"):  # else its memory is in another process
            runner.memory = peak.mib(), peak.kind
    except Exception as error:  # torch.compile raises many exception types
        mode = "compiled" if compiled else "eager"
        reason = first_line(error)
        raise ValueError(
            f"{label} cannot be timed in {precision}, {mode} on {device}: {reason}"
        ) from error
    return runner


def _summary(runner: _Runner, plan: TimingPlan, device: torch.device) -> FairTiming:
    low, p25, median, p75, high = np.percentile(runner.samples, [0, 25, 50, 75, 100])
    memory, kind = runner.memory
    return FairTiming(
        device=device_name(device),
        precision=runner.precision,
        compiled=runner.compiled,
        input_size=(plan.batch, 3, *plan.size),
        warmup=plan.warmup,
        repeats=plan.repeats,
        median_ms=float(median),
        p25_ms=float(p25),
        p75_ms=float(p75),
        min_ms=float(low),
        max_ms=float(high),
        memory_mib=memory,
        memory_kind=kind,
        samples_ms=tuple(runner.samples),
    )
