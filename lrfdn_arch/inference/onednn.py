"""Convolution and activation in one oneDNN kernel, for x86 CPUs.

torch's eager mode runs a convolution and then reads and writes its output again for the activation.
oneDNN, which is part of torch, can do both in one pass and keep the weights in the layout its
kernels prefer; ``torch.compile`` uses the operators below for that. They are not public, so they
are tested once and not used if they are missing or give different results.
"""

import copy
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.fused import SLOPE, FusedConv, FusedNetwork

# activation: (oneDNN's name, its numbers, its algorithm)
_POST_OPS: dict[str, tuple[str, list[float], str]] = {
    "none": ("none", [], ""),
    "gelu": ("gelu", [], "none"),
    "leaky_relu": ("leaky_relu", [SLOPE], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "sigmoid": ("sigmoid", [], ""),
    "silu": ("swish", [], ""),
    "prelu": ("none", [], ""),  # oneDNN's operator has no slope per channel: F.prelu follows
}
_TYPICAL_SIZE = 256  # the packed layout is chosen for images of about this side length


class OneDnnConv(nn.Module):
    """A :class:`FusedConv` as one oneDNN call; (N, C, H, W) in channels_last, like its result."""

    weight: Tensor

    def __init__(self, conv: FusedConv) -> None:
        super().__init__()
        operators: Any = torch.ops.mkldnn
        self.convolution = operators._convolution_pointwise
        self.geometry = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self.post_op = _POST_OPS[conv.activation]
        size = [1, conv.in_channels, _TYPICAL_SIZE, _TYPICAL_SIZE]
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        # No buffer: a packed tensor cannot be copied, moved or saved.
        self.packed = operators._reorder_convolution_weight(weight, *self.geometry, size)
        self.bias, self.slope = conv.bias, conv.slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W')."""
        out = self.convolution(x, self.packed, self.bias, *self.geometry, *self.post_op)
        return out if self.slope is None else F.prelu(out, self.slope)


def with_onednn(network: FusedNetwork) -> FusedNetwork:
    """Return a copy of ``network`` with oneDNN convolutions, or ``network`` if unavailable.

    The copy is for inference on the CPU in float32 and channels_last.
    """
    if not onednn_works():
        return network
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FusedConv):
                setattr(parent, name, OneDnnConv(child))
    return network


@cache
def onednn_works() -> bool:
    """Return whether oneDNN's fused convolution is available and correct for every activation."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(8, 8, 3, 3, generator=generator)
    try:
        with torch.no_grad():
            for activation in _POST_OPS:
                slope = torch.rand(8, generator=generator) if activation == "prelu" else None
                conv = FusedConv((weight, torch.ones(8)), activation, slope)
                if not torch.allclose(OneDnnConv(conv)(x), conv(x), atol=1e-4):
                    return False
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False  # this torch version has no such operator, or a different signature
    return True
