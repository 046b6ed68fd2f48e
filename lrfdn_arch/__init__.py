"""LRFDN, RFDN and other efficient super-resolution networks, as a BasicSR plugin and by themselves.

``import lrfdn_arch`` registers the networks, the dataset and the training model with BasicSR, and
the networks with spandrel, whether these were imported before or are imported later, and imports
neither torch nor BasicSR itself. ``lrfdn_arch.Upscaler`` and the network classes
(``lrfdn_arch.LRFDN``, ...) are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

from lrfdn_arch import compat, plugin

if TYPE_CHECKING:
    from lrfdn_arch.upscale.api import Upscaler as Upscaler

__version__ = "0.1.0"

compat.install()
plugin.install()


def __getattr__(name: str) -> Any:
    if name == "Upscaler":
        from lrfdn_arch.upscale.api import Upscaler

        return Upscaler
    if name[:1].isupper():  # of a class; looking for anything else should not import torch
        from lrfdn_arch.archs import ARCHITECTURES

        if name in ARCHITECTURES:
            return ARCHITECTURES[name].network
    raise AttributeError(f"module 'lrfdn_arch' has no attribute {name!r}")
