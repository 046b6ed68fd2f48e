"""Padding of images smaller than what the attention's stride and pooling need."""

import torch.nn.functional as F
from torch import Tensor

MIN_SIZE = 15  # 3x3 convolution of stride 2 without padding: 15 -> 7, the pooling window


def pad_to_minimum(x: Tensor, size: int = MIN_SIZE) -> Tensor:
    """Repeat the last row and column until ``x`` (N, C, H, W) is at least ``size`` on both sides.

    Returns ``x`` itself where it is large enough.
    """
    height, width = x.shape[-2:]
    if height >= size and width >= size:
        return x
    return F.pad(x, (0, max(0, size - width), 0, max(0, size - height)), mode="replicate")
