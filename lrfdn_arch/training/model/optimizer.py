"""Optimizers by name, in their fastest form."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from lrfdn_arch.muon import optimizers
from lrfdn_arch.options.training import Optimizer
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
