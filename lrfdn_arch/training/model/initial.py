"""The weights a network starts from."""

from collections.abc import Mapping
from typing import Any

from basicsr.utils import get_root_logger
from torch import nn

from lrfdn_arch.weights import load_into, read_state_for
from lrfdn_arch.weights.reading import EMA


def load_initial(network: nn.Module, path: Mapping[str, Any], average: bool = False) -> None:
    """Set the weights ``network`` starts from, as the option file's ``path`` specifies.

    ``init: bilinear`` comes first, then the weights of ``pretrain_network_g``.

    Args:
        network: on the CPU.
        path: the option file's section, with ``init``, ``pretrain_network_g``, ``param_key_g`` and
            ``strict_load_g``.
        average: ``network`` holds the EMA: it takes the file's own EMA where there is one.
    """
    file = path.get("pretrain_network_g")
    if path.get("init") and not average:  # the EMA starts as a copy
        _start_bilinear(network)
    if not file:
        return
    key = None if average else path.get("param_key_g")
    if path.get("strict_load_g", True):
        load_into(network, file, key)
    else:
        _load_what_fits(network, file, key)
    get_root_logger().info(f"loaded {key or f'{EMA}, if there,'} of {file}")


def _start_bilinear(network: nn.Module) -> None:
    start = getattr(network, "start_bilinear", None)
    if start is None:
        raise ValueError(
            f"path:init: {type(network).__name__} has no method start_bilinear, which sets the "
            "weights with which it interpolates; expected no init"
        )
    start()


def _load_what_fits(network: nn.Module, file: str, key: str | None) -> None:
    own = network.state_dict()
    state = read_state_for(network, file, key)
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ValueError(f"{file}: not one of its {len(state)} weights fits the network")
    network.load_state_dict(fitting, strict=False)
    logger = get_root_logger()
    logger.warning(f"strict_load_g is off: {len(fitting)} of {len(own)} weights come from {file}")
