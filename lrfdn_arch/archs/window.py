"""The position of a tile in its image, which the attention's resize depends on.

The attention's low-resolution map has one cell per 6 pixels, cell j reading rows 6j to 6j + 14, and
is stretched over the whole image: the stretch is H / cells(H), a little more than 6 and different
for every H. A tile that starts on a multiple of 6 has the same cells as the image; it only needs
the image's stretch factor, which can be computed.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 6  # stride 2 of conv2 times stride 3 of the pooling


class Window(NamedTuple):
    """A tile's position in the image it was cut from, in pixels.

    Attributes:
        top: first row of the tile, a multiple of 6.
        left: first column of the tile, a multiple of 6.
        height: of the whole image, at least 15.
        width: of the whole image, at least 15.
    """

    top: int
    left: int
    height: int
    width: int


def cells(length: int) -> int:
    """Return the number of low-resolution attention cells for ``length`` >= 15 pixels."""
    return ((length - 3) // 2 + 1 - 7) // 3 + 1


def resize_in_window(q: Tensor, like: Tensor, window: Window | None) -> Tensor:
    """Stretch ``q`` (N, c, h, w) bilinearly to the size of ``like`` (N, c, H, W).

    Without a window this is ``F.interpolate(..., align_corners=False)``. With one it is the part of
    the whole image's stretched map that lies under the tile; cells outside ``q`` repeat its edge.
    """
    if window is None:
        return F.interpolate(q, size=like.shape[-2:], mode="bilinear", align_corners=False)
    height, width = like.shape[-2:]
    rows = window.top, height, max(height, window.height)
    columns = window.left, width, max(width, window.width)
    top, bottom, down = _sources_on(q.device, *rows)
    left, right, along = _sources_on(q.device, *columns)
    down, along = down.to(q.dtype).view(-1, 1), along.to(q.dtype)
    q = q[..., top, :] * (1 - down) + q[..., bottom, :] * down  # (N, c, H, w)
    return q[..., left] * (1 - along) + q[..., right] * along  # (N, c, H, W)


def resize_nearest(q: Tensor, like: Tensor) -> Tensor:
    """Stretch ``q`` (N, c, h, w) to the size of ``like`` (N, c, H, W) by repeating its cells."""
    return F.interpolate(q, size=like.shape[-2:], mode="nearest")


def enlarge_bicubic(x: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) to (N, C, H*scale, W*scale), bicubic with torch's a = -0.75."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)


@lru_cache(maxsize=4)  # the blocks of one tile ask for the same, once per axis
def _sources_on(device: torch.device, *axis: int) -> list[Tensor]:
    return [tensor.to(device) for tensor in sources(*axis)]


def sources(start: int, length: int, full_length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each pixel of a tile the two cells it lies between and the share of the second.

    Args:
        start: the tile's first pixel in the image, a multiple of 6.
        length: of the tile in pixels, at least 15.
        full_length: of the image.

    Returns:
        Two int64 tensors and a float32 one, ``length`` long. Positions are computed in float64:
        float32 lacks the precision for the fraction in large images.
    """
    pixels = torch.arange(start, start + length, dtype=torch.float64)
    full, own = cells(full_length), cells(length)
    position = ((pixels + 0.5) * (full / full_length) - 0.5).clamp(0, full - 1)
    position = (position - start // GRID).clamp(0, own - 1)  # in the tile's own cells
    first = position.floor().long()
    return first, (first + 1).clamp(max=own - 1), (position - first).float()
