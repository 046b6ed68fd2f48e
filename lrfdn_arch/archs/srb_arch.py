"""Shallow residual block."""

import torch.nn.functional as F
from torch import Tensor, nn


class SRB(nn.Conv2d):
    """Shallow residual block: ``GELU(conv3x3(x) + x)``, shape kept.

    It is itself the convolution, as its released weight names are (``c1_r.weight``).
    Source: RFDN (Liu et al., AIM 2020), with LRFDN's GELU (NTIRE 2023 ESR, team 30).

    Args:
        num_feat: channels in and out.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat, num_feat, kernel_size=3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return F.gelu(super().forward(input) + input)
