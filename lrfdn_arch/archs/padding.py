"""Padding of images smaller than what the attention's stride and pooling need."""

import torch.nn.functional as F
from torch import Tensor

from lrfdn_arch.window import MIN_SIZE


def pad_to_minimum(x: Tensor, size: int = MIN_SIZE) -> Tensor:
    """Repeat the last row and column until ``x`` (N, C, H, W) is at least ``size`` on both sides.

    Returns ``x`` itself where it is large enough.
    """
    height, width = x.shape[-2:]
    if height >= size and width >= size:
        return x
    return F.pad(x, (0, max(0, size - width), 0, max(0, size - height)), mode="replicate")
