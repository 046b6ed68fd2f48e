"""How later years of the challenge would judge a network: score and gate.

Score_X = exp(2 * X / X_baseline) for runtime, FLOPs and parameters, weighted .7, .15 and .15; less
is better, the baseline has exp(2) = 7.389 in each. FLOPs are fvcore's, as from 2024 on. A runtime
can only be compared with a baseline measured on the same machine, so published baselines give the
two other parts and no total. Source: reports and kits of NTIRE 2024 and 2025 Efficient SR.
"""

from dataclasses import dataclass
from math import exp

from lrfdn_arch.evaluation.results import Dataset, NetworkResult, mean

WEIGHTS = {"runtime": 0.7, "flops": 0.15, "params": 0.15}
GATE_DB = 26.90
GATE_SET = "DIV2K_LSDIR_valid"  # the validation folder of the 2024 and 2025 kits


@dataclass(frozen=True)
class Baseline:
    """What networks are measured against; ``runtime_ms`` is None where it was another machine's."""

    label: str
    source: str
    params: float
    flops: float
    runtime_ms: float | None


PUBLISHED = (
    Baseline("RLFN", "NTIRE 2024 Efficient SR, baseline, published", 0.317e6, 19.67e9, None),
    Baseline("EFDN", "NTIRE 2025 Efficient SR, baseline, published", 0.276e6, 16.70e9, None),
)


@dataclass(frozen=True)
class Score:
    """One network against one baseline; ``total`` is None without a comparable runtime."""

    network: str
    baseline: Baseline
    runtime: float | None
    flops: float
    params: float

    @property
    def total(self) -> float | None:
        """The weighted sum."""
        if self.runtime is None:
            return None
        parts = {"runtime": self.runtime, "flops": self.flops, "params": self.params}
        return sum(WEIGHTS[name] * part for name, part in parts.items())


def partial_score(value: float, baseline: float) -> float:
    """Return ``exp(2 * value / baseline)``; infinite where that is beyond a float."""
    try:
        return exp(2 * value / baseline)
    except OverflowError:
        return float("inf")


def measured_baseline(network: NetworkResult, device: str) -> Baseline:
    """Take a network of the same evaluation as the baseline, its kit runtime included."""
    return Baseline(
        label=network.label,
        source=f"measured here, kit timing on {device}",
        params=network.counts.params,
        flops=network.counts.flops_fvcore,
        runtime_ms=network.kit_timing.mean_ms,
    )


def score_against(network: NetworkResult, baseline: Baseline) -> Score:
    """Return the score of ``network`` against ``baseline``."""
    runtime = None
    if baseline.runtime_ms is not None:
        runtime = partial_score(network.kit_timing.mean_ms, baseline.runtime_ms)
    return Score(
        network=network.label,
        baseline=baseline,
        runtime=runtime,
        flops=partial_score(network.counts.flops_fvcore, baseline.flops),
        params=partial_score(network.counts.params, baseline.params),
    )


def gate(network: NetworkResult, dataset: Dataset) -> bool | None:
    """Return whether the network passes the PSNR gate of 2024 and 2025, None on another set."""
    psnr = mean(network.images, "psnr_rgb")
    if psnr is None or dataset.name != GATE_SET:
        return None
    return psnr >= GATE_DB
