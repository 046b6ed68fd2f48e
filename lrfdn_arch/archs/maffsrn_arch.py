"""MAFFSRN, multi-attentive feature fusion (Muqeet et al., AIM 2020): where EFSA comes from."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, RangeLayers
from lrfdn_arch.archs.attention import leaky_conv, pool
from lrfdn_arch.archs.fused import Folded, FusedConv, FusedNetwork
from lrfdn_arch.archs.network import SuperResolutionNetwork, read_arguments
from lrfdn_arch.archs.resize import enlarge_bicubic, pad_to_minimum, resize_nearest, stretch
from lrfdn_arch.window import Window

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
        return self.scale.to(x.dtype) * x  # else float32 in mixed precision


class MAB(nn.Module):
    """Multi-attention block: two convolutions, then a low-resolution and a large-kernel mask.

    The first mask is :class:`EFSA`'s but for the strided convolution's padding, the nearest
    neighbor, and the sigmoid, whose argument the authors' code cuts off below 0. Maps smaller than
    13x13 are padded by replication. ``num_feat`` is a multiple of 4.
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
    """Feature fusion group: four blocks whose outputs are fused pair by pair."""

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
    """Two convolutions to pixels, of 3x3 and of 5x5, weighted and added."""

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
    """Multi-attentive feature fusion network, a :class:`SuperResolutionNetwork`.

    The defaults are the paper's: 441,706 parameters at x4. No weights were released. ``num_out_ch``
    equals ``num_in_ch``, as the input is added to the output; ``num_feat`` is a multiple of 4;
    ``num_block`` counts groups of four MAB blocks each.
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
        super().__init__(num_in_ch, num_out_ch, num_feat, num_block, upscale, img_range)
        self.check("num_out_ch", num_out_ch == num_in_ch, f"of num_in_ch, {num_in_ch}")
        self.head = nn.Sequential(WeightNormConv2d(num_in_ch, num_feat, kernel_size=3))
        self.body = nn.Sequential(*(FFG(num_feat) for _ in range(num_block)))
        self.tail = Tail(num_feat, num_out_ch, upscale)

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 13."""
        return self.tail(self.body(self.head(x))) + enlarge_bicubic(x, self.upscale)


class FusedMAB(nn.Module):
    """MAB with its activations in its convolutions."""

    def __init__(self, block: MAB) -> None:
        super().__init__()
        self.conv01 = FusedConv(block.conv01[0], "leaky_relu")
        self.conv00 = FusedConv(block.conv00[0])
        self.reduce_channels = FusedConv(block.reduce_channels)
        self.reduce_spatial_size = FusedConv(block.reduce_spatial_size)
        self.conv1 = FusedConv(block.conv1[0], "leaky_relu")
        self.conv2 = FusedConv(block.conv2[0], "leaky_relu")
        self.increase_channels = FusedConv(block.increase_channels[0], "relu")
        self.bottom11 = FusedConv(block.bottom11[0])
        self.bottom11_dw = FusedConv(block.bottom11_dw[0], "sigmoid")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape, H, W >= 13."""
        y = self.conv00(self.conv01(x))  # (N, C, H, W)
        a = self.reduce_channels(y)  # (N, C/4, H, W)
        p = pool(a, self.reduce_spatial_size)  # (N, C/4, ~H/6, ~W/6)
        u = resize_nearest(self.conv2(p).add_(self.conv1(p)), a).add_(a)
        m = torch.sigmoid(self.increase_channels(u))  # (N, C, H, W)
        return m.mul_(y).mul_(self.bottom11_dw(self.bottom11(y)))


class FusedFFG(nn.Module):
    """FFG whose three reductions, shuffles, factors and shortcut are one convolution."""

    def __init__(self, group: FFG) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FusedMAB(b) for b in (group.b0, group.b1, group.b2, group.b3))
        reductions = (group.reduction1, group.reduction2, group.reduction3)
        (w1, b1), (w2, b2), (w3, b3) = (_merged(reduction) for reduction in reductions)
        (p1, q1), (p2, q2), (p3, q3) = ((w[:, ::2], w[:, 1::2]) for w in (w1, w2, w3))
        residual, identity = group.res_scale.scale.double(), group.x_scale.scale.double()
        parts = [residual * w for w in (p3 @ p2 @ p1, p3 @ p2 @ q1, p3 @ q2, q3)]
        parts.append(identity * torch.eye(len(p1), dtype=torch.float64, device=p1.device))
        bias = residual * (p3 @ (p2 @ b1 + b2) + b3)
        self.fuse = FusedConv((torch.cat(parts, dim=1)[:, :, None, None], bias))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        x0 = self.blocks[0](x)
        x1 = self.blocks[1](x0).add_(x0)
        x2 = self.blocks[2](x1).add_(x1)
        x3 = self.blocks[3](x2)
        return self.fuse(torch.cat([x0, x1, x2, x3, x], dim=1))


def _merged(conv: WeightNormConv2d) -> Folded:
    """Return weight and bias in float64; the weight of a 1x1 convolution as a matrix, (out, in)."""
    assert conv.bias is not None, "checked before fusing"
    weight = conv.weight_v.double()
    weight = weight * (conv.weight_g.double() / _row_norms(weight))
    return weight.squeeze((2, 3)), conv.bias.double()


class FusedMAFFSRN(FusedNetwork):
    """MAFFSRN as it is deployed: weight norms merged, the tail one 5x5 convolution."""

    uses_window = False

    def __init__(self, network: MAFFSRN) -> None:
        tail, img_range = network.tail, network.img_range
        first, first_bias = _merged(network.head[0])  # type: ignore[arg-type]
        (w3, b3), (w5, b5) = _merged(tail.tail_k3), _merged(tail.tail_k5)
        s3, s5 = tail.scale_k3.scale.double(), tail.scale_k5.scale.double()
        weight, bias = s3 * F.pad(w3, (1, 1, 1, 1)) + s5 * w5, s3 * b3 + s5 * b5
        first, last = (first * img_range, first_bias), (weight / img_range, bias / img_range)
        super().__init__(network, first, last)
        self.body = nn.ModuleList(FusedFFG(group) for group in network.body)  # type: ignore[arg-type]

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 13."""
        features = self.fea_conv(x)  # (N, C, H, W)
        for group in self.body:
            features = group(features)
        out = F.pixel_shuffle(self.upsampler(features), self.upscale)
        return out.add_(enlarge_bicubic(x, self.upscale))


ARCHITECTURE = Architecture(
    name="MAFFSRN",
    network=MAFFSRN,
    blocks=(MAB, FFG),
    read_arguments=partial(
        read_arguments, first="head.0.weight_v", last="tail.tail_k3.weight_v", blocks="body."
    ),
    fuse=FusedMAFFSRN,
    range_layers=RangeLayers(("head.0.weight_g",), ("tail.scale_k3.scale", "tail.scale_k5.scale")),
    papers=("Muqeet et al., Multi-Attention Based Ultra Lightweight SR, ECCV Workshops 2020",),
)
