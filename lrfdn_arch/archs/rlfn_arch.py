"""RLFN, the residual local feature network (Kong et al., NTIRE 2022 ESR), baseline of 2024."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, RangeLayers, Released, State
from lrfdn_arch.archs.attention import ESA, SLOPE
from lrfdn_arch.archs.fused import (
    FusedConv,
    FusedESA,
    FusedNetwork,
    scaled_input,
    scaled_output,
)
from lrfdn_arch.archs.network import (
    SuperResolutionNetwork,
    conv_shape,
    pixel_shuffle,
    read_arguments,
    start_bilinear,
)
from lrfdn_arch.window import Window


class RLFB(nn.Module):
    """Residual local feature block: three convolutions with a shortcut, then attention.

    Args:
        num_feat: channels in and out.
        mid_channels: channels between the convolutions.
        esa_channels: channels that the attention works on.
    """

    def __init__(self, num_feat: int, mid_channels: int = 48, esa_channels: int = 16) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(num_feat, mid_channels, kernel_size=3, padding=1)
        self.c2_r = nn.Conv2d(mid_channels, mid_channels, kernel_size=3, padding=1)
        self.c3_r = nn.Conv2d(mid_channels, num_feat, kernel_size=3, padding=1)
        self.c5 = nn.Conv2d(num_feat, num_feat, kernel_size=1)
        self.esa = ESA(num_feat, esa_channels, single_conv=True)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        r1 = self.act(self.c1_r(x))  # (N, M, H, W)
        r2 = self.act(self.c2_r(r1))
        r3 = self.act(self.c3_r(r2))  # (N, C, H, W)
        return self.esa(self.c5(r3 + x))


class RLFN(SuperResolutionNetwork):
    """Residual local feature network, a :class:`SuperResolutionNetwork`.

    The defaults are the pruned network that won NTIRE 2022: 317,218 parameters, and the released
    weights load with ``strict=True``. The paper's RLFN, 543 K, has ``num_feat=52, mid_channels=52,
    num_block=6``. For ``mid_channels`` and ``esa_channels`` see :class:`RLFB`.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 46,
        mid_channels: int = 48,
        esa_channels: int = 16,
        num_block: int = 4,
        upscale: int = 4,
        img_range: float = 255.0,
    ) -> None:
        super().__init__(num_in_ch, num_out_ch, num_feat, num_block, upscale, img_range)
        self.mid_channels, self.esa_channels = mid_channels, esa_channels
        self.check("mid_channels", mid_channels >= 1, "of at least 1")
        self.conv_1 = nn.Conv2d(num_in_ch, num_feat, kernel_size=3, padding=1)
        blocks = (RLFB(num_feat, mid_channels, esa_channels) for _ in range(num_block))
        self.add_blocks("block_", blocks)
        self.conv_2 = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.upsampler = pixel_shuffle(num_feat, num_out_ch, upscale)

    def start_bilinear(self) -> None:
        """Set the weights so that the untrained network interpolates about bilinearly."""
        start_bilinear(self.conv_1, self.conv_2, self.upsampler[0])

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 15."""
        features = first = self.conv_1(x)  # (N, C, H, W)
        for block in self.blocks("block_"):
            features = block(features)
        return self.upsampler(self.conv_2(features) + first)  # (N, num_out_ch, H*s, W*s)


class FusedRLFB(nn.Module):
    """RLFB with its activations in its convolutions."""

    def __init__(self, block: RLFB) -> None:
        super().__init__()
        self.c1_r = FusedConv(block.c1_r, "leaky_relu")
        self.c2_r = FusedConv(block.c2_r, "leaky_relu")
        self.c3_r = FusedConv(block.c3_r, "leaky_relu")
        self.c5 = FusedConv(block.c5)
        self.esa = FusedESA(block.esa)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        r3 = self.c3_r(self.c2_r(self.c1_r(x)))  # (N, C, H, W)
        return self.esa(self.c5(r3.add_(x)), window)


class FusedRLFN(FusedNetwork):
    """The deployed form of RLFN."""

    def __init__(self, network: RLFN) -> None:
        first = scaled_input(network.conv_1, network.img_range)
        last = scaled_output(network.upsampler[0], 1 / network.img_range)
        super().__init__(network, first, last)
        self.blocks = nn.ModuleList(map(FusedRLFB, network.blocks("block_")))
        self.conv_2 = FusedConv(network.conv_2)
        self.rescale_features()

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 15."""
        features = first = self.fea_conv(x)  # (N, C, H, W)
        for block in self.blocks:
            features = block(features, window)
        return F.pixel_shuffle(self.upsampler(self.conv_2(features).add_(first)), self.upscale)


def _read_arguments(state: State) -> dict[str, Any] | None:
    sizes = read_arguments(state, "conv_1.weight", blocks="block_")
    inner = conv_shape(state, "block_1.c1_r.weight")
    attention = conv_shape(state, "block_1.esa.conv1.weight")
    if sizes is None or inner is None or attention is None:
        return None
    return {**sizes, "mid_channels": inner[0], "esa_channels": attention[0]}


ARCHITECTURE = Architecture(
    name="RLFN",
    network=RLFN,
    blocks=(RLFB,),
    read_arguments=_read_arguments,
    fuse=FusedRLFN,
    range_layers=RangeLayers(("conv_1.weight",), ("upsampler.0.weight", "upsampler.0.bias")),
    overlap=128,
    papers=("Kong et al., Residual Local Feature Network, CVPR Workshops 2022",),
    released=(
        Released(
            name="RLFN",
            sha256="3c9be7b9d7a4bece9b68c83a56a1ffb38010f76413d5f215be6b4be842e18fb2",
            source="NTIRE 2024 Efficient SR, baseline (team 00)",
            url="https://github.com/Amazingren/NTIRE2024_ESR/raw/6404fa48/model_zoo/team00_rlfn.pth",
        ),
    ),
)
