"""Every repair BasicSR 1.4.2 needs on today's stack: what breaks, where it is reported, when to go.

A repair does nothing at import time; it takes effect the moment BasicSR asks for what is missing.
"""

from types import ModuleType

from lrfdn_arch.import_hooks import supply_if_missing


def install() -> None:
    """Install all repairs; calling it again changes nothing."""
    supply_if_missing("torchvision.transforms.functional_tensor", functional_tensor)


def functional_tensor(module: ModuleType) -> None:
    """Fill the private torchvision module that ``import basicsr`` asks for.

    torchvision 0.17 removed it (https://github.com/XPixelGroup/BasicSR/issues/533 and 663). Can go
    with the first BasicSR release that takes ``rgb_to_grayscale``, the one name it needs, from
    ``torchvision.transforms.functional``.
    """
    from torchvision.transforms.functional import rgb_to_grayscale

    module.__dict__["rgb_to_grayscale"] = rgb_to_grayscale
