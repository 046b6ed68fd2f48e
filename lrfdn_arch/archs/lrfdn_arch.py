"""LRFDN, the lightweight residual feature distillation network (NTIRE 2023 ESR, team 30)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.distillation_network import FeatureDistillationNetwork
from lrfdn_arch.archs.efsa_arch import EFSA
from lrfdn_arch.archs.srb_arch import SRB


class LRFDB(nn.Module):
    """Layered distillation block: each level distils half the channels of the one before.

    Args:
        num_feat: channels in and out, a multiple of 8.
        block_shortcut: add the block's input to its output, as Figure 2(a) of the factsheet draws
            it. The released code and weights have no such shortcut.
    """

    def __init__(self, num_feat: int, block_shortcut: bool = False) -> None:
        super().__init__()
        if num_feat < 8 or num_feat % 8:
            raise ValueError(f"LRFDB needs num_feat divisible by 8, got {num_feat}")
        half, quarter, eighth = num_feat // 2, num_feat // 4, num_feat // 8
        self.block_shortcut = block_shortcut
        self.c1_d = nn.Conv2d(num_feat, half, kernel_size=1)
        self.c1_r = SRB(half)
        self.c2_d = nn.Conv2d(half, quarter, kernel_size=1)
        self.c2_r = SRB(quarter)
        self.c3_d = nn.Conv2d(quarter, eighth, kernel_size=1)
        self.c3_r = SRB(eighth)
        self.c4 = nn.Conv2d(eighth, eighth, kernel_size=3, padding=1)
        self.c5 = nn.Conv2d(num_feat, num_feat, kernel_size=1)
        self.esa = EFSA(num_feat)
        self.cw = nn.Parameter(torch.normal(1.0, 0.2, size=(1, num_feat)))  # weight per channel

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        d1 = F.gelu(self.c1_d(x))  # (N, C/2, H, W)
        r1 = self.c1_r(d1)
        d2 = F.gelu(self.c2_d(r1))  # (N, C/4, H, W)
        r2 = self.c2_r(d2)
        d3 = F.gelu(self.c3_d(r2))  # (N, C/8, H, W)
        r3 = self.c3_r(d3)
        r4 = F.gelu(self.c4(r3))  # (N, C/8, H, W)
        fused = self.c5(torch.cat([d1, d2, d3, r4], dim=1))  # (N, C, H, W)
        out = self.esa(fused) * self.cw.view(1, -1, 1, 1)
        return out + x if self.block_shortcut else out


class LRFDN(FeatureDistillationNetwork):
    """Lightweight residual feature distillation network.

    Input (N, num_in_ch, H, W) and output (N, num_out_ch, H*upscale, W*upscale), float, RGB, in
    [0, 1]. The defaults are the challenge entry: 198,032 parameters, and the released weights load
    with ``strict=True``.

    Args:
        num_in_ch: channels of the input image.
        num_out_ch: channels of the output image.
        num_feat: channels of the features, a multiple of 8.
        num_block: number of LRFDB blocks, at least 1.
        upscale: any whole factor from 1.
        img_range: the range the weights work in; the released ones expect [0, 1].
        block_shortcut: see :class:`LRFDB`.

    Raises:
        ValueError: an argument is outside what is said above.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 4,
        upscale: int = 4,
        img_range: float = 1.0,
        block_shortcut: bool = False,
    ) -> None:
        super().__init__(
            blocks=[LRFDB(num_feat, block_shortcut) for _ in range(num_block)],
            activation=nn.GELU(),
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            upscale=upscale,
            img_range=img_range,
        )
