"""Initial weights with which an untrained network interpolates bilinearly."""

import torch
from torch import Tensor, nn

_REST = 0.1  # factor on the weights that would otherwise hide the interpolation in noise


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
    """Set the weights of a network ``shuffle(to_pixels(skipped(...) + first(image)))``.

    The first channels of ``first`` become the image itself, the long skip carries them past the
    network's body, and ``to_pixels`` interpolates them. The rest of ``to_pixels``, and what
    ``skipped`` adds to these channels, is scaled by 0.1, so the untrained network interpolates
    bilinearly except for a small error (and for the outermost pixels, as the convolutions pad
    with zeros). All other weights keep their values.

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
