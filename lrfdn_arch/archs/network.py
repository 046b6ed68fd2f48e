"""What all networks share: arguments, images in [0, 1] of any size in and out, a bilinear start."""

from collections.abc import Iterable
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.architecture import State
from lrfdn_arch.archs.resize import pad_to_minimum
from lrfdn_arch.window import MIN_SIZE

_REST = 0.1  # factor on the weights that would otherwise hide the bilinear start in noise


class SuperResolutionNetwork(nn.Module):
    """A network for images of any size.

    It maps (N, num_in_ch, H, W) to (N, num_out_ch, H*upscale, W*upscale), float, RGB, in [0, 1].
    Subclasses build their modules and define ``upscale_padded``.

    Args:
        num_in_ch: channels of the input image.
        num_out_ch: channels of the output image.
        num_feat: channels of the features.
        num_block: number of blocks, at least 1.
        upscale: any whole factor from 1.
        img_range: the range the weights work in: images in [0, 1] are multiplied by it on the way
            in and divided on the way out.

    Raises:
        ValueError: an argument is outside the range documented here or by the subclass.
    """

    min_size = MIN_SIZE  # side below which images are padded by replication, the result cropped

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        num_feat: int,
        num_block: int,
        upscale: int,
        img_range: float,
    ) -> None:
        super().__init__()
        self.num_in_ch, self.num_out_ch, self.num_feat = num_in_ch, num_out_ch, num_feat
        self.num_block, self.upscale, self.img_range = num_block, upscale, img_range
        for argument in ("num_in_ch", "num_out_ch", "num_feat", "num_block", "upscale"):
            self.check(argument, getattr(self, argument) >= 1, "of at least 1")
        self.check("img_range", img_range > 0, "above 0")

    def check(self, argument: str, fits: bool, expected: str) -> None:
        """Raise a ValueError if a constructor argument is not as ``expected``."""
        if not fits:
            found = getattr(self, argument)
            raise ValueError(f"{type(self).__name__} needs {argument} {expected}, got {found}")

    def add_blocks(self, prefix: str, blocks: Iterable[nn.Module]) -> None:
        """Add modules called ``prefix`` and 1, 2, ..., as in released weights."""
        for number, block in enumerate(blocks, start=1):
            self.add_module(f"{prefix}{number}", block)

    def blocks(self, prefix: str) -> list[Any]:
        """Return what `add_blocks` added."""
        return [getattr(self, f"{prefix}{number}") for number in range(1, self.num_block + 1)]

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, 1] to (N, num_out_ch, H*upscale, W*upscale).

        Any H, W >= 1 works, see ``min_size``.
        """
        height, width = x.shape[-2:]
        out = self.upscale_padded(pad_to_minimum(x, self.min_size) * self.img_range)
        return out[..., : height * self.upscale, : width * self.upscale] / self.img_range

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= min_size."""
        raise NotImplementedError


def pixel_shuffle(num_feat: int, num_out_ch: int, upscale: int) -> nn.Sequential:
    """Return a 3x3 convolution and a pixel shuffle: (N, num_feat, H, W) to the enlarged image."""
    to_pixels = nn.Conv2d(num_feat, num_out_ch * upscale**2, kernel_size=3, padding=1)
    return nn.Sequential(to_pixels, nn.PixelShuffle(upscale))


def bilinear_taps(scale: int) -> Tensor:
    """Return the kernel that interpolates each sub-pixel from 3x3 pixels, (scale**2, 3, 3).

    Sub-pixels are in the order of ``nn.PixelShuffle``, and lie where ``F.interpolate`` with
    ``mode="bilinear", align_corners=False`` puts them.
    """
    offsets = (torch.arange(scale) + 0.5) / scale - 0.5  # from the centre of the pixel
    taps = (1 - (offsets[:, None] - torch.tensor([-1.0, 0.0, 1.0])).abs()).clamp(min=0)
    return torch.einsum("ay,bx->abyx", taps, taps).reshape(-1, 3, 3)


@torch.no_grad()
def start_bilinear(first: nn.Module, skipped: nn.Module, to_pixels: nn.Module) -> None:
    """Let an untrained ``shuffle(to_pixels(skipped(...) + first(image)))`` interpolate bilinearly.

    The first channels of ``first`` become the image itself, the long skip carries them past the
    network's body, and ``to_pixels`` interpolates them. The rest of ``to_pixels``, and what
    ``skipped`` adds to these channels, is scaled by 0.1, so that a small error remains (and a
    larger one at the outermost pixels, as the convolutions pad with zeros). All other weights keep
    their values.

    Args:
        first: 3x3 convolution from the image's channels to the features.
        skipped: the last convolution of the body, of any size; its output is added to ``first``'s.
        to_pixels: 3x3 convolution from the features to scale**2 sub-pixels of each channel.

    Raises:
        ValueError: input and output channels differ, or there are more of them than features.
    """
    assert isinstance(first, nn.Conv2d)
    assert isinstance(skipped, nn.Conv2d) and isinstance(to_pixels, nn.Conv2d)
    colours, features = first.in_channels, first.out_channels
    scale = round((to_pixels.out_channels / colours) ** 0.5)
    if to_pixels.out_channels != colours * scale**2 or colours > features:
        raise ValueError(
            "the bilinear start needs as many output channels as input channels, and at least as "
            f"many features; found {colours} input channels, {to_pixels.out_channels} channels "
            f"before the pixel shuffle, {features} features"
        )
    identity = torch.eye(colours)
    first.weight[:colours] = 0
    first.weight[:colours, :, 1, 1] = identity
    _bias(first)[:colours] = 0
    skipped.weight[:colours] *= _REST
    _bias(skipped)[:colours] *= _REST
    taps = torch.einsum("oi,syx->osiyx", identity, bilinear_taps(scale))
    to_pixels.weight[:, colours:] *= _REST
    to_pixels.weight[:, :colours] = taps.reshape(-1, colours, 3, 3)
    _bias(to_pixels).zero_()


def _bias(convolution: nn.Conv2d) -> Tensor:
    return torch.zeros(convolution.out_channels) if convolution.bias is None else convolution.bias


def read_arguments(
    state: State, first: str, last: str = "upsampler.0.weight", blocks: str = "", marker: str = ""
) -> dict[str, Any] | None:
    """Return the constructor arguments of a network's weights; None for another network's.

    The number of output channels and the scale share one dimension (num_out_ch * upscale**2); as
    many output as input channels are assumed, as in every super-resolution network here.

    Args:
        state: a state dict.
        first: name of the weight that reads the image, (num_feat, num_in_ch, 3, 3).
        last: name of the weight before the pixel shuffle.
        blocks: what precedes the number of a block in names, where the number of blocks varies.
        marker: a name that no other network with such weights has.
    """
    reading, writing = conv_shape(state, first), conv_shape(state, last)
    if reading is None or writing is None or (marker or first) not in state:
        return None
    num_feat, num_in_ch = reading[:2]
    upscale = isqrt(writing[0] // num_in_ch)
    if num_in_ch * upscale**2 != writing[0]:
        return None
    sizes = {"num_in_ch": num_in_ch, "num_out_ch": num_in_ch, "num_feat": num_feat}
    counted = {"num_block": count_blocks(state, blocks)} if blocks else {}
    return {**sizes, "upscale": upscale, **counted}


def conv_shape(state: State, name: str) -> tuple[int, ...] | None:
    """Return (out, in, k, k) of a convolution's weight; None if ``state`` has no such weight."""
    weight = state.get(name)
    return None if weight is None or weight.dim() != 4 or not weight.numel() else weight.shape


def count_blocks(state: State, prefix: str) -> int:
    """Return how many numbers follow ``prefix`` in the names of ``state``."""
    return len({key[len(prefix) :].partition(".")[0] for key in state if key.startswith(prefix)})
