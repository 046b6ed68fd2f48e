"""What all networks share: their arguments, and images in [0, 1] of any size in and out."""

from math import isqrt
from typing import Any

from torch import Tensor, nn

from lrfdn_arch.archs.architecture import State
from lrfdn_arch.archs.padding import MIN_SIZE, pad_to_minimum


class SuperResolutionNetwork(nn.Module):
    """A network for images of any size.

    Subclasses build their modules and define ``upscale_padded``.

    Args:
        num_in_ch: channels of the input image.
        num_out_ch: channels of the output image.
        num_feat: channels of the features.
        num_block: number of blocks.
        upscale: any whole factor from 1.
        img_range: images in [0, 1] are multiplied by it on the way in and divided on the way out.

    Attributes:
        min_size: side below which images are padded by replication and the result cropped.
    """

    min_size = MIN_SIZE

    def __init__(
        self,
        *,
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

    def forward(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, 1] to (N, num_out_ch, H*upscale, W*upscale).

        Any H, W >= 1 works: below ``min_size`` the image is padded by replication and the result
        cropped.
        """
        height, width = x.shape[-2:]
        out = self.upscale_padded(pad_to_minimum(x, self.min_size) * self.img_range)
        return out[..., : height * self.upscale, : width * self.upscale] / self.img_range

    def upscale_padded(self, x: Tensor) -> Tensor:
        """Upscale (N, num_in_ch, H, W) in [0, img_range], H, W >= min_size."""
        raise NotImplementedError


def read_sizes(state: State, first: str, last: str = "upsampler.0.weight") -> dict[str, Any] | None:
    """Return the constructor arguments that two convolutions determine; None if they cannot be.

    The number of output channels and the scale share one dimension (num_out_ch * upscale**2); as
    many output as input channels are assumed, as in every super-resolution network here.

    Args:
        state: a state dict.
        first: name of the weight that reads the image, (num_feat, num_in_ch, 3, 3).
        last: name of the weight before the pixel shuffle.
    """
    reading, writing = conv_shape(state, first), conv_shape(state, last)
    if reading is None or writing is None:
        return None
    num_feat, num_in_ch = reading[:2]
    upscale = isqrt(writing[0] // num_in_ch)
    if num_in_ch * upscale**2 != writing[0]:
        return None
    return {
        "num_in_ch": num_in_ch,
        "num_out_ch": num_in_ch,
        "num_feat": num_feat,
        "upscale": upscale,
    }


def conv_shape(state: State, name: str) -> tuple[int, ...] | None:
    """Return (out, in, k, k) of a convolution's weight; None if ``state`` has no such weight."""
    weight = state.get(name)
    return None if weight is None or weight.dim() != 4 or not weight.numel() else weight.shape


def count_blocks(state: State, prefix: str) -> int:
    """Return how many numbers follow ``prefix`` in the names of ``state``."""
    return len({key[len(prefix) :].partition(".")[0] for key in state if key.startswith(prefix)})
