"""The score of the challenges since 2024, from runtimes measured here.

Score_X = exp(2 * X / X_baseline) for runtime, FLOPs (fvcore) and parameters, weighted by the year.
Lower is better; the baseline scores exp(2) = 7.389. Runtimes are compared only if both networks
were timed after warm-up, interleaved and with the same settings: the kits' timing includes a cold
first pass, and a short load spike can produce scores of 10^8. Scores against published baselines
therefore have no runtime part and no total.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from lrfdn_arch.evaluation.audit import Estimate, estimate
from lrfdn_arch.evaluation.protocols import Year
from lrfdn_arch.evaluation.results import FairTiming, NetworkResult

_DRAWS = 2_000
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A baseline for scoring; ``timings`` is empty unless it was timed in the same run."""

    label: str
    source: str
    params: float
    flops: float
    timings: tuple[FairTiming, ...] = ()


@dataclass(frozen=True)
class Score:
    """Score of a network; runtime and total are None without a comparable runtime."""

    runtime: Estimate | None
    flops: float
    params: float
    total: Estimate | None


def measured_baseline(network: NetworkResult, device: str, *, same_run: bool) -> Baseline:
    """Return a network as a baseline, with its timings if they are from the same run."""
    return Baseline(
        label=network.label,
        source=f"measured on {device}",
        params=network.counts.params,
        flops=network.counts.flops_fvcore,
        timings=network.fair_timings if same_run else (),
    )


def published_baseline(year: Year) -> Baseline:
    """Return the year's baseline as it was published."""
    row = year.published[0]
    return Baseline(row.label, year.source, row.params_m * 1e6, row.flops_g * 1e9)


def score_against(
    network: NetworkResult, baseline: Baseline, weights: Mapping[str, float]
) -> Score:
    """Return the score of ``network`` against ``baseline``.

    The intervals are those of the medians' ratio, from a bootstrap over rounds of the fair timing,
    in each of which all networks ran once.
    """
    flops = partial_score(network.counts.flops_fvcore / baseline.flops)
    params = partial_score(network.counts.params / baseline.params)
    rest = weights["flops"] * flops + weights["params"] * params
    timings = _timings_alike(network, baseline)
    if timings is None:
        return Score(None, flops, params, None)
    own, base = timings
    runtime = partial_score(own.median_ms / base.median_ms)
    total = weights["runtime"] * runtime + rest
    if not own.samples_ms or len(own.samples_ms) != len(base.samples_ms):
        return Score(Estimate(runtime, None, None), flops, params, Estimate(total, None, None))
    medians = [_drawn_medians(timing) for timing in (own, base)]
    with np.errstate(over="ignore"):
        drawn = np.exp(2 * medians[0] / medians[1])
    rounds = len(own.samples_ms)
    return Score(
        runtime=estimate(drawn, rounds),
        flops=flops,
        params=params,
        total=estimate(weights["runtime"] * drawn + rest, rounds),
    )


def partial_score(ratio: float) -> float:
    """Return ``exp(2 * ratio)``; infinity on overflow."""
    try:
        return exp(2 * ratio)
    except OverflowError:
        return float("inf")


def median_interval(timing: FairTiming) -> Estimate:
    """Return the median of a timing with its interval, if its passes were stored."""
    if not timing.samples_ms:
        return Estimate(timing.median_ms, None, None)
    return estimate(_drawn_medians(timing), len(timing.samples_ms))


def _drawn_medians(timing: FairTiming) -> Values:
    """Return the median, and those of rounds drawn with replacement, the same for all networks."""
    samples = np.array(timing.samples_ms)
    rounds = np.random.default_rng(0).integers(0, len(samples), (_DRAWS, len(samples)))
    return np.concatenate([[np.median(samples)], np.median(samples[rounds], axis=1)])


def _timings_alike(
    network: NetworkResult, baseline: Baseline
) -> tuple[FairTiming, FairTiming] | None:
    """Return the first pair of timings taken with equal settings, or None."""
    alike = ("device", "precision", "compiled", "input_size", "warmup", "repeats")
    for own in network.fair_timings:
        for other in baseline.timings:
            if own.warmup and all(getattr(own, name) == getattr(other, name) for name in alike):
                return own, other
    return None
