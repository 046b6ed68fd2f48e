"""What depends on an image's size: padding small ones, stretching low-resolution maps over them."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from lrfdn_arch.window import MIN_SIZE, Window, sources


def pad_to_minimum(x: Tensor, size: int = MIN_SIZE) -> Tensor:
    """Repeat the last row and column until ``x`` (N, C, H, W) is at least ``size`` on both sides.

    Returns ``x`` itself where it is large enough.
    """
    height, width = x.shape[-2:]
    if height >= size and width >= size:
        return x
    return F.pad(x, (0, max(0, size - width), 0, max(0, size - height)), mode="replicate")


def stretch(
    q: Tensor, padded: Tensor, a: Tensor, mode: str = "bilinear", training: bool = False
) -> Tensor:
    """Resize ``q`` to the size of ``padded``, then crop it to the size of ``a``."""
    height, width = padded.shape[-2:]
    if training and q.requires_grad and mode == "bilinear" and q.device.type != "cpu":
        u = enlarge_bilinear(q, height, width)
    else:
        align_corners = False if mode == "bilinear" else None
        u = F.interpolate(q, size=(height, width), mode=mode, align_corners=align_corners)
    return u[..., : a.shape[-2], : a.shape[-1]]


def enlarge_bilinear(q: Tensor, height: int, width: int) -> Tensor:
    """Do what ``F.interpolate(..., mode="bilinear", align_corners=False)`` does, for training.

    As one matrix product per axis, in float32 at least: on a GPU the gradient of ``F.interpolate``
    is added up by atomic operations, about 160 for each cell in training on patches of 640 pixels.
    That is slow, differs from run to run, and in mixed precision rounds each sum to 8 bits. A CPU
    has no atomic additions there, and trains 9 % faster with ``F.interpolate``.
    """
    n, c, h, w = q.shape
    with torch.autocast(q.device.type, enabled=False):
        x = q.to(torch.promote_types(q.dtype, torch.float32))
        down, along = _weights(h, height, x).T, _weights(w, width, x)  # (H, h), (w, W)
        if q.is_contiguous(memory_format=torch.channels_last):
            x = along.T @ x.permute(0, 2, 3, 1)  # (N, h, W, C)
            u = (down @ x.reshape(n, h, width * c)).view(n, height, width, c).permute(0, 3, 1, 2)
        else:
            u = down @ (x @ along)
        return u.to(q.dtype)  # (N, C, H, W)


def _weights(cells: int, length: int, like: Tensor) -> Tensor:
    """Return what each of ``cells`` contributes to each of ``length`` pixels, (cells, length)."""
    identity = torch.eye(cells, dtype=like.dtype, device=like.device)
    return F.interpolate(identity[None], size=length, mode="linear", align_corners=False)[0]


def resize_in_window(q: Tensor, like: Tensor, window: Window | None) -> Tensor:
    """Stretch ``q`` (N, c, h, w) bilinearly to the size of ``like`` (N, c, H, W).

    Without a window this is ``F.interpolate(..., align_corners=False)``. With one it is the part of
    the whole image's stretched map that lies under the tile; cells outside ``q`` repeat its edge.
    """
    height, width = like.shape[-2:]
    if window is None:
        return F.interpolate(q, size=(height, width), mode="bilinear", align_corners=False)
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
