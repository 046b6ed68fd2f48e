"""Sizes below what the attention's stride and pooling can take."""

import torch.nn.functional as F
from torch import Tensor

MIN_SIZE = 15  # 3x3 convolution of stride 2 without padding: 15 -> 7, the pooling window


def pad_to_minimum(x: Tensor) -> Tensor:
    """Repeat the last row and column until ``x`` (N, C, H, W) is at least 15x15.

    Returns ``x`` itself where it is large enough.
    """
    height, width = x.shape[-2:]
    if height >= MIN_SIZE and width >= MIN_SIZE:
        return x
    missing = (0, max(0, MIN_SIZE - width), 0, max(0, MIN_SIZE - height))
    return F.pad(x, missing, mode="replicate")
