"""The structure LRFDN and RFDN share: a sequence of distillation blocks, fused at the end."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import RangeLayers
from lrfdn_arch.archs.fused import FusedConv, FusedNetwork, scaled_input, scaled_output
from lrfdn_arch.archs.network import (
    SuperResolutionNetwork,
    pixel_shuffle,
    start_bilinear,
)
from lrfdn_arch.window import Window

RANGE_LAYERS = RangeLayers(("fea_conv.weight",), ("upsampler.0.weight", "upsampler.0.bias"))


class FeatureDistillationNetwork(SuperResolutionNetwork):
    """Shallow features, blocks in a row, fusion of all block outputs, pixel shuffle.

    ``blocks`` map (N, num_feat, H, W) to the same shape, and ``activation`` follows the fusing
    convolution; the other arguments are those of :class:`SuperResolutionNetwork`.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        activation: nn.Module,
        num_in_ch: int,
        num_out_ch: int,
        num_feat: int,
        upscale: int,
        img_range: float,
    ) -> None:
        super().__init__(num_in_ch, num_out_ch, num_feat, len(blocks), upscale, img_range)
        self.fea_conv = nn.Conv2d(num_in_ch, num_feat, kernel_size=3, padding=1)
        self.add_blocks("B", blocks)
        fuse = nn.Conv2d(self.num_block * num_feat, num_feat, kernel_size=1)
        self.c = nn.Sequential(fuse, activation)
        self.LR_conv = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.upsampler = pixel_shuffle(num_feat, num_out_ch, upscale)

    def start_bilinear(self) -> None:
        """Set the weights so that the untrained network interpolates about bilinearly."""
        start_bilinear(self.fea_conv, self.LR_conv, self.upsampler[0])

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 15."""
        features = fea = self.fea_conv(x)  # (N, C, H, W)
        outputs = []
        for block in self.blocks("B"):
            features = block(features)
            outputs.append(features)
        fused = self.c(torch.cat(outputs, dim=1))  # (N, C, H, W)
        return self.upsampler(self.LR_conv(fused) + fea)  # (N, num_out_ch, H*s, W*s)


class FusedDistillationNetwork(FusedNetwork):
    """The deployed form of :class:`FeatureDistillationNetwork`.

    ``fused_block`` turns a block into a module that maps (N, num_feat, H, W) and a window to that
    shape; ``activation`` is the name of the one after the fusing convolution.
    """

    def __init__(
        self,
        network: FeatureDistillationNetwork,
        fused_block: Callable[[Any], nn.Module],
        activation: str,
    ) -> None:
        first = scaled_input(network.fea_conv, network.img_range)
        last = scaled_output(network.upsampler[0], 1 / network.img_range)
        super().__init__(network, first, last)
        self.c = FusedConv(network.c[0], activation)
        self.LR_conv = FusedConv(network.LR_conv)
        self.blocks = nn.ModuleList(map(fused_block, network.blocks("B")))

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 15."""
        features = fea = self.fea_conv(x)  # (N, C, H, W)
        outputs: list[Tensor] = []
        for block in self.blocks:
            features = block(features, window)
            outputs.append(features)
        lr = self.LR_conv(self.c(torch.cat(outputs, dim=1))).add_(fea)
        return F.pixel_shuffle(self.upsampler(lr), self.upscale)
