"""Weights files: reading them safely, recognizing what they contain, building the network."""

from lrfdn_arch.weights.img_range import load_into, read_state_for
from lrfdn_arch.weights.loading import LoadedNetwork, load_network, network_from_state
from lrfdn_arch.weights.reading import read_metadata, read_state_dict
from lrfdn_arch.weights.shipped import find_weights

__all__ = [
    "LoadedNetwork",
    "find_weights",
    "load_into",
    "load_network",
    "network_from_state",
    "read_metadata",
    "read_state_dict",
    "read_state_for",
]
