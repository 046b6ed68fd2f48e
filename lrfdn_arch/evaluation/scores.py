"""The score of the challenges since 2024, from runtimes measured here.

Runtimes are compared only if both networks were timed after warm-up, interleaved and with the same
settings: the kits' timing includes a cold first pass, and a short load spike can produce scores of
10^8. Scores against published baselines therefore have no runtime part and no total.
"""

from dataclasses import dataclass

import numpy as np

from lrfdn_arch.evaluation.audit import Estimate, estimate
from lrfdn_arch.evaluation.protocols import Values, Year
from lrfdn_arch.evaluation.results import FairTiming, NetworkResult

_DRAWS = 2_000
# Runtimes are compared if all of these are equal.
_SETTINGS = ("device", "precision", "compiled", "input_size", "warmup", "repeats")


@dataclass(frozen=True)
class Score:
    """Score of a network; runtime and total are None without a comparable runtime."""

    runtime: Estimate | None
    flops: float
    params: float
    total: Estimate | None


def score(
    network: NetworkResult, baseline: NetworkResult | None, year: Year, *, same_run: bool = True
) -> Score:
    """Return the score of ``network`` by the rules of ``year``.

    The intervals are those of the medians' ratio, from a bootstrap over rounds of the fair timing,
    in each of which all networks ran once.

    Args:
        network: the network to score.
        baseline: the year's baseline; None for its published figures.
        year: a challenge with a score.
        same_run: whether both were timed in one run; otherwise there is no runtime part.
    """
    published = year.published[0]
    flops, params = published.flops_g * 1e9, published.params_m * 1e6
    if baseline is not None:
        flops, params = baseline.counts.flops_fvcore, baseline.counts.params
    flops, params = network.counts.flops_fvcore / flops, network.counts.params / params
    runtime = total = None
    alike = (
        (own, base)
        for own in network.fair_timings
        for base in (baseline.fair_timings if baseline is not None and same_run else ())
        if own.warmup and all(getattr(own, name) == getattr(base, name) for name in _SETTINGS)
    )
    if pair := next(alike, None):
        own, base = pair
        rounds = len(own.samples_ms) if len(own.samples_ms) == len(base.samples_ms) else 1
        ratios = _medians(own) / _medians(base)
        with np.errstate(over="ignore"):
            runtime = estimate(np.exp(2 * ratios), rounds)
        total = estimate(year.score(ratios, flops, params), rounds)
    with np.errstate(over="ignore"):
        return Score(runtime, float(np.exp(2 * flops)), float(np.exp(2 * params)), total)


def median_interval(timing: FairTiming) -> Estimate:
    """Return the median of a timing with its interval, if its passes were stored."""
    return estimate(_medians(timing), len(timing.samples_ms))


def _medians(timing: FairTiming) -> Values:
    """Return the median and, if passes were stored, those of rounds drawn with replacement.

    The draws are the same for all networks.
    """
    if not timing.samples_ms:
        return np.array([timing.median_ms])
    samples = np.array(timing.samples_ms)
    rounds = np.random.default_rng(0).integers(0, len(samples), (_DRAWS, len(samples)))
    return np.concatenate([[np.median(samples)], np.median(samples[rounds], axis=1)])
