"""Spatial attention computed at low resolution: ESA, and LRFDN's lighter EFSA.

All forms (MAFFSRN's, in its own file, too) reduce the channels, halve the resolution with a strided
convolution and divide it by 3 with 7x7 max pooling, apply convolutions there, resize the result to
the image again, and compute a mask from it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.resize import pad_to_minimum, stretch

SLOPE = 0.05  # of every LeakyReLU in the networks of this package


def pool(x: Tensor, strided: nn.Module) -> Tensor:
    """Map (N, c, H, W) to about a sixth of the size: ``strided`` (stride 2), then max pooling."""
    return F.max_pool2d(strided(x), kernel_size=7, stride=3)


def leaky_conv(num_feat: int, dilation: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution that keeps the shape, followed by LeakyReLU."""
    conv = nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=dilation, dilation=dilation)
    return nn.Sequential(conv, nn.LeakyReLU(SLOPE))


class EFSA(nn.Module):
    """Enhanced fast spatial attention of LRFDN (NTIRE 2023 ESR, team 30, Figure 2c).

    Two parallel 3x3 convolutions, one of them dilated, as in MAFFSRN's MAB, and a hard sigmoid,
    computed on a quarter of ``num_feat``, a multiple of 4. Maps smaller than 15x15 are padded by
    replication.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4 or num_feat % 4:
            raise ValueError(f"EFSA needs num_feat divisible by 4, got {num_feat}")
        f = num_feat // 4
        self.conv1 = nn.Conv2d(num_feat, f, kernel_size=1)
        self.conv2 = nn.Conv2d(f, f, kernel_size=3, stride=2)
        self.conv_max = leaky_conv(f)
        self.conv3 = leaky_conv(f, dilation=2)
        self.conv4 = nn.Conv2d(f, num_feat, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape: ``x`` times a mask in [0, 1]."""
        a = self.conv1(x)  # (N, C/4, H, W)
        padded = pad_to_minimum(a)
        p = pool(padded, self.conv2)  # (N, C/4, ~H/6, ~W/6)
        q = self.conv_max(p) + self.conv3(p)
        u = stretch(q, padded, a, training=self.training)  # (N, C/4, H, W)
        m = F.hardsigmoid(self.conv4(u + a))  # relu6(. + 3) / 6
        return x * m


class ESA(nn.Module):
    """Enhanced spatial attention of RFANet (Liu et al., CVPR 2020), of RFDN and of RLFN.

    Maps smaller than 15x15 are padded by replication.

    Args:
        num_feat: channels in and out.
        esa_channels: channels that the attention works on; num_feat // 4 if None.
        single_conv: use one convolution at low resolution, as RLFN does, instead of three with
            ReLU between them.
    """

    def __init__(
        self, num_feat: int, esa_channels: int | None = None, single_conv: bool = False
    ) -> None:
        super().__init__()
        f = num_feat // 4 if esa_channels is None else esa_channels
        if f < 1:
            raise ValueError(
                f"ESA needs num_feat of at least 4, or esa_channels of at least 1, got {num_feat} "
                f"and {esa_channels}"
            )
        self.single_conv = single_conv
        self.conv1 = nn.Conv2d(num_feat, f, kernel_size=1)
        self.conv_f = nn.Conv2d(f, f, kernel_size=1)
        self.conv_max = nn.Identity() if single_conv else nn.Conv2d(f, f, 3, padding=1)
        self.conv2 = nn.Conv2d(f, f, kernel_size=3, stride=2)
        self.conv3 = nn.Conv2d(f, f, kernel_size=3, padding=1)
        self.conv3_ = nn.Identity() if single_conv else nn.Conv2d(f, f, 3, padding=1)
        self.conv4 = nn.Conv2d(f, num_feat, kernel_size=1)
        self.relu = nn.Identity() if single_conv else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape: ``x`` times a mask in (0, 1)."""
        a = self.conv1(x)  # (N, f, H, W)
        padded = pad_to_minimum(a)
        p = pool(padded, self.conv2)  # (N, f, ~H/6, ~W/6)
        q = self.conv3_(self.relu(self.conv3(self.relu(self.conv_max(p)))))
        u = stretch(q, padded, a, training=self.training)  # (N, f, H, W)
        m = torch.sigmoid(self.conv4(u + self.conv_f(a)))
        return x * m
