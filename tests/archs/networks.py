"""Every network of the package at a size that takes milliseconds."""

from typing import Any

from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.archs.network import SuperResolutionNetwork

NAMES = list(ARCHITECTURES)
_FIXED_BLOCKS = ("EFDN",)


def small(name: str, num_block: int = 2, num_feat: int = 8, **arguments: Any) -> Any:
    """Return a network of 8 channels and 2 blocks where it is free to have them."""
    if name not in _FIXED_BLOCKS:
        arguments["num_block"] = num_block
    network = ARCHITECTURES[name].build({"num_feat": num_feat, **arguments})
    assert isinstance(network, SuperResolutionNetwork)
    return network
