"""Weights trained with one ``img_range``, loaded into a network with another.

Weights do not reveal their ``img_range``, and give noise with the wrong one. This package's
checkpoints and safetensors contain it. Since it only scales the layers that a network's record
names, rescaling these layers converts the weights exactly.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lrfdn_arch.archs import Architecture, architecture_of, recognize
from lrfdn_arch.weights.loading import LoadedNetwork, load_strictly, network_from_state
from lrfdn_arch.weights.reading import read_with_options


def load_into(network: nn.Module, path: str | Path, key: str | None = None) -> None:
    """Load the weights in ``path`` into ``network``, every name and shape equal."""
    load_strictly(network, read_state_for(network, path, key), path)


def read_state_for(
    network: nn.Module, path: str | Path, key: str | None = None
) -> dict[str, Tensor]:
    """Read weights as ``read_state_dict`` does, scaled to the ``img_range`` that ``network`` has.

    Files without one are assumed to have the network's, as in BasicSR, with a warning if that is
    not its class's usual one.
    """
    state, options = read_with_options(path, key)
    architecture = architecture_of(network)
    found = recognize(state)
    if architecture is None or architecture.range_layers is None:
        return state
    if found is None or found[0] is not architecture:
        return state  # loading lists what differs
    own, usual = float(getattr(network, "img_range", 1.0)), architecture.usual_img_range
    if not options:
        if own != usual:
            logging.getLogger("basicsr").warning(
                f"{path} does not contain its img_range; taken to be the network's, {own:g}"
            )
        return state
    return _rescaled(state, architecture, float(options.get("img_range", usual)) / own)


def in_usual_range(loaded: LoadedNetwork) -> LoadedNetwork:
    """Return an equivalent network with its class's usual ``img_range``, for other programs."""
    record = loaded.architecture
    own = float(loaded.arguments.get("img_range", record.usual_img_range))
    if record.range_layers is None or own == record.usual_img_range:
        return loaded
    state = _rescaled(loaded.network.state_dict(), record, own / record.usual_img_range)
    options = loaded.options() | {"img_range": record.usual_img_range}
    return network_from_state(state, network_g=options)


def _rescaled(
    state: Mapping[str, Tensor], architecture: Architecture, factor: float
) -> dict[str, Tensor]:
    layers = architecture.range_layers
    if layers is None or factor == 1:
        return dict(state)
    factors = dict.fromkeys(layers.inputs, factor)
    factors |= dict.fromkeys(layers.outputs, 1 / factor)
    return {
        name: (value.double() * factors[name]).to(value.dtype) if name in factors else value
        for name, value in state.items()
    }
