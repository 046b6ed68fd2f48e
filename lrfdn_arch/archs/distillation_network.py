"""The structure LRFDN and RFDN share: a sequence of distillation blocks, fused at the end."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import RangeLayers, State
from lrfdn_arch.archs.bilinear_start import start_bilinear
from lrfdn_arch.archs.fused import FusedNetwork, exact, fused_conv, scaled_input, scaled_output
from lrfdn_arch.archs.network import SuperResolutionNetwork, count_blocks, read_sizes
from lrfdn_arch.archs.window import Window

RANGE_LAYERS = RangeLayers(("fea_conv.weight",), ("upsampler.0.weight", "upsampler.0.bias"))


class FeatureDistillationNetwork(SuperResolutionNetwork):
    """Shallow features, blocks in a row, fusion of all block outputs, pixel shuffle.

    Args:
        blocks: modules that map (N, num_feat, H, W) to the same shape, at least one.
        activation: follows the fusing convolution.

    The other arguments are those of :class:`SuperResolutionNetwork`.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        activation: nn.Module,
        *,
        num_in_ch: int,
        num_out_ch: int,
        num_feat: int,
        upscale: int,
        img_range: float,
    ) -> None:
        super().__init__(
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            num_block=len(blocks),
            upscale=upscale,
            img_range=img_range,
        )
        self.fea_conv = nn.Conv2d(num_in_ch, num_feat, kernel_size=3, padding=1)
        for number, block in enumerate(blocks, start=1):
            self.add_module(f"B{number}", block)  # B1, B2, ...: the released weights' names
        fuse = nn.Conv2d(self.num_block * num_feat, num_feat, kernel_size=1)
        self.c = nn.Sequential(fuse, activation)
        self.LR_conv = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        to_pixels = nn.Conv2d(num_feat, num_out_ch * upscale**2, kernel_size=3, padding=1)
        self.upsampler = nn.Sequential(to_pixels, nn.PixelShuffle(upscale))

    def start_bilinear(self) -> None:
        """Set the weights so that the untrained network interpolates about bilinearly."""
        start_bilinear(self.fea_conv, self.LR_conv, self.upsampler[0])

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 15."""
        features = fea = self.fea_conv(x)  # (N, C, H, W)
        outputs = []
        for number in range(1, self.num_block + 1):
            features = self.get_submodule(f"B{number}")(features)
            outputs.append(features)
        fused = self.c(torch.cat(outputs, dim=1))  # (N, C, H, W)
        return self.upsampler(self.LR_conv(fused) + fea)  # (N, num_out_ch, H*s, W*s)


class FusedDistillationNetwork(FusedNetwork):
    """The deployed form of :class:`FeatureDistillationNetwork`.

    Args:
        network: the network it is made from.
        blocks: fused blocks, modules of (N, num_feat, H, W) and a window to the same shape.
        activation: that of the fusing convolution, by name.
    """

    def __init__(
        self, network: FeatureDistillationNetwork, blocks: Sequence[nn.Module], activation: str
    ) -> None:
        super().__init__(
            type(network).__name__,
            network.upscale,
            fused_conv(scaled_input(network.fea_conv, network.img_range)),
            fused_conv(scaled_output(network.upsampler[0], 1 / network.img_range)),
        )
        self.c = fused_conv(exact(network.c[0]), activation)
        self.LR_conv = fused_conv(exact(network.LR_conv))
        self.blocks = nn.ModuleList(blocks)
        self.eval()

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 15."""
        features = fea = self.fea_conv(x)  # (N, C, H, W)
        outputs: list[Tensor] = []
        for block in self.blocks:
            features = block(features, window)
            outputs.append(features)
        lr = self.LR_conv(self.c(torch.cat(outputs, dim=1))).add_(fea)
        return F.pixel_shuffle(self.upsampler(lr), self.upscale)


def read_arguments(state: State) -> dict[str, Any] | None:
    """Return the constructor arguments inferred from ``state``; None for another network."""
    sizes = read_sizes(state, "fea_conv.weight")
    return sizes and {**sizes, "num_block": count_blocks(state, "B")}
