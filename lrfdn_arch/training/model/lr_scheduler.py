"""The learning rate as a pure function of the iteration.

The curves are those of BasicSR and torch with the same names. Being functions they need no state,
and a warm-up that ends between two milestones ends at the full rate (BasicSR's MultiStepLR stays
at the last value of the warm-up).
"""

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate

from lrfdn_arch.options.training import Scheduler, Train


def learning_rate(train: Train, iteration: int) -> float:
    """Return the rate of update ``iteration``, counted from 1.

    Args:
        train: the ``train`` section: its optimizer's ``lr``, its scheduler, its warm-up.
        iteration: 1 to ``total_iter``; beyond it the last value stays.
    """
    base, warmup = train.optim_g.lr, train.warmup_iter
    if iteration < warmup:
        return base / warmup * iteration
    steps = min(iteration, train.total_iter) - 1  # schedulers of torch count from 0
    curve = train.scheduler
    if curve.type == "ConstantLR":
        return base
    if curve.type.startswith("MultiStep"):
        return _multi_step(curve, base, steps)
    if curve.type == "CosineAnnealingRestartLR":
        return _cosine_restart(curve, base, steps)
    if curve.type == "CosineAnnealingLR":
        length = curve.T_max or train.total_iter
        return _cosine(base, curve.eta_min, min(steps / length, 1.0))
    return _one_cycle(curve, base, steps, train.total_iter)


def _multi_step(curve: Scheduler, base: float, steps: int) -> float:
    milestones = sorted(curve.milestones)
    restart = bisect_right(curve.restarts, steps) - 1
    since = curve.restarts[restart] if restart >= 0 else 0
    weight = curve.restart_weights[restart] if restart >= 0 else 1.0
    passed = bisect_right(milestones, steps) - bisect_right(milestones, since)
    return base * weight * curve.gamma**passed


def _cosine_restart(curve: Scheduler, base: float, steps: int) -> float:
    ends = list(accumulate(curve.periods))
    period = min(bisect_left(ends, steps), len(ends) - 1)
    start = ends[period] - curve.periods[period]
    share = min((steps - start) / curve.periods[period], 1.0)
    return curve.eta_min + curve.restart_weights[period] * (
        _cosine(base, curve.eta_min, share) - curve.eta_min
    )


def _one_cycle(curve: Scheduler, highest: float, steps: int, total: int) -> float:
    start = highest / curve.div_factor
    end = start / curve.final_div_factor
    top = curve.pct_start * total - 1
    if steps <= top and top > 0:
        return _cosine(start, highest, steps / top)
    return _cosine(highest, end, (steps - top) / (total - 1 - top))


def _cosine(start: float, end: float, share: float) -> float:
    """Return the value on the half cosine from ``start`` (share 0) to ``end`` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
