"""Networks and models as plain functions on images, for :func:`measure`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.archs import Architecture, architecture_of
from lrfdn_arch.device import float32_arithmetic
from lrfdn_arch.inference.tiling import upscale_in_bands
from lrfdn_arch.inference.torch_runtime import TorchRuntime
from lrfdn_arch.weights import LoadedNetwork

Upscale = Callable[[Tensor], Tensor]
_PRECISIONS = {None: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def through_network(
    network: nn.Module,
    *,
    scale: int,
    channels: int = 3,
    autocast: torch.dtype | None = None,
    tile_size: int = 0,
    tile_overlap: int = 16,
) -> Upscale:
    """Return ``network`` as a function of images.

    Args:
        network: maps (N, channels, H, W) float32 in [0, 1] to (N, channels, H*scale, W*scale). Its
            mode (training or evaluation) is not changed.
        scale: its upscaling factor.
        channels: its image channels.
        autocast: bfloat16 or float16 for mixed precision; None for float32.
        tile_size: side of the LR tiles that larger images are split into; 0 disables tiling.
        tile_overlap: minimum overlap of neighboring tiles in LR pixels. For networks with a known
            overlap, tiles share at least that and are at least twice as large, so that the result
            is within 1e-5 of the whole image's.

    Returns:
        A function from (N, C, H, W) to (N, C, H*scale, W*scale), both float32, not clamped.
    """
    runtime = None
    if tile_size:
        record = architecture_of(network) or Architecture(type(network).__name__, type(network))
        runtime = TorchRuntime(
            LoadedNetwork(network, record, {}, scale, channels),
            precision=_PRECISIONS[autocast],
            device=next(network.parameters()).device,
            compiled=False,
        )

    def upscale(lq: Tensor) -> Tensor:
        with float32_arithmetic():
            if runtime is not None:
                return _in_tiles(runtime, lq, tile_size, tile_overlap)
            with torch.autocast(lq.device.type, dtype=autocast, enabled=autocast is not None):
                return network(lq).float()

    return upscale


def _in_tiles(runtime: TorchRuntime, lq: Tensor, tile: int, overlap: int) -> Tensor:
    if runtime.overlap is not None and runtime.knows_windows:
        overlap = max(overlap, runtime.overlap)
        tile = max(tile, 2 * overlap)
    if max(lq.shape[-2:]) <= tile:
        return runtime.on_device(lq)
    images = []
    for image in lq.cpu().numpy():
        bands = upscale_in_bands(runtime, image, tile=tile, overlap=overlap)
        images.append(torch.cat([torch.as_tensor(band) for band in bands], 1))
    return torch.stack(images)


def has_own_test(model: type) -> bool:
    """Return whether a class of BasicSR's MODEL_REGISTRY does more than run its network."""
    from basicsr.models.sr_model import SRModel

    return getattr(model, "test", None) is not SRModel.test


def through_model(model: Any) -> Upscale:
    """Return the ``test()`` method of a BasicSR model as a function of images."""

    def upscale(lq: Tensor) -> Tensor:
        model.feed_data({"lq": lq})
        model.test()
        return model.get_current_visuals()["result"].to(lq.device, torch.float32)

    return upscale
