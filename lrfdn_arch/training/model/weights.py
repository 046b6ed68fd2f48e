"""The weights a network starts from, and their exponential moving average."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from lrfdn_arch.training.model.reparameterize import branch_state
from lrfdn_arch.weights import load_into, read_state_for
from lrfdn_arch.weights.reading import EMA


def load_initial(network: nn.Module, path: Mapping[str, Any], average: bool = False) -> None:
    """Set the weights ``network``, on the CPU, starts from, as the options' ``path`` specifies.

    ``init: bilinear`` comes first, then the weights of ``pretrain_network_g``. With ``average`` the
    network holds the EMA: it starts as a copy, and takes the file's own EMA where there is one.

    Raises:
        ValueError: the network cannot start so.
    """
    if path.get("init") and not average:
        start = getattr(network, "start_bilinear", None)
        if start is None:
            raise ValueError(
                f"path:init: {type(network).__name__} has no method start_bilinear, which sets the "
                "weights with which it interpolates; expected no init"
            )
        start()
    file, key = path.get("pretrain_network_g"), None if average else path.get("param_key_g")
    if not file:
        return
    logger = get_root_logger()
    if path.get("strict_load_g", True):
        load_into(network, file, key)
    else:
        own, state = network.state_dict(), read_state_for(network, file, key)
        fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ValueError(f"{file}: not one of its {len(state)} weights fits the network")
        network.load_state_dict(fitting, strict=False)
        count = f"{len(fitting)} of {len(own)} weights"
        logger.warning(f"strict_load_g is off: {count} come from {file}")
    logger.info(f"loaded {key or f'{EMA}, if there,'} of {file}")


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
    of branches are computed anew, so those are looked up each time. Both networks are of one class
    and stay where they are.
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
