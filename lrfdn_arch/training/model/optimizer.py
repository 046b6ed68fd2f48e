"""Optimizers by name, in their fastest form, and the learning rate.

The rate is a pure function of the iteration, with the curves of BasicSR and torch of the same
names. So it needs no state, and a warm-up that ends between two milestones ends at the full rate
(BasicSR's MultiStepLR stays at the last value of the warm-up).
"""

import inspect
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from lrfdn_arch.muon import optimizers
from lrfdn_arch.options.training import Optimizer, Scheduler, Train
from lrfdn_arch.text import first_few
from lrfdn_arch.training.state_checks import optimizer_faults


def build_optimizer(section: Optimizer, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer ``section`` names over ``weights``.

    Where it can update all weights in one fused call it does, unless ``fused`` or ``foreach`` is
    given.

    Raises:
        ValueError: the optimizer refuses its arguments.
    """
    cls: Any = optimizers()[section.type]
    arguments = section.arguments()
    chosen = arguments.keys() & {"fused", "foreach", "differentiable"}
    if "fused" in inspect.signature(cls).parameters and not chosen:
        arguments["fused"] = True
    try:
        optimizer = cls(weights, **arguments)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"train:optim_g: {section.type} refuses its arguments: {error}") from error
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state`` but keep the hyperparameters and the implementation of the option file.

    The moments take the memory layout of the weights, which may differ from that of the run that
    saved them: fused CPU kernels walk raw memory and would mix up elements, CUDA kernels refuse.

    Raises:
        ValueError: the state does not fit the optimizer and its weights.
    """
    if faults := [*optimizer_faults(state, optimizer)]:
        raise ValueError(f"the optimizer's state cannot be loaded: {first_few(faults)}")
    groups = [
        {**theirs, **{key: value for key, value in ours.items() if key != "params"}}
        for theirs, ours in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    if isinstance(optimizer, torch.optim.SGD) and optimizer.state:  # it needs all momenta or none
        for weight in (w for group in optimizer.param_groups for w in group["params"]):
            moments = optimizer.state[weight]
            if moments.get("momentum_buffer") is None:
                moments["momentum_buffer"] = torch.zeros_like(weight)
    for weight, moments in optimizer.state.items():
        for key, value in moments.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                moments[key] = torch.empty_like(weight).copy_(value)


def learning_rate(train: Train, iteration: int) -> float:
    """Return the rate of update ``iteration``, from 1; beyond ``total_iter`` the last one stays."""
    base, warmup, curve = train.optim_g.lr, train.warmup_iter, train.scheduler
    if iteration < warmup:
        return base / warmup * iteration
    steps = min(iteration, train.total_iter) - 1  # schedulers of torch count from 0
    if curve.type == "ConstantLR":
        return base
    if curve.type == "CosineAnnealingLR":
        length = curve.T_max or train.total_iter
        return _cosine(base, curve.eta_min, min(steps / length, 1.0))
    if curve.type == "OneCycleLR":
        return _one_cycle(curve, base, steps, train.total_iter)
    if curve.type == "CosineAnnealingRestartLR":
        return _cosine_restart(curve, base, steps)
    return _multi_step(curve, base, steps)


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
    risen = _cosine(base, curve.eta_min, share) - curve.eta_min
    return curve.eta_min + curve.restart_weights[period] * risen


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
