"""The exponential moving average of a network's weights."""

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.training.model.reparameterize import branch_state


def decay_at(update: int, decay: float, warmup: bool) -> float:
    """Return the decay of update ``update``, counted from 1.

    With ``warmup`` the average is over fewer updates at the start, so that the random first
    weights do not stay in it for 1 / (1 - decay) updates.
    """
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


class WeightAverage:
    """Keeps one network the moving average of another's weights.

    Parameters are looked up once: walking the modules of both networks took 2 ms an iteration, the
    update itself half a millisecond. Buffers may be replaced during training, and kernels composed
    of branches are computed anew, so those are looked up each time.

    Args:
        average: the network to hold the average, where it stays.
        network: of the same class, in training.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        self._networks = average, network
        self._averages = list(average.parameters())
        self._weights = [attrgetter(name) for name, _ in average.named_parameters()]
        self._fixed = None if branch_state(network) else self._look_up()
        self._has_buffers = any(True for _ in average.buffers())

    def _look_up(self) -> list[Tensor]:
        return [weight(self._networks[1]) for weight in self._weights]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set the average to ``decay * average + (1 - decay) * weights``, in one call for all.

        Buffers (running statistics and the like) are copied.
        """
        foreach: Any = torch  # the _foreach functions are what torch's own optimizers are made of
        foreach._foreach_lerp_(self._averages, self._fixed or self._look_up(), 1 - decay)
        if self._has_buffers:
            average, network = self._networks
            buffers = [attrgetter(name)(network) for name, _ in average.named_buffers()]
            foreach._foreach_copy_(list(average.buffers()), buffers)
