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


class WeightAverage:
    """Keeps one network the moving average of another's weights.

    The weights are looked up once: walking the modules of both networks took 2 ms an iteration,
    the update itself half a millisecond. Buffers may be replaced by others during training, so
    those are looked up each time, in networks that have any.

    Args:
        average: the network to hold the average, where it stays.
        network: of the same class, in training.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        self._networks = average, network
        self._averages, self._weights = list(average.parameters()), list(network.parameters())
        self._has_buffers = any(True for _ in average.buffers())

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set the average to ``decay * average + (1 - decay) * weights``, in one call for all.

        Buffers (running statistics and the like) are copied.
        """
        foreach: Any = torch  # the _foreach functions are what torch's own optimizers are made of
        foreach._foreach_lerp_(self._averages, self._weights, 1 - decay)
        if self._has_buffers:
            average, network = self._networks
            foreach._foreach_copy_(list(average.buffers()), list(network.buffers()))
