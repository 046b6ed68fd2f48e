"""From a weights file, or the name of shipped weights, to a network that is ready to run."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lrfdn_arch import weights
from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.weights import identify, read_usual_state

ENVIRONMENT_VARIABLE = "LRFDN_WEIGHTS"
DEFAULT_NAME = "lrfdn_x4"
SHIPPED = Path(weights.__file__).parent  # NAME.safetensors beside the package's code

_NETWORKS: Mapping[str, type[nn.Module]] = {"LRFDN": LRFDN, "RFDN": RFDN}


def find_weights(wanted: str | None = None, shipped: Path = SHIPPED) -> Path:
    """Return the weights file that ``wanted`` means.

    Args:
        wanted: a file, or the name of shipped weights in any case. Without it the environment
            variable LRFDN_WEIGHTS, and without that the shipped "lrfdn_x4".
        shipped: folder of the shipped weights, NAME.safetensors.

    Raises:
        FileNotFoundError: it is neither a file nor a shipped name; the message lists the names and
            says how else to give weights.
    """
    source = wanted or os.environ.get(ENVIRONMENT_VARIABLE)
    names = {path.stem.lower(): path for path in sorted(shipped.glob("*.safetensors"))}
    if source is None:
        if DEFAULT_NAME in names:
            return names[DEFAULT_NAME]
        raise FileNotFoundError(
            f"no weights were given, and this installation ships no {DEFAULT_NAME}: give a file "
            f"with --weights FILE, or set {ENVIRONMENT_VARIABLE}=FILE. BasicSR .pth, plain state "
            "dicts, .safetensors and .onnx are understood"
        )
    if Path(source).is_file():
        return Path(source)
    if source.lower() in names:
        return names[source.lower()]
    said = "--weights" if wanted else ENVIRONMENT_VARIABLE
    known = ", ".join(names) or "none"
    raise FileNotFoundError(
        f"{said}: no file {source}, and no shipped weights of that name (shipped: {known})"
    )


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
    network = _NETWORKS[arguments.pop("type")](**arguments)
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(f"{source} looks like {identity} but is not: {reasons}") from error
    return network.eval().requires_grad_(False)
