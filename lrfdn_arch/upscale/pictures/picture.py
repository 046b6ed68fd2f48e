"""A picture in memory: its pixels as they should be seen, and their profile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray


class UnreadableError(ValueError):
    """A file that is damaged or holds what is not supported; the message names it."""


@dataclass(frozen=True)
class Picture:
    """A picture as it should be seen: upright.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 for grey, 3 for RGB, and one more with alpha,
            which is not premultiplied and comes last.
        icc: the ICC profile of the colours, if there is one.
        more: whether its file holds further pages or frames, which are left out.
    """

    pixels: NDArray[Any]
    icc: bytes | None = None
    more: bool = False

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_16_bit(self) -> bool:
        """Whether there are 16 bits per channel."""
        return self.pixels.dtype == np.uint16


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W) or (H, W, C) as its EXIF orientation says; return (H, W, C)."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if not 1 <= pixels.shape[2] <= 4:
        raise ValueError(f"expected 1 to 4 channels, found {pixels.shape[2]}")
    turn = _UPRIGHT.get(orientation)
    return np.ascontiguousarray(turn(pixels) if turn else pixels)


# What turns a picture stored in an EXIF orientation upright.
_UPRIGHT: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = MappingProxyType(
    {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p[::-1].swapaxes(0, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p[:, ::-1].swapaxes(0, 1),
    }
)
