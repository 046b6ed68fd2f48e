"""One picture through a runtime: grey, alpha and 16 bits, whole or in tiles."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrfdn_arch.deploy.memory import free_memory
from lrfdn_arch.deploy.picture import Picture
from lrfdn_arch.deploy.runtimes import Runtime
from lrfdn_arch.deploy.tiling import DEFAULT_OVERLAP, upscale_in_bands

# Peak memory of the network, in feature maps of num_feat channels: the blocks' outputs, their
# concatenation, the input's features, what a block works on, and the output's pixels.
_FEATURE_MAPS = 16
_SHARE_OF_FREE_MEMORY = 0.5
_LARGEST_TILE, _SMALLEST_AUTOMATIC_TILE = 2048, 256


@dataclass(frozen=True)
class PictureUpscaler:
    """A runtime as a function of pictures.

    Attributes:
        runtime: what runs the network.
        tile: side of a tile in pixels of the input, 0 for whole pictures, None to choose by the
            memory that is free when a picture comes.
        overlap: pixels that neighbouring tiles share.
    """

    runtime: Runtime
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP

    def __call__(self, picture: Picture) -> Picture:
        """Return the picture in ``scale`` times the size, same depth, channels and profile.

        Raises:
            ValueError: tiles that cannot be, see :mod:`lrfdn_arch.deploy.tiling`.
        """
        pixels = picture.pixels
        colours = pixels[..., :-1] if picture.has_alpha else pixels
        parts = [self._upscale(colours)]
        if picture.has_alpha:
            parts.append(self._upscale(pixels[..., -1:]))
        return replace(picture, pixels=np.concatenate(parts, axis=2))

    def tile_for(self, height: int, width: int) -> int:
        """Return the side of the tiles for a picture of that size; the larger side for no tiles."""
        if self.tile == 0:
            return max(height, width)
        if self.tile is not None:
            return self.tile
        return automatic_tile(height, width, self.runtime)

    def _upscale(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Upscale (H, W, 1 or 3); what the network lacks in channels is repeated or averaged."""
        height, width, channels = pixels.shape
        scale = self.runtime.scale
        if pixels.min() == pixels.max() and channels == 1:  # opaque alpha, most of the time
            return np.full((height * scale, width * scale, 1), pixels.flat[0], pixels.dtype)
        largest = np.iinfo(pixels.dtype).max
        lq = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / largest)
        lq = _with_channels(lq, self.runtime.channels)
        out = np.empty((height * scale, width * scale, channels), pixels.dtype)
        tile = self.tile_for(height, width)
        row = 0
        for band in upscale_in_bands(self.runtime, lq, tile=tile, overlap=self.overlap):
            band = _with_channels(band, channels).clamp(0, 1).mul(largest).round()
            rows = band.permute(1, 2, 0).numpy().astype(pixels.dtype)
            out[row : row + len(rows)] = rows
            row += len(rows)
        assert row == height * scale
        return out


def automatic_tile(height: int, width: int, runtime: Runtime) -> int:
    """Return the side of the largest square tile whose features fit half of what is free.

    A picture that fits as a whole gives its larger side.
    """
    half = 1 if runtime.precision == "fp32" else 2
    bytes_per_pixel = 4 * runtime.num_feat * _FEATURE_MAPS // half + 12 * 3 * runtime.scale**2
    pixels = int(free_memory(runtime.device) * _SHARE_OF_FREE_MEMORY / bytes_per_pixel)
    if height * width <= pixels and max(height, width) <= _LARGEST_TILE:
        return max(height, width)
    return max(_SMALLEST_AUTOMATIC_TILE, min(_LARGEST_TILE, int(pixels**0.5)))


def _with_channels(image: Tensor, channels: int) -> Tensor:
    """Make (C, H, W) have ``channels``: grey from the mean of colours, colours by repeating."""
    if image.shape[0] == channels:
        return image
    return image.mean(dim=0, keepdim=True).expand(channels, -1, -1)
