"""EFDN, the edge-enhanced feature distillation network (Wang, NTIRE 2022 ESR), baseline of 2025."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import Architecture, Released
from lrfdn_arch.archs.attention import ESA
from lrfdn_arch.archs.fused import (
    Folded,
    FusedConv,
    FusedESA,
    FusedNetwork,
    exact,
    scaled_input,
    scaled_output,
)
from lrfdn_arch.archs.network import (
    SuperResolutionNetwork,
    pixel_shuffle,
    read_arguments,
    start_bilinear,
)
from lrfdn_arch.window import Window


class EFDB(nn.Module):
    """Edge-enhanced feature distillation block, its edge-enhancing branches merged.

    Half as many channels are distilled from the input and from each of three levels, and fused; the
    input is added to the result. ``num_feat`` is even and at least 4.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        if num_feat < 4 or num_feat % 2:
            raise ValueError(f"EFDB needs an even num_feat of at least 4, got {num_feat}")
        self.conv1 = _Activated("conv1x1", num_feat, kernel_size=1)
        self.conv2 = _Activated("rep_conv", num_feat, kernel_size=3)
        self.conv3 = _Activated("rep_conv", num_feat, kernel_size=3)
        self.branch = nn.ModuleList(
            nn.Conv2d(num_feat, num_feat // 2, kernel_size=1) for _ in range(4)
        )
        self.fuse = nn.Conv2d(2 * num_feat, num_feat, kernel_size=1)
        self.att = ESA(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        a = self.conv1(x)  # (N, C, H, W)
        b = self.conv2(a)
        c = self.conv3(b)
        levels = zip(self.branch, (x, a, b, c), strict=True)
        distilled = torch.cat([branch(level) for branch, level in levels], dim=1)  # (N, 2C, H, W)
        return self.att(self.fuse(distilled)) + x


class _Activated(nn.Sequential):
    """A convolution of the given name and a PReLU with one slope per channel, called ``act``."""

    def __init__(self, name: str, num_feat: int, kernel_size: int) -> None:
        super().__init__()
        self.add_module(name, nn.Conv2d(num_feat, num_feat, kernel_size, padding=kernel_size // 2))
        self.act = nn.PReLU(num_feat)


class EFDN(SuperResolutionNetwork):
    """Edge-enhanced feature distillation network, a :class:`SuperResolutionNetwork` of four blocks.

    The output is clamped in evaluation mode, as the released code does; in training a clamp would
    keep gradients from pixels outside. The defaults are the challenge's baseline: 276,192
    parameters, and the released weights load with ``strict=True``. ``num_feat`` is even and at
    least 4.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 48,
        upscale: int = 4,
        img_range: float = 1.0,
    ) -> None:
        super().__init__(num_in_ch, num_out_ch, num_feat, 4, upscale, img_range)
        self.head = nn.Conv2d(num_in_ch, num_feat, kernel_size=3, padding=1)
        self.cells = nn.ModuleList(EFDB(num_feat) for _ in range(self.num_block))
        self.local_fuse = nn.ModuleList(
            nn.Conv2d(2 * num_feat, num_feat, kernel_size=1) for _ in range(3)
        )
        self.tail = pixel_shuffle(num_feat, num_out_ch, upscale)

    def start_bilinear(self) -> None:
        """Set the weights so that the untrained network interpolates about bilinearly."""
        start_bilinear(self.head, self.local_fuse[2], self.tail[0])

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= 15."""
        o0 = self.head(x)  # (N, C, H, W)
        o1 = self.cells[0](o0)
        o2 = self.cells[1](o1)
        o3 = self.cells[2](self.local_fuse[0](torch.cat([o1, o2], dim=1)))
        o4 = self.cells[3](self.local_fuse[1](torch.cat([o2, o3], dim=1)))
        fused = self.local_fuse[2](torch.cat([o2, o4], dim=1))
        out = self.tail(fused + o0)  # (N, num_out_ch, H*s, W*s)
        return out if self.training else out.clamp(0, self.img_range)


class FusedEFDB(nn.Module):
    """EFDB with its distilling convolutions merged into the fusing one."""

    def __init__(self, block: EFDB) -> None:
        super().__init__()
        self.conv1 = FusedConv(block.conv1[0], "prelu", block.conv1.act.weight)
        self.conv2 = FusedConv(block.conv2[0], "prelu", block.conv2.act.weight)
        self.conv3 = FusedConv(block.conv3[0], "prelu", block.conv3.act.weight)
        self.fuse = FusedConv(_distilled_and_fused(block))
        self.att = FusedESA(block.att)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        a = self.conv1(x)  # (N, C, H, W)
        b = self.conv2(a)
        levels = torch.cat([x, a, b, self.conv3(b)], dim=1)  # (N, 4C, H, W)
        return self.att(self.fuse(levels), window).add_(x)


def _distilled_and_fused(block: EFDB) -> Folded:
    """Return ``fuse(concat of branch(level))`` as one convolution of the concatenated levels."""
    matrix, bias = exact(block.fuse)
    half = matrix.shape[1] // 4
    weights = []
    for branch, columns in zip(block.branch, matrix[:, :, 0, 0].split(half, dim=1), strict=True):
        weight, offset = exact(branch)
        weights.append(columns @ weight[:, :, 0, 0])
        bias = bias + columns @ offset
    return torch.cat(weights, dim=1)[:, :, None, None], bias


class FusedEFDN(FusedNetwork):
    """The deployed form of EFDN."""

    def __init__(self, network: EFDN) -> None:
        first = scaled_input(network.head, network.img_range)
        last = scaled_output(network.tail[0], 1 / network.img_range)
        super().__init__(network, first, last)
        self.cells = nn.ModuleList(FusedEFDB(cell) for cell in network.cells)  # type: ignore[arg-type]
        self.local_fuse = nn.ModuleList(map(FusedConv, network.local_fuse))

    def upscale_padded(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Do what ``forward`` does, for H, W >= 15."""
        o0 = self.fea_conv(x)  # (N, C, H, W)
        o1 = self.cells[0](o0, window)
        o2 = self.cells[1](o1, window)
        o3 = self.cells[2](self.local_fuse[0](torch.cat([o1, o2], dim=1)), window)
        o4 = self.cells[3](self.local_fuse[1](torch.cat([o2, o3], dim=1)), window)
        fused = self.local_fuse[2](torch.cat([o2, o4], dim=1)).add_(o0)
        return F.pixel_shuffle(self.upsampler(fused), self.upscale).clamp_(0, 1)


# No range_layers: clamping at img_range does not commute with a change of range.
ARCHITECTURE = Architecture(
    name="EFDN",
    network=EFDN,
    blocks=(EFDB,),
    read_arguments=partial(
        read_arguments,
        first="head.weight",
        last="tail.0.weight",
        marker="cells.0.conv1.conv1x1.weight",
    ),
    fuse=FusedEFDN,
    overlap=160,
    papers=("Wang, Edge-Enhanced Feature Distillation Network, CVPR Workshops 2022",),
    released=(
        Released(
            name="EFDN",
            sha256="71069f10ef234cd123f45ac8e69099f0a1fdc0c16afcfe2189e50071d47ce477",
            source="NTIRE 2025 Efficient SR, baseline (team 00)",
            url="https://github.com/Amazingren/NTIRE2025_ESR/raw/b69fb668/model_zoo/team00_EFDN.pth",
        ),
    ),
)
