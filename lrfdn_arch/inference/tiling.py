"""Upscaling in tiles, without seams and in bounded memory.

A tile's result differs from the whole image's for two reasons. The attention stretches its map over
the image; a :class:`Window` corrects that exactly, in runtimes that support windows, because tiles
start on the attention's grid of 6 pixels. And convolutions pad the tile with zeros where the image
continues, which requires overlap: the receptive field of a block reaches about 36 pixels, mostly
through the low-resolution map, and its influence through four blocks decays fast. Largest
difference from the whole image on a photograph of 481x321, released weights, LRFDN / RFDN:

    overlap                32      64      96      128     304 (the whole field of view)
    with windows, LRFDN    4e-2    3e-3    3e-4    5e-6    1e-6 (float rounding)
    with windows, RFDN     2e-2    1e-3    1e-4    7e-6    7e-7
    without windows        .       3e-2    .       2e-2    .
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from lrfdn_arch.inference.runtimes import Floats, Result, Runtime
from lrfdn_arch.window import GRID, Window

DEFAULT_OVERLAP = 128  # within 1e-5 of the whole image's result
_RAMP = 16  # pixels over which neighbours are blended, in the middle of the overlap
SMALLEST_TILE = 48


class Span(NamedTuple):
    """One tile along one axis, in LR pixels."""

    start: int
    stop: int


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Cut ``length`` pixels into tiles of ``tile`` or a little less that start on multiples of 6.

    Neighbours share at least ``overlap`` pixels.

    Raises:
        ValueError: the tile is not larger than the overlap by at least 6 pixels.
    """
    if length <= tile:
        return [Span(0, length)]
    step = (tile - overlap) // GRID * GRID
    if step < GRID:
        raise ValueError(f"a tile of {tile} pixels must exceed its overlap, {overlap}, by {GRID}")
    last = -(-(length - tile) // GRID) * GRID
    starts = [*range(0, last, step), last]
    return [Span(start, min(start + tile, length)) for start in starts]


def upscale_in_bands(
    runtime: Runtime,
    lq: Floats,
    *,
    tile: int,
    overlap: int = DEFAULT_OVERLAP,
    on_tile: Callable[[float], object] = lambda share: None,
) -> Iterator[Result]:
    """Upscale one image tile by tile and yield it in bands, from top to bottom.

    Args:
        runtime: runs the network.
        lq: (C, H, W), float32 in [0, 1].
        tile: side of a tile in LR pixels, overlap included.
        overlap: the minimum number of LR pixels that neighbours share.
        on_tile: called after each tile with its share of the image; the shares add up to 1.

    Yields:
        (C, rows, W*scale), float32, not clamped, where the runtime's results are; together H*scale
        rows. The caller may modify them, and saves memory by deleting one before requesting the
        next.

    Raises:
        ValueError: ``tile`` is under 48 where the image is larger, or does not exceed ``overlap``.
        MemoryError: the runtime returned no result, or one of the wrong size.
    """
    scale, (height, width) = runtime.scale, lq.shape[-2:]
    if tile < min(SMALLEST_TILE, max(height, width)):
        raise ValueError(f"tiles need at least {SMALLEST_TILE} pixels, got {tile}")
    rows, columns = spans(height, tile, overlap), spans(width, tile, overlap)
    if len(rows) == len(columns) == 1:
        sr = _run(runtime, lq, None)
        on_tile(1)
        yield sr
        return
    down, along = _shares(rows, scale), _shares(columns, scale)
    leftover: Result | None = None
    for number, row in enumerate(rows):
        size = (lq.shape[0], (row.stop - row.start) * scale, width * scale)
        band: Result = np.zeros(size, np.float32)  # one row of tiles, weighted for blending
        for column, weights in zip(columns, along, strict=True):
            piece = lq[:, row.start : row.stop, column.start : column.stop]
            sr = _run(runtime, piece, Window(row.start, column.start, height, width))
            shares = down[number][:, None] * weights
            if not isinstance(sr, np.ndarray):  # on a GPU, where it stays
                band = sr.new_tensor(band) if isinstance(band, np.ndarray) else band
                shares = sr.new_tensor(shares)
            band[..., column.start * scale : column.stop * scale] += sr * shares
            del sr
            on_tile(1 / (len(rows) * len(columns)))
        if leftover is not None:
            band[:, : leftover.shape[1]] += leftover
        if number + 1 == len(rows):
            yield band
        else:
            done = (rows[number + 1].start - row.start) * scale
            yield band[:, :done]
            leftover = band[:, done:] + 0  # a copy
            del band  # before the next one is computed: bands of wide images are large


def _run(runtime: Runtime, piece: Floats, window: Window | None) -> Result:
    """Upscale (C, H, W) to (C, H*scale, W*scale)."""
    known = window is not None and runtime.knows_windows
    sr = runtime(piece[None], window) if known else runtime(piece[None])
    expected = (1, *piece.shape[:1], *(side * runtime.scale for side in piece.shape[1:]))
    if tuple(sr.shape) != expected:
        # OpenVINO does not raise when memory runs out: it returns nothing or its last result.
        raise MemoryError(f"{runtime.name} gave {tuple(sr.shape)} in place of {expected}")
    return sr[0]


def _shares(tiles: list[Span], scale: int) -> list[Floats]:
    """Return each tile's share of each of its output pixels; shares of one pixel add up to 1."""
    total = np.zeros(tiles[-1].stop * scale, np.float32)
    shares = []
    for tile, before, after in zip(tiles, [None, *tiles], [*tiles[1:], None], strict=False):
        pixels = (np.arange(tile.start * scale, tile.stop * scale, dtype=np.float32) + 0.5) / scale
        share = np.ones_like(pixels)
        if before is not None:
            share *= _ramp(before.stop, tile.start, pixels)
        if after is not None:
            share *= 1 - _ramp(tile.stop, after.start, pixels)
        total[tile.start * scale : tile.stop * scale] += share
        shares.append(share)
    places = [total[tile.start * scale : tile.stop * scale] for tile in tiles]
    return [share / place for share, place in zip(shares, places, strict=True)]


def _ramp(stop: int, start: int, pixels: Floats) -> Floats:
    """Return weights from 0 to 1 across the overlap of a tile ending at ``stop`` and the next."""
    middle, width = (stop + start) / 2, min(_RAMP, stop - start)
    if width == 0:
        return (pixels > middle).astype(np.float32)
    return ((pixels - middle) / width + 0.5).clip(0, 1)
