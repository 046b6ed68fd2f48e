"""Upscaling in tiles, for images too large to pass through the network in one piece."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor


def upscale_in_tiles(
    upscale: Callable[[Tensor], Tensor], lq: Tensor, *, scale: int, tile_size: int, overlap: int
) -> Tensor:
    """Upscale ``lq`` tile by tile; every output pixel comes from the tile it lies deepest in.

    Args:
        upscale: maps (N, C, h, w) to (N, C', h*scale, w*scale).
        lq: (N, C, H, W), float, in [0, 1].
        scale: the factor of ``upscale``.
        tile_size: side of a tile in LR pixels, overlap included.
        overlap: LR pixels two neighbours share, less than ``tile_size``.

    Returns:
        (N, C', H*scale, W*scale), of the type ``upscale`` returns.
    """
    height, width = lq.shape[-2:]
    result: Tensor | None = None
    for top, keep_top, keep_bottom in _spans(height, tile_size, overlap):
        for left, keep_left, keep_right in _spans(width, tile_size, overlap):
            sr = upscale(lq[..., top : top + tile_size, left : left + tile_size])
            if result is None:
                result = sr.new_empty(*sr.shape[:2], height * scale, width * scale)
            kept = sr[
                ...,
                (keep_top - top) * scale : (keep_bottom - top) * scale,
                (keep_left - left) * scale : (keep_right - left) * scale,
            ]
            result[
                ...,
                keep_top * scale : keep_bottom * scale,
                keep_left * scale : keep_right * scale,
            ] = kept
    assert result is not None, "an image has at least one pixel"
    return result


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int, int]]:
    """Return (start, keep from, keep to) of the tiles that cover ``length`` pixels.

    All tiles have the same size where the length allows it (the last ones move back), and the
    border between what two neighbours keep is the middle of what they share.
    """
    if length <= tile:
        return [(0, 0, length)]
    starts = [*range(0, length - tile, tile - overlap), length - tile]
    borders = [(before + tile + after) // 2 for before, after in pairwise(starts)]
    return list(zip(starts, [0, *borders], [*borders, length], strict=True))
