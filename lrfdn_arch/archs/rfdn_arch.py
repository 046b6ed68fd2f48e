"""RFDN, the residual feature distillation network (Liu et al., AIM 2020), the baseline."""

from functools import partial

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, Released
from lrfdn_arch.archs.attention import ESA, SLOPE
from lrfdn_arch.archs.distillation_network import (
    RANGE_LAYERS,
    FeatureDistillationNetwork,
    FusedDistillationNetwork,
)
from lrfdn_arch.archs.fused import FusedConv, FusedESA, with_shortcut
from lrfdn_arch.archs.network import read_arguments
from lrfdn_arch.window import Window


class RFDB(nn.Module):
    """Residual feature distillation block; ``num_feat`` is even and at least 4."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4 or num_feat % 2:
            raise ValueError(f"RFDB needs an even num_feat of at least 4, got {num_feat}")
        distilled = num_feat // 2
        self.c1_d = nn.Conv2d(num_feat, distilled, kernel_size=1)
        self.c1_r = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.c2_d = nn.Conv2d(num_feat, distilled, kernel_size=1)
        self.c2_r = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.c3_d = nn.Conv2d(num_feat, distilled, kernel_size=1)
        self.c3_r = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1)
        self.c4 = nn.Conv2d(num_feat, distilled, kernel_size=3, padding=1)
        self.c5 = nn.Conv2d(4 * distilled, num_feat, kernel_size=1)
        self.esa = ESA(num_feat)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        d1 = self.act(self.c1_d(x))  # (N, C/2, H, W)
        r1 = self.act(self.c1_r(x) + x)  # (N, C, H, W)
        d2 = self.act(self.c2_d(r1))
        r2 = self.act(self.c2_r(r1) + r1)
        d3 = self.act(self.c3_d(r2))
        r3 = self.act(self.c3_r(r2) + r2)
        r4 = self.act(self.c4(r3))  # (N, C/2, H, W)
        return self.esa(self.c5(torch.cat([d1, d2, d3, r4], dim=1)))


class RFDN(FeatureDistillationNetwork):
    """Residual feature distillation network, a :class:`SuperResolutionNetwork`.

    The defaults are the challenge's baseline: 433,448 parameters, and the released weights load
    with ``strict=True``. ``num_feat`` is even and at least 4.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 50,
        num_block: int = 4,
        upscale: int = 4,
        img_range: float = 255.0,
    ) -> None:
        blocks, activation = [RFDB(num_feat) for _ in range(num_block)], nn.LeakyReLU(SLOPE)
        super().__init__(blocks, activation, num_in_ch, num_out_ch, num_feat, upscale, img_range)


class FusedRFDB(nn.Module):
    """RFDB without its shortcuts."""

    def __init__(self, block: RFDB) -> None:
        super().__init__()
        self.c1_d = FusedConv(block.c1_d, "leaky_relu")
        self.c1_r = FusedConv(with_shortcut(block.c1_r), "leaky_relu")
        self.c2_d = FusedConv(block.c2_d, "leaky_relu")
        self.c2_r = FusedConv(with_shortcut(block.c2_r), "leaky_relu")
        self.c3_d = FusedConv(block.c3_d, "leaky_relu")
        self.c3_r = FusedConv(with_shortcut(block.c3_r), "leaky_relu")
        self.c4 = FusedConv(block.c4, "leaky_relu")
        self.c5 = FusedConv(block.c5)
        self.esa = FusedESA(block.esa)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        r1 = self.c1_r(x)  # (N, C, H, W)
        r2 = self.c2_r(r1)
        r4 = self.c4(self.c3_r(r2))  # (N, C/2, H, W)
        distilled = torch.cat([self.c1_d(x), self.c2_d(r1), self.c3_d(r2), r4], dim=1)
        return self.esa(self.c5(distilled), window)  # (N, C, H, W)


def _fuse(network: RFDN) -> FusedDistillationNetwork:
    fused = FusedDistillationNetwork(network, FusedRFDB, "leaky_relu")
    fused.rescale_features()
    return fused


ARCHITECTURE = Architecture(
    name="RFDN",
    network=RFDN,
    blocks=(RFDB, ESA),
    read_arguments=partial(
        read_arguments, first="fea_conv.weight", blocks="B", marker="B1.esa.conv_f.weight"
    ),
    fuse=_fuse,
    range_layers=RANGE_LAYERS,
    overlap=128,
    papers=("Liu et al., Residual Feature Distillation Network, ECCV Workshops 2020",),
    released=(
        Released(
            name="RFDN",
            sha256="11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c",
            source="NTIRE 2023 Efficient SR, baseline (team 00)",
            url="https://github.com/ofsoundof/NTIRE2023_ESR/raw/a6d76c7/model_zoo/team00_rfdn.pth",
        ),
    ),
)
