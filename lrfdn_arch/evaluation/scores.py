"""Score and PSNR gate of the 2024 and 2025 challenges.

Score_X = exp(2 * X / X_baseline) for runtime, FLOPs and parameters, weighted .7, .15 and .15. Lower
is better; the baseline scores exp(2) = 7.389 in each. FLOPs are counted by fvcore, as in 2024 and
later. Runtimes are compared only if both networks were timed after warm-up, interleaved and with
the same settings: the kit's timing includes a cold first pass, and a short load spike can produce
scores of 10^8. Scores against published baselines therefore have no runtime part and no total.
Source: reports and kits of NTIRE 2024 and 2025 Efficient SR.
"""

from dataclasses import dataclass
from math import exp

from lrfdn_arch.evaluation.results import Dataset, FairTiming, NetworkResult, mean

WEIGHTS = {"runtime": 0.7, "flops": 0.15, "params": 0.15}
GATE_DB = 26.90
GATE_SET = "DIV2K_LSDIR_valid"  # the validation folder of the 2024 and 2025 kits


@dataclass(frozen=True)
class Baseline:
    """A baseline for scoring; ``timings`` is empty unless it was timed in the same run."""

    label: str
    source: str
    params: float
    flops: float
    timings: tuple[FairTiming, ...] = ()


PUBLISHED = (
    Baseline("RLFN", "NTIRE 2024 Efficient SR, baseline, published", 0.317e6, 19.67e9),
    Baseline("EFDN", "NTIRE 2025 Efficient SR, baseline, published", 0.276e6, 16.70e9),
)


@dataclass(frozen=True)
class Score:
    """Score of a network against a baseline; ``total`` is None without a comparable runtime."""

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
    """Return ``exp(2 * value / baseline)``; infinity on overflow."""
    try:
        return exp(2 * value / baseline)
    except OverflowError:
        return float("inf")


def measured_baseline(network: NetworkResult, device: str, *, same_run: bool) -> Baseline:
    """Return a network as a baseline, with its timings if they are from the same run."""
    return Baseline(
        label=network.label,
        source=f"measured on {device}",
        params=network.counts.params,
        flops=network.counts.flops_fvcore,
        timings=network.fair_timings if same_run else (),
    )


def timings_alike(
    network: NetworkResult, baseline: Baseline
) -> tuple[FairTiming, FairTiming] | None:
    """Return the first pair of timings taken with equal settings, or None."""
    alike = ("device", "precision", "compiled", "input_size", "warmup", "repeats")
    for own in network.fair_timings:
        for other in baseline.timings:
            if own.warmup and all(getattr(own, name) == getattr(other, name) for name in alike):
                return own, other
    return None


def score_against(network: NetworkResult, baseline: Baseline) -> Score:
    """Return the score of ``network`` against ``baseline``."""
    timings = timings_alike(network, baseline)
    runtime = timings and partial_score(timings[0].median_ms, timings[1].median_ms)
    return Score(
        network=network.label,
        baseline=baseline,
        runtime=runtime,
        flops=partial_score(network.counts.flops_fvcore, baseline.flops),
        params=partial_score(network.counts.params, baseline.params),
    )


def gate(network: NetworkResult, dataset: Dataset) -> bool | None:
    """Return whether the network passes the PSNR gate of 2024 and 2025, None on other sets."""
    psnr = mean(network.images, "psnr_rgb")
    if psnr is None or dataset.name != GATE_SET:
        return None
    return psnr >= GATE_DB
