"""From a weights file to a network that is ready to run."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.weights import identify, read_usual_state

_NETWORKS: Mapping[str, type[nn.Module]] = {"LRFDN": LRFDN, "RFDN": RFDN}


def load_network(path: Path, key: str | None = None) -> nn.Module:
    """Build the network that the weights in ``path`` belong to, in evaluation mode, on the CPU.

    Network, sizes and scale are read off the weights; ``img_range`` is the network's usual one,
    1 for LRFDN and 255 for RFDN. Weights trained in another are brought to it, where they say so.

    Args:
        path: BasicSR ``.pth``, plain state dict or ``.safetensors``.
        key: "params" or "params_ema" of a checkpoint; the moving average where there is one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, wants to run code, or holds no LRFDN or RFDN.
    """
    return build_network(read_usual_state(path, key), str(path))


def build_network(state: Mapping[str, Tensor], source: str = "the state dict") -> nn.Module:
    """Build the network ``state`` belongs to; ``source`` names it in errors. See load_network.

    Raises:
        ValueError: it belongs to no LRFDN or RFDN, or only nearly.
    """
    identity = identify(state)
    if identity is None:
        first = ", ".join(list(state)[:3])
        raise ValueError(
            f"{source} holds the weights of no LRFDN and no RFDN (it has {first}, ...)"
        )
    arguments = identity.options()
    try:
        network = _NETWORKS[arguments.pop("type")](**arguments)
    except ValueError as error:
        raise ValueError(f"{source} looks like {identity} but is not: {error}") from error
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(f"{source} looks like {identity} but is not: {reasons}") from error
    return network.eval().requires_grad_(False)
