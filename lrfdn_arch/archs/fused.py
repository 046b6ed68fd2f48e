"""Deployed forms of networks: convolutions with every linear step between them folded in.

- A residual 3x3 convolution, conv(x) + x, is +1 on the center tap of its own channel.
- A factor per channel scales the rows of the convolution before it or the columns of the next one.
- Consecutive 1x1 convolutions become one.
- ``img_range`` multiplies the first convolution's weights and divides the last one's.

Folding is done in float64, so the result equals the network's up to floating-point rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.attention import ESA, SLOPE, pool
from lrfdn_arch.archs.padding import MIN_SIZE, pad_to_minimum
from lrfdn_arch.archs.window import Window, resize_in_window

Folded = tuple[Tensor, Tensor]  # weight and bias, float64


class FusedConv(nn.Conv2d):
    """A convolution and the activation that follows it, together so that one kernel can do both.

    Args:
        weight: (out, in / groups, k, k).
        bias: (out,).
        activation: "none", "gelu" (the exact one), "leaky_relu" (slope 0.05), "prelu", "relu",
            "relu6", "sigmoid" or "silu".
        stride: of the kernel.
        padding: zeros on each side; half the kernel size if None.
        dilation: of the kernel.
        groups: of channels.
        slope: (out,), for "prelu".
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        activation: str = "none",
        *,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        slope: Tensor | None = None,
    ) -> None:
        out, in_, k = weight.shape[:3]
        padding = k // 2 if padding is None else padding
        super().__init__(in_ * groups, out, k, stride, padding, dilation, groups)
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.activation = activation
        self.slope = None if slope is None else nn.Parameter(slope.detach().clone(), False)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W'), of the weights' type."""
        return activate(super().forward(input.to(self.weight.dtype)), self.activation, self.slope)


def activate(x: Tensor, activation: str, slope: Tensor | None = None) -> Tensor:
    """Apply a :class:`FusedConv`'s activation; ``x`` may be overwritten."""
    if activation == "gelu":
        return F.gelu(x)
    if activation == "leaky_relu":
        return F.leaky_relu_(x, SLOPE)
    if activation == "prelu":
        assert slope is not None, "created with its activation"
        return F.prelu(x, slope)
    if activation == "relu":
        return F.relu_(x)
    if activation == "relu6":
        return F.hardtanh_(x, 0.0, 6.0)
    if activation == "sigmoid":
        return x.sigmoid_()
    if activation == "silu":
        return F.silu(x, inplace=True)
    assert activation == "none", activation
    return x


class FusedNetwork(nn.Module):
    """A network for inference: (N, C, H, W) in [0, 1] to (N, C, H*upscale, W*upscale).

    Subclasses build their modules and define ``upscale_padded``. Parameters need no gradients,
    ``img_range`` is part of the weights, and values that are not read again may be overwritten in
    place. The first and the last convolution are called ``fea_conv`` and ``upsampler``.

    Args:
        network: name of the network it was made from.
        upscale: the network's factor.
        first: the convolution that reads the image.
        last: the convolution whose output is shuffled to pixels.

    Attributes:
        min_size: side below which images are padded by replication and the result cropped.
        uses_window: whether the result depends on a tile's position in the image.
    """

    min_size = MIN_SIZE
    uses_window = True

    def __init__(self, network: str, upscale: int, first: FusedConv, last: FusedConv) -> None:
        super().__init__()
        self.network = network
        self.upscale = upscale
        self.fea_conv, self.upsampler = first, last
        self.num_in_ch, self.num_feat = first.in_channels, first.out_channels
        self.num_out_ch = last.out_channels // upscale**2
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


def exact(conv: nn.Module) -> Folded:
    """Return weight and bias of a convolution in float64."""
    assert isinstance(conv, nn.Conv2d), "checked before fusing"
    assert conv.bias is not None, "checked before fusing"
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


def one_by_ones(first: nn.Module, *others: nn.Module) -> Folded:
    """Return ``first`` and the 1x1 convolutions that follow it as one."""
    weight, bias = exact(first)
    for conv in others:
        matrix, offset = exact(conv)
        weight = torch.einsum("oi,icyx->ocyx", matrix[:, :, 0, 0], weight)
        bias = matrix[:, :, 0, 0] @ bias + offset
    return weight, bias


def fused_conv(
    folded: Folded,
    activation: str = "none",
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    slope: Tensor | None = None,
) -> FusedConv:
    """Return a :class:`FusedConv` with these float64 weights in float32."""
    weight, bias = folded[0].float(), folded[1].float()
    return FusedConv(
        weight,
        bias,
        activation,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        slope=slope,
    )


class FusedESA(nn.Module):
    """ESA with its activations in its convolutions.

    Its 1x1 convolutions could read the input of the convolution before it, as LRFDN's do. That is
    slower where this input has more channels (by 19 % in EFDN) and no faster elsewhere.
    """

    def __init__(self, esa: ESA) -> None:
        super().__init__()
        self.conv1 = fused_conv(exact(esa.conv1))
        self.conv_f = fused_conv(exact(esa.conv_f))
        self.conv2 = fused_conv(exact(esa.conv2), stride=2, padding=0)
        if esa.single_conv:
            self.middle = nn.Sequential(fused_conv(exact(esa.conv3)))
        else:
            self.middle = nn.Sequential(
                fused_conv(exact(esa.conv_max), "relu"),
                fused_conv(exact(esa.conv3), "relu"),
                fused_conv(exact(esa.conv3_)),
            )
        self.conv4 = fused_conv(exact(esa.conv4), "sigmoid")

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape, H, W >= 15; ``x`` is overwritten."""
        a = self.conv1(x)  # (N, f, H, W)
        q = self.middle(pool(a, self.conv2))  # (N, f, ~H/6, ~W/6)
        m = self.conv4(resize_in_window(q, a, window).add_(self.conv_f(a)))
        return x.mul_(m)
