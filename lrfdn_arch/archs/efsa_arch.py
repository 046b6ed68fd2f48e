"""Spatial attention at low resolution: RFDN's ESA and LRFDN's lighter EFSA."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.padding import pad_to_minimum


def _upsample_and_crop(q: Tensor, padded: Tensor, a: Tensor) -> Tensor:
    """Bilinearly bring ``q`` to the size of ``padded``, then cut it to the size of ``a``."""
    upsampled = F.interpolate(q, size=padded.shape[-2:], mode="bilinear", align_corners=False)
    return upsampled[..., : a.shape[-2], : a.shape[-1]]


class EFSA(nn.Module):
    """Enhanced fast spatial attention of LRFDN (NTIRE 2023 ESR, team 30, Figure 2c).

    Two parallel 3x3 convolutions, one of them dilated, and a hard sigmoid where ESA has three
    convolutions in a row and a sigmoid. Maps smaller than 15x15 are padded by replication.

    Args:
        num_feat: channels in and out, a multiple of 4; the attention works on a quarter of them.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4 or num_feat % 4:
            raise ValueError(f"EFSA needs num_feat divisible by 4, got {num_feat}")
        f = num_feat // 4
        self.conv1 = nn.Conv2d(num_feat, f, kernel_size=1)
        self.conv2 = nn.Conv2d(f, f, kernel_size=3, stride=2)
        self.conv_max = nn.Sequential(nn.Conv2d(f, f, kernel_size=3, padding=1), nn.LeakyReLU(0.05))
        self.conv3 = nn.Sequential(
            nn.Conv2d(f, f, kernel_size=3, padding=2, dilation=2), nn.LeakyReLU(0.05)
        )
        self.conv4 = nn.Conv2d(f, num_feat, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape: ``x`` times a mask in [0, 1]."""
        a = self.conv1(x)  # (N, C/4, H, W)
        padded = pad_to_minimum(a)
        p = F.max_pool2d(self.conv2(padded), kernel_size=7, stride=3)  # (N, C/4, ~H/6, ~W/6)
        q = self.conv_max(p) + self.conv3(p)
        u = _upsample_and_crop(q, padded, a)  # (N, C/4, H, W)
        m = F.hardsigmoid(self.conv4(u + a))  # relu6(. + 3) / 6
        return x * m


class ESA(nn.Module):
    """Enhanced spatial attention of RFDN (Liu et al., AIM 2020).

    Maps smaller than 15x15 are padded by replication.

    Args:
        num_feat: channels in and out, at least 4; the attention works on a quarter of them,
            rounded down.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4:
            raise ValueError(f"ESA needs num_feat of at least 4, got {num_feat}")
        f = num_feat // 4
        self.conv1 = nn.Conv2d(num_feat, f, kernel_size=1)
        self.conv_f = nn.Conv2d(f, f, kernel_size=1)
        self.conv_max = nn.Conv2d(f, f, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(f, f, kernel_size=3, stride=2)
        self.conv3 = nn.Conv2d(f, f, kernel_size=3, padding=1)
        self.conv3_ = nn.Conv2d(f, f, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(f, num_feat, kernel_size=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape: ``x`` times a mask in (0, 1)."""
        a = self.conv1(x)  # (N, C//4, H, W)
        padded = pad_to_minimum(a)
        p = F.max_pool2d(self.conv2(padded), kernel_size=7, stride=3)  # (N, C//4, ~H/6, ~W/6)
        q = self.conv3_(self.relu(self.conv3(self.relu(self.conv_max(p)))))
        u = _upsample_and_crop(q, padded, a)  # (N, C//4, H, W)
        m = torch.sigmoid(self.conv4(u + self.conv_f(a)))
        return x * m
