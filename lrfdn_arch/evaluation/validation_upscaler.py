"""A network as a plain function on images: precision, memory layout and tiles decided once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lrfdn_arch.evaluation.timing import kit_arithmetic
from lrfdn_arch.evaluation.validation_tiling import upscale_in_tiles


def upscaler(
    network: nn.Module,
    *,
    scale: int,
    autocast: torch.dtype | None = None,
    tile_size: int = 0,
    tile_overlap: int = 16,
) -> Callable[[Tensor], Tensor]:
    """Return ``network`` as a function of images, as ``validation.validate`` takes it.

    Args:
        network: maps (N, C, H, W) float32 in [0, 1] to (N, C, H*scale, W*scale). It is called in
            the mode (training or evaluation) it is in.
        scale: the network's factor.
        autocast: bfloat16 or float16 for mixed precision; float32 without.
        tile_size: side of the LR tiles larger images are cut into; 0 for whole images.
        tile_overlap: LR pixels that neighbouring tiles share.

    Returns:
        A function from (N, C, H, W) to (N, C, H*scale, W*scale), both float32, not clamped.
    """

    def whole(lq: Tensor) -> Tensor:
        with (
            kit_arithmetic(tf32=False),
            torch.autocast(lq.device.type, dtype=autocast, enabled=autocast is not None),
        ):
            return network(lq).float()

    def in_tiles(lq: Tensor) -> Tensor:
        return upscale_in_tiles(whole, lq, scale=scale, tile_size=tile_size, overlap=tile_overlap)

    return in_tiles if tile_size else whole
