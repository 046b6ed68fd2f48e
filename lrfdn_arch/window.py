"""The position of a tile in its image, which the attention's resize depends on.

The attention's low-resolution map has one cell per 6 pixels, cell j reading rows 6j to 6j + 14, and
is stretched over the whole image: the stretch is H / cells(H), a little more than 6 and different
for every H. A tile that starts on a multiple of 6 has the same cells as the image; it only needs
the image's stretch factor, which can be computed. This module needs no other: it serves networks in
torch and graphs without torch.
"""

from typing import NamedTuple

GRID = 6  # stride 2 of conv2 times stride 3 of the pooling
MIN_SIZE = 15  # 3x3 convolution of stride 2 without padding: 15 -> 7, the pooling window


class Window(NamedTuple):
    """A tile's position in the image it was cut from, in pixels."""

    top: int  # first row of the tile; like the first column, a multiple of 6
    left: int
    height: int  # of the whole image; like the width, at least 15
    width: int


def cells(length: int) -> int:
    """Return the number of low-resolution attention cells for ``length`` >= 15 pixels."""
    return ((length - 3) // 2 + 1 - 7) // 3 + 1


def sources(start: int, length: int, full_length: int) -> tuple[list[int], list[int], list[float]]:
    """Return for each pixel of a tile the two cells it lies between and the share of the second.

    The tile has ``length`` pixels, at least 15, and starts at ``start``, a multiple of 6. Positions
    are computed in float64: float32 lacks the precision for the fraction in large images.
    """
    full, own = cells(full_length), cells(length)
    first, second, share = [], [], []
    for pixel in range(start, start + length):
        position = min(max((pixel + 0.5) * (full / full_length) - 0.5, 0), full - 1)
        position = min(max(position - start // GRID, 0), own - 1)  # in the tile's own cells
        first.append(int(position))
        second.append(min(int(position) + 1, own - 1))
        share.append(position - int(position))
    return first, second, share
