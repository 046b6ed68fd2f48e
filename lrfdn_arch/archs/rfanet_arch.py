"""RFANet, residual feature aggregation (Liu et al., CVPR 2020): where ESA comes from.

Its authors released neither code nor weights, so this follows the paper; only the number of
parameters could be compared with it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, RangeLayers, State
from lrfdn_arch.archs.attention import ESA
from lrfdn_arch.archs.network import SuperResolutionNetwork, conv_shape, count_blocks

_STEPS = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # pixel shuffles of each scale


class ResidualBlock(nn.Module):
    """Two convolutions and attention for at least 4 channels; the caller adds the input."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.esa = ESA(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the residual of the same shape."""
        return self.esa(self.conv2(self.relu(self.conv1(x))))


class RFA(nn.Module):
    """Residual feature aggregation: four residual blocks, their residuals fused and added."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.block_1, self.block_2 = ResidualBlock(num_feat), ResidualBlock(num_feat)
        self.block_3, self.block_4 = ResidualBlock(num_feat), ResidualBlock(num_feat)
        self.fuse = nn.Conv2d(4 * num_feat, num_feat, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        r1 = self.block_1(x)
        x1 = x + r1
        r2 = self.block_2(x1)
        x2 = x1 + r2
        r3 = self.block_3(x2)
        r4 = self.block_4(x2 + r3)
        return x + self.fuse(torch.cat([r1, r2, r3, r4], dim=1))


class RFANet(SuperResolutionNetwork):
    """Residual feature aggregation network, a :class:`SuperResolutionNetwork` built like EDSR.

    The defaults are the paper's: 11,093,635 parameters at x4. No weights were released.
    ``num_feat`` is at least 4, ``upscale`` 2, 3, 4 or 8; ``num_block`` counts RFA modules of four
    residual blocks each.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 30,
        upscale: int = 4,
        img_range: float = 255.0,
    ) -> None:
        super().__init__(num_in_ch, num_out_ch, num_feat, num_block, upscale, img_range)
        self.check("upscale", upscale in _STEPS, "of 2, 3, 4 or 8")
        self.conv_first = nn.Conv2d(num_in_ch, num_feat, kernel_size=3, padding=1)
        self.body = nn.Sequential(*(RFA(num_feat) for _ in range(num_block)))
        self.conv_after_body = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.upsample = nn.Sequential()
        for step in _STEPS[upscale]:
            self.upsample.append(nn.Conv2d(num_feat, num_feat * step**2, kernel_size=3, padding=1))
            self.upsample.append(nn.PixelShuffle(step))
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, kernel_size=3, padding=1)

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 15."""
        first = self.conv_first(x)  # (N, C, H, W)
        features = self.conv_after_body(self.body(first)) + first
        return self.conv_last(self.upsample(features))  # (N, num_out_ch, H*s, W*s)


def _read_arguments(state: State) -> dict[str, Any] | None:
    names = ("conv_first.weight", "upsample.0.weight", "conv_last.weight")
    first, step, last = (conv_shape(state, name) for name in names)
    if not first or not step or not last or "body.0.block_1.esa.conv1.weight" not in state:
        return None
    num_feat, num_in_ch = first[:2]
    steps, thrice = count_blocks(state, "upsample."), step[0] == 9 * num_feat
    return {
        "num_in_ch": num_in_ch,
        "num_out_ch": last[0],
        "num_feat": num_feat,
        "num_block": count_blocks(state, "body."),
        "upscale": 3 if thrice else 2**steps,
    }


ARCHITECTURE = Architecture(
    name="RFANet",
    network=RFANet,
    blocks=(RFA,),
    read_arguments=_read_arguments,
    range_layers=RangeLayers(("conv_first.weight",), ("conv_last.weight", "conv_last.bias")),
    papers=("Liu et al., Residual Feature Aggregation Network, CVPR 2020",),
)
