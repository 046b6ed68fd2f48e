"""SPAN, the swift parameter-free attention network (Wan et al., NTIRE 2024), baseline of 2026."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, Released, State
from lrfdn_arch.archs.fused import FusedConv, FusedNetwork, scaled_input
from lrfdn_arch.archs.network import (
    SuperResolutionNetwork,
    pixel_shuffle,
    read_arguments,
)
from lrfdn_arch.window import Window

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # of its RGB training images


class MergedConv(nn.Module):
    """A 3x3 convolution called ``eval_conv``: what its authors' training branches merge into."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.eval_conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W)."""
        return self.eval_conv(x)


class SPAB(nn.Module):
    """Swift parameter-free attention block: the features mask themselves, symmetrically about 0."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1_r = MergedConv(num_feat, num_feat)
        self.c2_r = MergedConv(num_feat, num_feat)
        self.c3_r = MergedConv(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.attend(x, self.activated(x))

    def activated(self, x: Tensor) -> Tensor:
        """Return the first convolution's features, which the network reads from its last block."""
        return F.silu(self.c1_r(x))

    def attend(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the block's output from its input and ``activated(x)``."""
        r3 = self.c3_r(F.silu(self.c2_r(h)))
        return (r3 + x) * (torch.sigmoid(r3) - 0.5)


class SPAN(SuperResolutionNetwork):
    """Swift parameter-free attention network, a :class:`SuperResolutionNetwork`.

    DIV2K's mean color is subtracted from RGB images, the average of its three channels from images
    of other channels; then they are multiplied by ``img_range``. The output is not divided by it.

    The defaults are the challenge's baseline: 150,688 parameters, and the released weights load
    with ``strict=True``. The paper's SPAN has ``num_feat=48``. ``num_block`` is at least 2.
    """

    min_size = 1
    mean: Tensor

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 28,
        num_block: int = 6,
        upscale: int = 4,
        img_range: float = 255.0,
    ) -> None:
        super().__init__(num_in_ch, num_out_ch, num_feat, num_block, upscale, img_range)
        self.check("num_block", num_block >= 2, "of at least 2")
        mean = torch.tensor(DIV2K_MEAN)
        mean = mean if num_in_ch == 3 else mean.mean().expand(num_in_ch)
        self.register_buffer("mean", mean.view(1, -1, 1, 1).clone(), persistent=False)
        self.conv_1 = MergedConv(num_in_ch, num_feat)
        self.add_blocks("block_", (SPAB(num_feat) for _ in range(num_block)))
        self.conv_cat = nn.Conv2d(4 * num_feat, num_feat, kernel_size=1)
        self.conv_2 = MergedConv(num_feat, num_feat)
        self.upsampler = pixel_shuffle(num_feat, num_out_ch, upscale)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, 1] to (N, num_out_ch, H*upscale, W*upscale).

        Any H, W >= 1 works without padding, as no layer reduces the resolution.
        """
        first, *middle, last = self.blocks("block_")
        f = self.conv_1((x - self.mean) * self.img_range)  # (N, C, H, W)
        features = b1 = first(f)
        for block in middle:
            features = block(features)
        h = last.activated(features)
        g = self.conv_2(last.attend(features, h))
        return self.upsampler(self.conv_cat(torch.cat([f, g, b1, h], dim=1)))


class FusedSPAB(nn.Module):
    """SPAB with its activations fused into its convolutions."""

    def __init__(self, block: SPAB) -> None:
        super().__init__()
        self.c1_r = FusedConv(block.c1_r.eval_conv, "silu")
        self.c2_r = FusedConv(block.c2_r.eval_conv, "silu")
        self.c3_r = FusedConv(block.c3_r.eval_conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and the activated features of its first convolution."""
        h = self.c1_r(x)  # (N, C, H, W)
        r3 = self.c3_r(self.c2_r(h))
        m = torch.sigmoid(r3).sub_(0.5)
        return r3.add_(x).mul_(m), h


class FusedSPAN(FusedNetwork):
    """The deployed form of SPAN.

    The mean is subtracted from the image, not folded into a bias: the first convolution pads the
    difference with zeros, so the border would need a different bias.
    """

    uses_window = False
    mean: Tensor

    def __init__(self, network: SPAN) -> None:
        first = scaled_input(network.conv_1.eval_conv, network.img_range)
        super().__init__(network, first, network.upsampler[0])
        self.register_buffer("mean", network.mean.clone())
        self.blocks = nn.ModuleList(map(FusedSPAB, network.blocks("block_")))
        self.conv_2 = FusedConv(network.conv_2.eval_conv)
        self.conv_cat = FusedConv(network.conv_cat)

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does."""
        f = self.fea_conv(x - self.mean)  # (N, C, H, W)
        b1, h = self.blocks[0](f)
        features = b1
        for block in self.blocks[1:]:  # type: ignore[attr-defined]
            features, h = block(features)
        fused = self.conv_cat(torch.cat([f, self.conv_2(features), b1, h], dim=1))
        return F.pixel_shuffle(self.upsampler(fused), self.upscale)


def _read_arguments(state: State) -> dict[str, Any] | None:
    if "conv_1.sk.weight" in state:  # its training branches, which spandrel merges
        return None
    return read_arguments(state, "conv_1.eval_conv.weight", blocks="block_")


ARCHITECTURE = Architecture(
    name="SPAN",
    network=SPAN,
    blocks=(SPAB,),
    read_arguments=_read_arguments,
    fuse=FusedSPAN,
    overlap=64,  # 21 pixels are seen to each side (6 blocks); the rest is for blending
    papers=("Wan et al., Swift Parameter-free Attention Network, CVPR Workshops 2024",),
    released=(
        Released(
            name="SPAN",
            sha256="6c80f05048313289c6526e5fc9726688d7bb3dfdd6ae3c8b1e7dd09f601e5971",
            source="NTIRE 2026 Efficient SR, baseline (team 00)",
            url="https://github.com/Amazingren/NTIRE2026_ESR/raw/4592ce6d/model_zoo/team00_SPAN.pth",
        ),
    ),
)
