"""A picture in memory: its pixels as they should be seen, their color profile and EXIF."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MORE_PAGES = "contains several pages or frames; only the first was upscaled"


@dataclass(frozen=True)
class Picture:
    """A picture as it should be seen: upright.

    Attributes:
        pixels: (H, W, C), uint8 or uint16, or floating point in [0, 1]; C is 1 for grey, 3 for RGB,
            and one more with alpha, which comes last. Colors are not premultiplied by alpha.
        icc: the ICC profile of the colors, if there is one.
        exif: what :func:`lrfdn_arch.upscale.exif.read_exif` keeps of the file's EXIF.
        omitted: what of the file is left out, in sentences about the file without their subject.
    """

    pixels: NDArray[Any]
    icc: bytes | None = None
    exif: bytes | None = None
    omitted: tuple[str, ...] = ()

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_16_bit(self) -> bool:
        """Whether there are 16 bits per channel."""
        return self.pixels.dtype == np.uint16


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W) or (H, W, C) as its EXIF orientation (1 to 8) requires; return (H, W, C)."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if not 1 <= pixels.shape[2] <= 4:
        raise ValueError(f"expected 1 to 4 channels, found {pixels.shape[2]}")
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)
