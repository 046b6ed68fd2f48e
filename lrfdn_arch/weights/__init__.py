"""Weights files: reading them safely, recognizing what they contain, building the network.

Names are imported when they are first used: finding weights needs no torch, loading them does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_MODULES = ("shipped", "reading", "loading", "img_range")


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = getattr(import_module(f"{__name__}.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
