"""Upscale one picture with a runtime: grey, alpha and 16 bits, whole or in tiles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrfdn_arch.device import free_memory, memory_errors
from lrfdn_arch.inference.runtimes import Floats, Result, Runtime
from lrfdn_arch.inference.tiling import DEFAULT_OVERLAP, upscale_in_bands
from lrfdn_arch.upscale.picture import Picture, with_hidden_filled

# Peak memory of the network, in feature maps of num_feat channels: the blocks' outputs, their
# concatenation, the input's features, a block's intermediate results, and the output's pixels.
_FEATURE_MAPS = 16
_SHARE_OF_FREE_MEMORY = 0.5
_LARGEST_TILE, _SMALLEST_AUTOMATIC_TILE = 2048, 256


@dataclass(frozen=True)
class PictureUpscaler:
    """A runtime as a function of pictures.

    ``tile`` is the side of a tile in input pixels, 0 for whole pictures, None to choose it by the
    free memory when a picture is upscaled; neighboring tiles share ``overlap`` pixels. ``on_tile``
    is called after each tile with its share of the picture; the shares add up to 1.
    """

    runtime: Runtime
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    on_tile: Callable[[float], object] = lambda share: None

    def __call__(self, picture: Picture) -> Picture:
        """Return the picture enlarged ``scale`` times, with the same depth, channels and profile.

        Raises:
            ValueError: the network's result is not finite.
            MemoryError: there is not enough memory for these tiles.
        """
        pixels, scale = picture.pixels, self.runtime.scale
        height, width, channels = pixels.shape
        with memory_errors():
            tile = self.tile
            if tile is None:
                held = height * width * 12 + pixels.nbytes * scale**2  # input and result
                tile = automatic_tile(height, width, self.runtime, held)
            tile = tile or max(height, width)
            out = np.empty((height * scale, width * scale, channels), pixels.dtype)
            if picture.has_alpha:
                colours = with_hidden_filled(pixels[..., :-1], pixels[..., -1])
                self._upscale(colours, tile, out[..., :-1], share=0.5)
                self._upscale(pixels[..., -1:], tile, out[..., -1:], share=0.5)
            else:
                self._upscale(pixels, tile, out)
        return replace(picture, pixels=out)

    def _upscale(
        self, pixels: NDArray[Any], tile: int, out: NDArray[Any], share: float = 1
    ) -> None:
        """Upscale (H, W, 1 or 3) into ``out``, which alone has the size of the result."""
        channels = pixels.shape[2]
        if pixels.min() == pixels.max() and channels == 1:  # usually opaque alpha
            out[...] = pixels.flat[0]
            self.on_tile(share)
            return
        row = 0
        for band in upscale_in_bands(
            self.runtime,
            network_input(pixels, self.runtime.channels),
            tile=tile,
            overlap=self.overlap,
            on_tile=lambda part: self.on_tile(part * share),
        ):
            if not isfinite(float(band.sum())):
                half = self.runtime.precision == "fp16"
                raise ValueError(
                    "the network's result is not finite (NaN or infinite): the weights are damaged"
                    + (", or --precision fp16 is too small for them" if half else "")
                )
            if channels < band.shape[0]:
                band = band.mean(0, keepdims=True)
            rows = _as_pixels(band, _largest(pixels))
            out[row : row + rows.shape[0]] = rows
            row += len(rows)
            del band, rows  # before the next band is computed
        assert row == len(out)


def _as_pixels(band: Result, largest: int | None) -> NDArray[Any]:
    """Clamp (C, H, W) and return it as (H, W, C), rounded to integers up to ``largest`` if given.

    ``band`` is overwritten. On a GPU this happens there, so that bytes are copied and not floats.
    """
    if isinstance(band, np.ndarray):
        np.clip(band, 0, 1, out=band)
        if largest is not None:
            band *= largest
            np.rint(band, out=band)
        return band.transpose(1, 2, 0)
    import torch

    with torch.inference_mode():  # where the band comes from
        band = band.clamp_(0, 1)
        if largest is not None:
            word = torch.uint8 if largest == 255 else torch.int32  # every device has these
            band = band.mul_(largest).round_().to(word)
        return band.permute(1, 2, 0).cpu().numpy()


def network_input(pixels: NDArray[Any], channels: int) -> Floats:
    """Return (H, W, 1 or 3) as (channels, H, W), float32 in [0, 1].

    Grey is repeated, or colors averaged, if their number differs from ``channels``.
    """
    largest = _largest(pixels) or 1
    lq = np.divide(pixels.transpose(2, 0, 1), largest, dtype=np.float32, order="C")
    if len(lq) != channels:
        lq = np.repeat(lq.mean(axis=0, keepdims=True), channels, axis=0)
    return lq


def _largest(pixels: NDArray[Any]) -> int | None:
    return np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else None


def automatic_tile(height: int, width: int, runtime: Runtime, held: int = 0) -> int:
    """Return the side of the largest square tile that fits into half of the free memory.

    Features and bands as wide as the picture are on the runtime's device, the ``held`` bytes in
    main memory. For a picture that fits as a whole, this is its larger side.
    """
    half = 1 if runtime.precision == "fp32" else 2
    per_pixel = 4 * runtime.num_feat * _FEATURE_MAPS // half + 12 * 3 * runtime.scale**2
    per_row = 2 * 12 * runtime.scale**2 * width  # a band, and its overlap with the next one
    held = held if runtime.device == "cpu" else 0
    room = max(0, free_memory(runtime.device) - held) * _SHARE_OF_FREE_MEMORY
    pixels = int(room / per_pixel)
    side = ((per_row**2 + 4 * per_pixel * room) ** 0.5 - per_row) / (2 * per_pixel)
    if height * width <= pixels and max(height, width) <= _LARGEST_TILE:
        return max(height, width)
    return max(_SMALLEST_AUTOMATIC_TILE, min(_LARGEST_TILE, int(side)))
