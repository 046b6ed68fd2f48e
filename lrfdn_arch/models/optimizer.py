"""Optimizers of torch by name, in their fastest form."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from lrfdn_arch.options.training import Optimizer


def build_optimizer(section: Optimizer, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer ``section`` names over ``weights``.

    Where it can update all weights in one fused call it does, unless ``fused`` or ``foreach`` is
    given.
    """
    cls: Any = getattr(torch.optim, section.type)
    arguments = section.arguments()
    chosen = arguments.keys() & {"fused", "foreach", "differentiable"}
    if "fused" in inspect.signature(cls).parameters and not chosen:
        arguments["fused"] = True
    optimizer = cls(weights, **arguments)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state``, but keep how this optimizer computes: a state saved by BasicSR is not fused.

    Raises:
        ValueError: the state is of other weights.
    """
    ways = ("fused", "foreach", "capturable", "differentiable")
    groups = [
        {**theirs, **{way: ours[way] for way in ways if way in ours}}
        for theirs, ours in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
