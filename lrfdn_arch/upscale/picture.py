"""A picture in memory: its pixels as they should be seen, and colours under its alpha."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MORE_PAGES = "contains several pages or frames; only the first was upscaled"


@dataclass(frozen=True)
class Picture:
    """A picture as it should be seen: upright.

    ``pixels`` are (H, W, C), uint8 or uint16, or floating point in [0, 1]; C is 1 for grey, 3 for
    RGB, and one more with alpha, which comes last. Colors are not premultiplied by alpha.
    """

    pixels: NDArray[Any]
    icc: bytes | None = None  # the ICC profile of the colors
    exif: bytes | None = None  # what `read_exif` keeps of the file's EXIF
    omitted: tuple[str, ...] = ()  # what of the file is left out: "contains ...; only ..."

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


def with_hidden_filled(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return colours in which pixels of alpha 0 have that of the nearest visible pixel.

    A network reads neighbours: black under alpha 0 would darken the edge of what is visible.

    Args:
        colours: (H, W, C).
        alpha: (H, W), of the same type.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    far = sum(alpha.shape)
    distance, columns = _nearest(np.where(hidden.T, far, 0))  # within each row
    _, rows = _nearest(distance.T)
    return colours[rows, np.take_along_axis(columns.T, rows, 0)]


def _nearest(cost: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least ``cost[k] + abs(row - k)`` of every row, and the k that has it.

    Used on rows and then on columns it finds the nearest pixel by horizontal plus vertical steps.
    """
    bits = len(cost).bit_length()
    row = np.arange(len(cost), dtype=np.int64)[:, None]
    # Each number holds a sum and, in its last bits, k, so that a running minimum carries both.
    above = np.minimum.accumulate(((cost - row) << bits) + row)
    below = np.minimum.accumulate((((cost + row) << bits) + row)[::-1])[::-1]
    nearer = np.minimum(above + (row << bits), below - (row << bits))
    return nearer >> bits, nearer & ((1 << bits) - 1)


def unmultiplied(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied colours (H, W, C) by their alpha (H, W, 1)."""
    largest = np.iinfo(colours.dtype).max
    whole = colours * (float(largest) / np.maximum(alpha, 1))
    return whole.clip(0, largest).round().astype(colours.dtype)
