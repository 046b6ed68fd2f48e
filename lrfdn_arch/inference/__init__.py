"""From weights to use: fusion, runtimes, exports and the upscaler. Nothing here needs BasicSR."""

from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.fused_network import FusedNetwork

__all__ = ["FusedNetwork", "fuse"]
