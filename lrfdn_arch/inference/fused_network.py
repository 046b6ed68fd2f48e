"""The networks as they are deployed: straight lines of convolutions with everything folded in."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.padding import pad_to_minimum
from lrfdn_arch.inference.window import Window, resize_in_window

SLOPE = 0.05  # of every LeakyReLU in both networks


class FusedConv(nn.Conv2d):
    """A convolution and the activation that follows it, together so that one kernel can do both.

    Args:
        weight: (out, in, k, k).
        bias: (out,).
        activation: "none", "gelu" (the exact one), "leaky_relu" (slope 0.05), "relu", "relu6" or
            "sigmoid".
        stride: of the kernel.
        padding: zeros on each side; half the kernel where None.
        dilation: of the kernel.
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
    ) -> None:
        out, in_, k = weight.shape[:3]
        padding = k // 2 if padding is None else padding
        super().__init__(in_, out, k, stride=stride, padding=padding, dilation=dilation)
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W'), of the weights' type."""
        return activate(super().forward(input.to(self.weight.dtype)), self.activation)


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply a :class:`FusedConv`'s activation; ``x`` may be overwritten."""
    if activation == "gelu":
        return F.gelu(x)
    if activation == "leaky_relu":
        return F.leaky_relu_(x, SLOPE)
    if activation == "relu":
        return F.relu_(x)
    if activation == "relu6":
        return F.hardtanh_(x, 0.0, 6.0)
    if activation == "sigmoid":
        return x.sigmoid_()
    assert activation == "none", activation
    return x


class FusedLRFDB(nn.Module):
    """LRFDB without its additions of constants, shortcuts and channel weights.

    ``c5`` makes the features times cw / 6, ``conv1`` the attention's quarter-width map, both from
    the same concatenation; the mask is in [0, 6]. Input and output equal LRFDB's, block by block.
    """

    def __init__(self, convs: dict[str, FusedConv], block_shortcut: bool) -> None:
        super().__init__()
        self.c1_d, self.c1_r = convs["c1_d"], convs["c1_r"]
        self.c2_d, self.c2_r = convs["c2_d"], convs["c2_r"]
        self.c3_d, self.c3_r = convs["c3_d"], convs["c3_r"]
        self.c4, self.c5 = convs["c4"], convs["c5"]
        self.conv1, self.conv2 = convs["conv1"], convs["conv2"]
        self.conv_max, self.conv3, self.conv4 = convs["conv_max"], convs["conv3"], convs["conv4"]
        self.block_shortcut = block_shortcut

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        d1 = self.c1_d(x)  # (N, C/2, H, W)
        d2 = self.c2_d(self.c1_r(d1))  # (N, C/4, H, W)
        d3 = self.c3_d(self.c2_r(d2))  # (N, C/8, H, W)
        r4 = self.c4(self.c3_r(d3))  # (N, C/8, H, W)
        distilled = torch.cat([d1, d2, d3, r4], dim=1)  # (N, C, H, W)
        a = self.conv1(distilled)  # (N, C/4, H, W)
        p = F.max_pool2d(self.conv2(a), kernel_size=7, stride=3)  # (N, C/4, ~H/6, ~W/6)
        q = self.conv_max(p).add_(self.conv3(p))
        m = self.conv4(resize_in_window(q, a, window).add_(a))  # (N, C, H, W)
        out = self.c5(distilled).mul_(m)
        return out.add_(x) if self.block_shortcut else out


class FusedRFDB(nn.Module):
    """RFDB without its shortcuts; ``c5``, ``conv1`` and ``conv_f`` read the same concatenation."""

    def __init__(self, convs: dict[str, FusedConv]) -> None:
        super().__init__()
        self.c1_d, self.c1_r = convs["c1_d"], convs["c1_r"]
        self.c2_d, self.c2_r = convs["c2_d"], convs["c2_r"]
        self.c3_d, self.c3_r = convs["c3_d"], convs["c3_r"]
        self.c4, self.c5 = convs["c4"], convs["c5"]
        self.conv1, self.conv2, self.conv_f = convs["conv1"], convs["conv2"], convs["conv_f"]
        self.conv_max, self.conv3 = convs["conv_max"], convs["conv3"]
        self.conv3_, self.conv4 = convs["conv3_"], convs["conv4"]

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        r1 = self.c1_r(x)  # (N, C, H, W)
        r2 = self.c2_r(r1)
        r4 = self.c4(self.c3_r(r2))  # (N, C/2, H, W)
        distilled = torch.cat([self.c1_d(x), self.c2_d(r1), self.c3_d(r2), r4], dim=1)
        a = self.conv1(distilled)  # (N, C//4, H, W)
        p = F.max_pool2d(self.conv2(a), kernel_size=7, stride=3)  # (N, C//4, ~H/6, ~W/6)
        q = self.conv3_(self.conv3(self.conv_max(p)))
        m = self.conv4(resize_in_window(q, a, window).add_(self.conv_f(distilled)))
        return self.c5(distilled).mul_(m)  # (N, C, H, W)


class FusedNetwork(nn.Module):
    """LRFDN or RFDN for inference: (N, C, H, W) in [0, 1] to (N, C, H*upscale, W*upscale).

    Made by :func:`lrfdn_arch.inference.fuse`. Its parameters need no gradients, ``img_range`` is
    part of the weights, and values are overwritten in place where nobody reads them again.

    Args:
        network: name of the class it was made from, "LRFDN" or "RFDN".
        frame: the convolutions fea_conv, c, LR_conv and upsampler.
        blocks: modules that map (N, num_feat, H, W) to the same shape.
        upscale: the network's factor.
    """

    def __init__(
        self, network: str, frame: dict[str, FusedConv], blocks: Sequence[nn.Module], upscale: int
    ) -> None:
        super().__init__()
        self.network = network
        self.upscale = upscale
        self.fea_conv, self.c = frame["fea_conv"], frame["c"]
        self.LR_conv, self.upsampler = frame["LR_conv"], frame["upsampler"]
        self.blocks = nn.ModuleList(blocks)
        self.num_in_ch = self.fea_conv.in_channels
        self.num_feat = self.fea_conv.out_channels
        self.eval()

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, 1] to (N, num_out_ch, H*upscale, W*upscale).

        The result is not clamped. Below 15x15 the image is padded by replication and the result
        cropped. ``window`` says where ``x`` lies in a larger image; see :class:`Window`.
        """
        height, width = x.shape[-2:]
        out = self.upscale_padded(pad_to_minimum(x), window)
        return out[..., : height * self.upscale, : width * self.upscale]

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 15."""
        features = fea = self.fea_conv(x)  # (N, C, H, W)
        outputs: list[Tensor] = []
        for block in self.blocks:
            features = block(features, window)
            outputs.append(features)
        lr = self.LR_conv(self.c(torch.cat(outputs, dim=1))).add_(fea)
        return F.pixel_shuffle(self.upsampler(lr), self.upscale)
