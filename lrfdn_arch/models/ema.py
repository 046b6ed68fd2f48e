"""The exponential moving average of a network's weights."""

from typing import Any

import torch
from torch import nn


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """Return the decay of update ``update``, counted from 1.

    With ``warmup`` the average is over fewer updates at the start, so that the random first
    weights do not stay in it for 1 / (1 - decay) updates.
    """
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Set ``average`` to ``decay * average + (1 - decay) * network``, in one call for all weights.

    Buffers (running statistics and the like) are copied.
    """
    foreach: Any = torch  # the _foreach functions are what torch's own optimizers are made of
    foreach._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    buffers = list(average.buffers())
    if buffers:
        foreach._foreach_copy_(buffers, list(network.buffers()))
