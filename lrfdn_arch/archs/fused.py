"""Deployed forms of networks: convolutions with every linear step between them folded in.

- A residual 3x3 convolution, conv(x) + x, is +1 on the center tap of its own channel.
- A factor per channel scales the rows of the convolution before it or the columns of the next one.
- Consecutive 1x1 convolutions become one.
- ``img_range`` multiplies the first convolution's weights and divides the last one's.
- Powers of 2 move from layer to layer, so that float16 can hold weights and features.

Folding is done in float64, so the result equals the network's up to floating-point rounding.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.attention import ESA, SLOPE, pool
from lrfdn_arch.archs.network import SuperResolutionNetwork
from lrfdn_arch.archs.resize import pad_to_minimum, resize_in_window
from lrfdn_arch.window import Window

Folded = tuple[Tensor, Tensor]  # weight and bias, float64


_ACTIVATIONS: dict[str, Callable[[Tensor, Any], Tensor]] = {  # they may overwrite their input
    "none": lambda x, slope: x,
    "gelu": lambda x, slope: F.gelu(x),
    "leaky_relu": lambda x, slope: F.leaky_relu_(x, SLOPE),
    "prelu": F.prelu,
    "relu": lambda x, slope: F.relu_(x),
    "relu6": lambda x, slope: F.hardtanh_(x, 0.0, 6.0),
    "sigmoid": lambda x, slope: x.sigmoid_(),
    "silu": lambda x, slope: F.silu(x, inplace=True),
}


class FusedConv(nn.Conv2d):
    """A convolution and the activation that follows it, together so that one kernel can do both.

    Args:
        conv: an ``nn.Conv2d``, or weight (out, in, k, k) and bias (out,) of one that keeps the
            image's size.
        activation: "none", "gelu" (the exact one), "leaky_relu" (slope 0.05), "prelu", "relu",
            "relu6", "sigmoid" or "silu".
        slope: (out,), for "prelu".
    """

    def __init__(
        self, conv: nn.Module | Folded, activation: str = "none", slope: Tensor | None = None
    ) -> None:
        weight, bias = exact(conv) if isinstance(conv, nn.Module) else conv
        out, in_, k = weight.shape[:3]
        geometry: dict[str, Any] = {"padding": k // 2}
        if isinstance(conv, nn.Conv2d):
            in_ = conv.in_channels
            geometry = {n: getattr(conv, n) for n in ("stride", "padding", "dilation", "groups")}
        super().__init__(in_, out, k, **geometry)
        self.weight = nn.Parameter(weight.detach().float().clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().float().clone(), requires_grad=False)
        self.activation = activation
        self.slope = None if slope is None else nn.Parameter(slope.detach().clone(), False)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W'), of the weights' type; ``input`` is kept."""
        x = super().forward(input.to(self.weight.dtype))
        return _ACTIVATIONS[self.activation](x, self.slope)


class FusedNetwork(nn.Module):
    """A network for inference: (N, C, H, W) in [0, 1] to (N, C, H*upscale, W*upscale).

    Subclasses build their modules and define ``upscale_padded``. Parameters need no gradients,
    ``img_range`` is part of the weights, and values that are not read again may be overwritten in
    place. The first and the last convolution are called ``fea_conv`` and ``upsampler``.

    Args:
        network: the network it is made from.
        first: the convolution that reads the image.
        last: the convolution whose output is shuffled to pixels.
    """

    uses_window = True  # whether the result depends on a tile's position in the image

    def __init__(
        self, network: SuperResolutionNetwork, first: Folded, last: nn.Module | Folded
    ) -> None:
        super().__init__()
        self.network = type(network).__name__
        self.upscale, self.min_size = network.upscale, network.min_size
        self.fea_conv, self.upsampler = FusedConv(first), FusedConv(last)
        self.num_in_ch, self.num_feat = network.num_in_ch, network.num_feat
        self.num_out_ch = network.num_out_ch
        self.overlap: int | None = None  # as in the network's record

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, 1] to (N, num_out_ch, H*upscale, W*upscale).

        ``window`` is the position of ``x`` in a larger image; see :class:`Window`.
        """
        height, width = x.shape[-2:]
        out = self.upscale_padded(pad_to_minimum(x, self.min_size), window)
        return out[..., : height * self.upscale, : width * self.upscale]

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= min_size."""
        raise NotImplementedError

    def rescale_features(self) -> None:
        """Scale the features to the range of pixels, except inside ESA; for (leaky) ReLU only."""
        attentions = [module for module in self.modules() if isinstance(module, FusedESA)]
        others = {self.fea_conv, self.upsampler}.union(*(a.modules() for a in attentions))
        inner = [m for m in self.modules() if isinstance(m, FusedConv) and m not in others]
        last = [self.upsampler, *(attention.conv1 for attention in attentions)]
        rescale(gain(self.upsampler), [self.fea_conv], inner, last)


def exact(conv: nn.Module) -> Folded:
    """Return weight and bias of a convolution in float64."""
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None, "checked before fusing"
    return conv.weight.double(), conv.bias.double()


def with_shortcut(conv: nn.Module) -> Folded:
    """Return ``conv3x3(x) + x`` as one convolution."""
    weight, bias = exact(conv)
    weight = weight.clone()
    weight[range(len(weight)), range(len(weight)), 1, 1] += 1
    return weight, bias


def scaled_input(conv: nn.Module, factor: float) -> Folded:
    """Return ``conv(factor * x)`` as one convolution."""
    weight, bias = exact(conv)
    return weight * factor, bias


def scaled_output(conv: nn.Module, factor: Tensor | float) -> Folded:
    """Return ``factor * conv(x)`` as one convolution; one factor, or one per channel."""
    weight, bias = exact(conv)
    factor = torch.as_tensor(factor, dtype=torch.float64, device=weight.device)
    return weight * factor.view(-1, 1, 1, 1), bias * factor


def one_by_ones(first: nn.Module, second: nn.Module) -> Folded:
    """Return ``second(first(x))``, of which ``second`` is a 1x1 convolution, as one."""
    (weight, bias), (matrix, offset) = exact(first), exact(second)
    matrix = matrix[:, :, 0, 0]
    return torch.einsum("oi,icyx->ocyx", matrix, weight), matrix @ bias + offset


def rescale(factor: float, first: Iterable[Any], inner: Iterable[Any], last: Iterable[Any]) -> None:
    """Make what ``first`` returns and ``last`` reads ``factor`` times as large.

    Between them may be the convolutions ``inner``, (leaky) ReLU, additions, pooling and resizing.
    With a power of 2 the results stay the same, bit for bit, in float32. float16 holds numbers from
    6e-5 to 65504; programs for GPUs, ncnn among them, replace smaller ones by 0.
    """
    for convs, scale_weight, scale_bias in ((first, 1, 1), (inner, 0, 1), (last, -1, 0)):
        for conv in convs:
            conv.weight.mul_(factor**scale_weight)
            conv.bias.mul_(factor**scale_bias)


def gain(conv: FusedConv) -> float:
    """Return by how much ``conv`` enlarges values, typically, rounded to a power of 2."""
    weight = conv.weight.double()
    enlarged = float(weight.square().mean() * weight[0].numel()) ** 0.5
    return 2.0 ** round(math.log2(enlarged)) if enlarged else 1.0


class FusedESA(nn.Module):
    """ESA with its activations in its convolutions.

    Its 1x1 convolutions could read the input of the convolution before it, as LRFDN's do. That is
    slower where this input has more channels (by 19 % in EFDN) and no faster elsewhere.
    """

    def __init__(self, esa: ESA) -> None:
        super().__init__()
        self.conv1 = FusedConv(esa.conv1)
        self.conv_f = FusedConv(esa.conv_f)
        self.conv2 = FusedConv(esa.conv2)
        if esa.single_conv:
            self.middle = nn.Sequential(FusedConv(esa.conv3))
        else:
            first, second = FusedConv(esa.conv_max, "relu"), FusedConv(esa.conv3, "relu")
            self.middle = nn.Sequential(first, second, FusedConv(esa.conv3_))
        self.conv4 = FusedConv(esa.conv4, "sigmoid")

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape, H, W >= 15; ``x`` is overwritten."""
        a = self.conv1(x)  # (N, f, H, W)
        q = self.middle(pool(a, self.conv2))  # (N, f, ~H/6, ~W/6)
        m = self.conv4(resize_in_window(q, a, window).add_(self.conv_f(a)))
        return x.mul_(m)
