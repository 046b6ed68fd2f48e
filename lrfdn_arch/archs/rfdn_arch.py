"""RFDN, the residual feature distillation network (Liu et al., AIM 2020), the baseline."""

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.distillation_network import FeatureDistillationNetwork
from lrfdn_arch.archs.efsa_arch import ESA

SLOPE = 0.05  # of every LeakyReLU


class RFDB(nn.Module):
    """Residual feature distillation block.

    Args:
        num_feat: channels in and out, even and at least 4.
    """

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
    """Residual feature distillation network.

    Input (N, num_in_ch, H, W) and output (N, num_out_ch, H*upscale, W*upscale), float, RGB, in
    [0, 1]. The defaults are the challenge's baseline: 433,448 parameters, and the released weights
    load with ``strict=True``.

    Args:
        num_in_ch: channels of the input image.
        num_out_ch: channels of the output image.
        num_feat: channels of the features, even and at least 4.
        num_block: number of RFDB blocks, at least 1.
        upscale: any whole factor from 1.
        img_range: the range the weights work in; the released ones expect [0, 255].

    Raises:
        ValueError: an argument is outside what is said above.
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
        super().__init__(
            blocks=[RFDB(num_feat) for _ in range(num_block)],
            activation=nn.LeakyReLU(SLOPE),
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            upscale=upscale,
            img_range=img_range,
        )
