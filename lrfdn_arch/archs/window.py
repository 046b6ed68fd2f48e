"""How networks stretch low-resolution maps over an image, or over a tile of it."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from lrfdn_arch.window import Window, sources


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


@lru_cache(maxsize=4)  # the blocks of one tile ask for the same, once per axis
def _sources_on(device: torch.device, *axis: int) -> list[Tensor]:
    return [torch.tensor(values, device=device) for values in sources(*axis)]


def resize_nearest(q: Tensor, like: Tensor) -> Tensor:
    """Stretch ``q`` (N, c, h, w) to the size of ``like`` (N, c, H, W) by repeating its cells."""
    return F.interpolate(q, size=like.shape[-2:], mode="nearest")


def enlarge_bicubic(x: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) to (N, C, H*scale, W*scale), bicubic with torch's a = -0.75."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)
