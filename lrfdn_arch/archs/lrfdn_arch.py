"""LRFDN, the lightweight residual feature distillation network (NTIRE 2023 ESR, team 30)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, Released
from lrfdn_arch.archs.attention import EFSA
from lrfdn_arch.archs.distillation_network import (
    RANGE_LAYERS,
    FeatureDistillationNetwork,
    FusedDistillationNetwork,
)
from lrfdn_arch.archs.fused import (
    FusedConv,
    exact,
    gain,
    one_by_ones,
    rescale,
    scaled_output,
    with_shortcut,
)
from lrfdn_arch.archs.network import read_arguments
from lrfdn_arch.archs.resize import resize_in_window
from lrfdn_arch.window import Window


class SRB(nn.Conv2d):
    """Shallow residual block: ``GELU(conv3x3(x) + x)``, shape kept.

    It is itself the convolution, as its released weight names are (``c1_r.weight``).
    Source: RFDN (Liu et al., AIM 2020), with LRFDN's GELU (NTIRE 2023 ESR, team 30).
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat, num_feat, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return F.gelu(super().forward(input) + input)


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
        out = self.esa(fused)
        out = out * self.cw.to(out.dtype).view(1, -1, 1, 1)  # else float32 in mixed precision
        return out + x if self.block_shortcut else out


class LRFDN(FeatureDistillationNetwork):
    """Lightweight residual feature distillation network, a :class:`SuperResolutionNetwork`.

    The defaults are the challenge entry: 198,032 parameters, and the released weights load with
    ``strict=True``. ``num_feat`` is a multiple of 8; for ``block_shortcut`` see :class:`LRFDB`.
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
        blocks = [LRFDB(num_feat, block_shortcut) for _ in range(num_block)]
        super().__init__(blocks, nn.GELU(), num_in_ch, num_out_ch, num_feat, upscale, img_range)
        self.block_shortcut = block_shortcut


class FusedLRFDB(nn.Module):
    """LRFDB without its additions of constants, shortcuts and channel weights.

    ``c5`` makes the features times cw / 6, ``conv1`` the attention's quarter-width map, both from
    the same concatenation; the mask is in [0, 6]. Input and output equal LRFDB's, block by block.
    """

    def __init__(self, block: LRFDB) -> None:
        super().__init__()
        esa = block.esa
        conv4, offset = exact(esa.conv4)
        self.c1_d = FusedConv(block.c1_d, "gelu")
        self.c1_r = FusedConv(with_shortcut(block.c1_r), "gelu")
        self.c2_d = FusedConv(block.c2_d, "gelu")
        self.c2_r = FusedConv(with_shortcut(block.c2_r), "gelu")
        self.c3_d = FusedConv(block.c3_d, "gelu")
        self.c3_r = FusedConv(with_shortcut(block.c3_r), "gelu")
        self.c4 = FusedConv(block.c4, "gelu")
        self.c5 = FusedConv(scaled_output(block.c5, block.cw.flatten().double() / 6))
        self.conv1 = FusedConv(one_by_ones(block.c5, esa.conv1))
        self.conv2 = FusedConv(esa.conv2)
        self.conv_max = FusedConv(esa.conv_max[0], "leaky_relu")
        self.conv3 = FusedConv(esa.conv3[0], "leaky_relu")
        self.conv4 = FusedConv((conv4, offset + 3), "relu6")  # relu6(. + 3) / 6, the 6 is in c5
        rescale(2**-6, [self.conv1], [self.conv2, self.conv_max, self.conv3], [self.conv4])
        self.block_shortcut = block.block_shortcut

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        d1 = self.c1_d(x)  # (N, C/2, H, W)
        d2 = self.c2_d(self.c1_r(d1))  # (N, C/4, H, W)
        d3 = self.c3_d(self.c2_r(d2))  # (N, C/8, H, W)
        r4 = self.c4(self.c3_r(d3))  # (N, C/8, H, W)
        distilled = torch.cat([d1, d2, d3, r4], dim=1)  # (N, C, H, W)
        a = self.conv1(distilled)  # (N, C/4, H, W)
        p = F.max_pool2d(self.conv2(a), kernel_size=7, stride=3)  # (N, C/4, ~H/6, ~W/6)
        q = self.conv_max(p).add_(self.conv3(p))
        m = self.conv4(resize_in_window(q, a, window).add_(a))  # (N, C, H, W)
        out = self.c5(distilled).mul_(m)
        return out.add_(x) if self.block_shortcut else out


def _fuse(network: LRFDN) -> FusedDistillationNetwork:
    fused = FusedDistillationNetwork(network, FusedLRFDB, "gelu")
    if not network.block_shortcut:
        first, *others = (block.c1_d for block in fused.blocks)
        shallow = [fused.fea_conv, fused.LR_conv]
        rescale(gain(fused.upsampler), shallow, [], [first, fused.upsampler])
        rescale(4, [block.c5 for block in fused.blocks], [], [*others, fused.c])
    return fused


ARCHITECTURE = Architecture(
    name="LRFDN",
    network=LRFDN,
    blocks=(LRFDB, SRB, EFSA),
    read_arguments=partial(read_arguments, first="fea_conv.weight", blocks="B", marker="B1.cw"),
    fuse=_fuse,
    range_layers=RANGE_LAYERS,
    overlap=128,
    papers=("Li et al., NTIRE 2023 Challenge on Efficient Super-Resolution, team 30",),
    released=(
        Released(
            name="LRFDN",
            sha256="f8a35b300064b2c3ccee218ef07a6172f49a17fa68674a54fb4b5bf1b2b94cc4",
            source="NTIRE 2023 Efficient SR, team 30",
            url="https://github.com/jabir-zheng/LRFDN/raw/d36f33c4/model_zoo/team30_lrfdn.pth",
        ),
    ),
)
