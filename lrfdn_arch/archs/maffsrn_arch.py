"""MAFFSRN, multi-attentive feature fusion (Muqeet et al., AIM 2020): where EFSA comes from."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, RangeLayers, State
from lrfdn_arch.archs.attention import leaky_conv, pool, stretch
from lrfdn_arch.archs.network import SuperResolutionNetwork, count_blocks, read_sizes
from lrfdn_arch.archs.padding import pad_to_minimum

MIN_SIZE = 13  # 3x3 convolution of stride 2, padded by 1: 13 -> 7, the pooling window


class WeightNormConv2d(nn.Conv2d):
    """A convolution whose weight is ``weight_g * weight_v / |weight_v|``, row by row.

    Its parameters have the names of torch's older ``weight_norm``, as in the authors' code; the
    newer one calls them ``parametrizations.weight.original0`` and ``1``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        weight = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(_row_norms(weight))  # (out, 1, 1, 1)
        self.weight_v = nn.Parameter(weight)  # (out, in, k, k)

    def normalized_weight(self) -> Tensor:
        """Return the weight the convolution uses, (out, in, k, k)."""
        return self.weight_v * (self.weight_g / _row_norms(self.weight_v))

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W)."""
        return self._conv_forward(input, self.normalized_weight(), self.bias)


def _row_norms(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=(1, 2, 3), keepdim=True)


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([value]))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply ``x``."""
        return self.scale * x


class MAB(nn.Module):
    """Multi-attention block: two convolutions, then a low-resolution and a large-kernel mask.

    The first mask is :class:`EFSA`'s but for the strided convolution's padding, the nearest
    neighbor, and the sigmoid, whose argument the authors' code cuts off below 0. Maps smaller than
    13x13 are padded by replication.

    Args:
        num_feat: channels in and out, a multiple of 4.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4 or num_feat % 4:
            raise ValueError(f"MAB needs num_feat divisible by 4, got {num_feat}")
        f = num_feat // 4
        wide = nn.Conv2d(num_feat, num_feat, kernel_size=5, padding=2, groups=num_feat)
        self.conv01 = leaky_conv(num_feat)
        self.conv00 = nn.Sequential(nn.Conv2d(num_feat, num_feat, kernel_size=3, padding=1))
        self.reduce_channels = nn.Conv2d(num_feat, f, kernel_size=1)
        self.reduce_spatial_size = nn.Conv2d(f, f, kernel_size=3, stride=2, padding=1)
        self.conv1 = leaky_conv(f)
        self.conv2 = leaky_conv(f, dilation=2)
        self.increase_channels = nn.Sequential(nn.Conv2d(f, num_feat, kernel_size=1), nn.ReLU())
        self.bottom11 = nn.Sequential(nn.Conv2d(num_feat, num_feat, kernel_size=1))
        self.bottom11_dw = nn.Sequential(wide)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.conv00(self.conv01(x))  # (N, C, H, W)
        a = self.reduce_channels(y)  # (N, C/4, H, W)
        padded = pad_to_minimum(a, MIN_SIZE)
        p = pool(padded, self.reduce_spatial_size)  # (N, C/4, ~H/6, ~W/6)
        q = self.conv2(p) + self.conv1(p)
        u = stretch(q, padded, a, "nearest") + a  # (N, C/4, H, W)
        wide = torch.sigmoid(self.bottom11_dw(self.bottom11(y)))  # (N, C, H, W)
        return torch.sigmoid(self.increase_channels(u)) * y * wide


class FFG(nn.Module):
    """Feature fusion group: four blocks whose outputs are fused pair by pair.

    Args:
        num_feat: channels in and out, a multiple of 4.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.b0, self.b1 = MAB(num_feat), MAB(num_feat)
        self.b2, self.b3 = MAB(num_feat), MAB(num_feat)
        self.reduction1 = WeightNormConv2d(2 * num_feat, num_feat, kernel_size=1)
        self.reduction2 = WeightNormConv2d(2 * num_feat, num_feat, kernel_size=1)
        self.reduction3 = WeightNormConv2d(2 * num_feat, num_feat, kernel_size=1)
        self.res_scale, self.x_scale = Scale(1.0), Scale(1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        x0 = self.b0(x)
        x1 = self.b1(x0) + x0
        x2 = self.b2(x1) + x1
        x3 = self.b3(x2)
        r1 = self.reduction1(_shuffled(x0, x1))
        r2 = self.reduction2(_shuffled(r1, x2))
        r3 = self.reduction3(_shuffled(r2, x3))
        return self.res_scale(r3) + self.x_scale(x)


def _shuffled(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate two maps of (N, C, H, W), channels taken in turn, to (N, 2C, H, W)."""
    return torch.stack([first, second], dim=2).flatten(1, 2)


class Tail(nn.Module):
    """Two convolutions to pixels, of 3x3 and of 5x5, weighted and added.

    Args:
        num_feat: channels in.
        num_out_ch: channels of the image.
        upscale: the factor.
    """

    def __init__(self, num_feat: int, num_out_ch: int, upscale: int) -> None:
        super().__init__()
        self.tail_k3 = WeightNormConv2d(num_feat, num_out_ch * upscale**2, kernel_size=3)
        self.tail_k5 = WeightNormConv2d(num_feat, num_out_ch * upscale**2, kernel_size=5)
        self.scale_k3, self.scale_k5 = Scale(0.5), Scale(0.5)
        self.pixel_shuffle = nn.PixelShuffle(upscale)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, num_out_ch, H*upscale, W*upscale)."""
        k3 = self.pixel_shuffle(self.scale_k3(self.tail_k3(x)))
        return k3 + self.pixel_shuffle(self.scale_k5(self.tail_k5(x)))


class MAFFSRN(SuperResolutionNetwork):
    """Multi-attentive feature fusion super-resolution network.

    Input (N, num_in_ch, H, W) and output (N, num_out_ch, H*upscale, W*upscale), float, RGB, in
    [0, 1]. The defaults are the paper's: 441,706 parameters at x4. No weights were released.

    Args:
        num_in_ch: channels of the input image.
        num_out_ch: channels of the output image, as many as of the input, which is added to it.
        num_feat: channels of the features, a multiple of 4.
        num_block: number of FFG groups of four MAB blocks each, at least 1.
        upscale: any whole factor from 1.
        img_range: the range the weights work in.

    Raises:
        ValueError: an argument is outside the range documented above.
    """

    min_size = MIN_SIZE

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 32,
        num_block: int = 4,
        upscale: int = 4,
        img_range: float = 1.0,
    ) -> None:
        super().__init__(
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            num_block=num_block,
            upscale=upscale,
            img_range=img_range,
        )
        self.check("num_out_ch", num_out_ch == num_in_ch, f"of num_in_ch, {num_in_ch}")
        self.head = nn.Sequential(WeightNormConv2d(num_in_ch, num_feat, kernel_size=3))
        self.body = nn.Sequential(*(FFG(num_feat) for _ in range(num_block)))
        self.tail = Tail(num_feat, num_out_ch, upscale)

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 13."""
        bicubic = F.interpolate(x, scale_factor=self.upscale, mode="bicubic", align_corners=False)
        return self.tail(self.body(self.head(x))) + bicubic


def _read_arguments(state: State) -> dict[str, Any] | None:
    sizes = read_sizes(state, "head.0.weight_v", "tail.tail_k3.weight_v")
    return sizes and {**sizes, "num_block": count_blocks(state, "body.")}


ARCHITECTURE = Architecture(
    name="MAFFSRN",
    network=MAFFSRN,
    blocks=(MAB, FFG),
    read_arguments=_read_arguments,
    range_layers=RangeLayers(("head.0.weight_g",), ("tail.scale_k3.scale", "tail.scale_k5.scale")),
    papers=("Muqeet et al., Multi-Attention Based Ultra Lightweight SR, arXiv 2008.12912",),
)
