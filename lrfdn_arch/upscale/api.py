"""The Python API: ``Upscaler``, which ``lrfdn upscale`` runs on files."""

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.inference.fastest import open_weights
from lrfdn_arch.inference.tiling import DEFAULT_OVERLAP, SMALLEST_TILE
from lrfdn_arch.upscale.picture import Picture, upright
from lrfdn_arch.upscale.picture_files import picture_of
from lrfdn_arch.upscale.upscaler import PictureUpscaler, network_input

if TYPE_CHECKING:
    from torch import Tensor

# Pixels from which the runtime measured earlier pays for its start, and from which measuring pays.
_MUCH, _VERY_MUCH = 2_000_000, 8_000_000
# Sides of the measured image: it leaves the caches, and takes a fraction of a second. On a GPU
# small images measure only how fast the CPU starts kernels.
_SAMPLE, _SAMPLE_ON_GPU = 192, 768
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_Image = TypeVar("_Image", Image.Image, NDArray[Any], "Tensor")
Progress = Callable[[float], object]


class Upscaler:
    """Enlarges images with a network.

        upscaler = Upscaler()
        large = upscaler(Image.open("photo.jpg"))

    Args:
        weights: a file (.pth, .safetensors, .onnx), or the name of shipped or released weights; by
            default the environment variable LRFDN_WEIGHTS, else the shipped ``lrfdn_x4``.
        device: "cpu", "cuda" or "cuda:N"; by default a GPU that the runtime can use, else the CPU.
        precision: "fp32", "fp16" or "bf16", of the arithmetic; "auto" is fp32, or a lower one in
            which ``runtime`` is much faster here and the result nearly the same.
        tile: side of the tiles in input pixels, 0 for whole images; by default what fits into half
            of the free memory.
        overlap: input pixels that neighboring tiles share.
        runtime: "eager", "compiled", "onnx" or "openvino"; "auto" is one that starts fast, and once
            there is much to do the one that is fastest here, which is measured once.
        network_g: type and arguments of a network that ``weights`` does not contain.

    Attributes:
        runtime: what runs the network.
        scale: how much larger results are than images.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the weights are damaged or of an unknown network, or an argument does not fit.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str | None = None,
        precision: str = "auto",
        tile: int | None = None,
        overlap: int = DEFAULT_OVERLAP,
        runtime: str = "auto",
        network_g: Mapping[str, Any] | None = None,
    ) -> None:
        if overlap < 0:
            raise ValueError(f"--overlap must not be negative, got {overlap}")
        if tile and tile < max(SMALLEST_TILE, overlap + SMALLEST_TILE // 4):
            raise ValueError(
                f"--tile {tile} is too small: at least {SMALLEST_TILE}, and {SMALLEST_TILE // 4} "
                f"more than --overlap, which is {overlap}"
            )
        self._open = partial(
            open_weights,
            None if weights is None else str(weights),
            runtime,
            device=device,
            precision=None if precision == "auto" else precision,
            network_g=network_g,
        )
        self.runtime = self._open()
        self.scale = self.runtime.scale
        self._tile, self._overlap = tile, overlap
        self._pixels, self._next_choice = 0, _MUCH if runtime == "auto" else math.inf

    def __call__(self, image: _Image, progress: Progress = lambda share: None) -> _Image:
        """Return ``image`` enlarged ``scale`` times, as the same kind of object.

        Args:
            image: one of

                - a PIL image; palettes and other color spaces become RGB, and the EXIF orientation
                  is applied;
                - a numpy array (H, W) or (H, W, C), grey or RGB, and one channel more with alpha;
                  uint8, uint16, or floating point in [0, 1];
                - a torch tensor (N, C, H, W) of the same channels and values; the result is on its
                  device and has no gradient.
            progress: called after each tile with the finished share of the work, up to 1.

        Raises:
            ValueError: the image has another shape, type or range, or the result is not finite.
            MemoryError: there is not enough memory; a smaller ``tile`` needs less.
        """
        if isinstance(image, Image.Image):
            return self._image(image, progress)
        if isinstance(image, np.ndarray):
            return self._array(image, progress)
        torch = sys.modules.get("torch")  # without it, the image cannot be a tensor
        if torch is not None and isinstance(image, torch.Tensor):
            return self._tensor(image, progress)
        raise ValueError(
            f"expected a PIL image, a numpy array or a torch tensor, found {type(image).__name__}"
        )

    def upscale(self, picture: Picture, on_tile: Progress = lambda share: None) -> Picture:
        """Enlarge a picture; ``on_tile`` gets each tile's share, see :class:`PictureUpscaler`.

        Once there is much to do, ``runtime`` is replaced by the fastest one.
        """
        height, width = picture.pixels.shape[:2]
        self._pixels += height * width
        if self._pixels > self._next_choice:
            measure = self._pixels > _VERY_MUCH
            self._next_choice = math.inf if measure else _VERY_MUCH
            side = _SAMPLE if self.runtime.device == "cpu" else _SAMPLE_ON_GPU
            top, left = max(0, height - side) // 2, max(0, width - side) // 2
            middle = picture.pixels[top : top + side, left : left + side, :3]
            colors = middle if middle.shape[2] == 3 else middle[..., :1]
            sample = network_input(colors, self.runtime.channels)[None]
            self.runtime = self._open(sample=sample, measure=measure)
        return PictureUpscaler(self.runtime, self._tile, self._overlap, on_tile)(picture)

    def _image(self, image: Image.Image, progress: Progress) -> Image.Image:
        deep = image.mode == "I;16"
        picture = Picture(upright(np.asarray(image), 1)) if deep else picture_of(image)
        pixels = self.upscale(picture, _summed(progress)).pixels
        result = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        if picture.icc:
            result.info["icc_profile"] = picture.icc
        return result

    def _array(self, pixels: NDArray[Any], progress: Progress) -> NDArray[Any]:
        if pixels.ndim not in (2, 3) or not 1 <= (*pixels.shape, 1)[2] <= 4 or not pixels.size:
            raise ValueError(f"expected an array (H, W) or (H, W, 1 to 4), found {pixels.shape}")
        _check_values(pixels)
        shaped = pixels.reshape(*pixels.shape[:2], -1)
        result = self.upscale(Picture(shaped), _summed(progress)).pixels
        return result if pixels.ndim == 3 else result[..., 0]

    def _tensor(self, images: "Tensor", progress: Progress) -> "Tensor":
        import torch

        if images.ndim != 4 or not 1 <= images.shape[1] <= 4 or not images.numel():
            raise ValueError(f"expected a tensor (N, 1 to 4, H, W), found {tuple(images.shape)}")
        on_cpu = images.detach().cpu()
        if images.dtype == torch.bfloat16:  # which numpy lacks
            on_cpu = on_cpu.float()
        arrays = on_cpu.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
        _check_values(arrays)
        on_tile = _summed(progress, 1 / len(arrays))
        results = np.stack([self.upscale(Picture(pixels), on_tile).pixels for pixels in arrays])
        return torch.from_numpy(results).permute(0, 3, 1, 2).contiguous().to(images)


def _summed(progress: Progress, part: float = 1) -> Progress:
    """Return a function of shares that calls ``progress`` with ``part`` times their sum."""
    done = 0.0

    def on_tile(share: float) -> None:
        nonlocal done
        done = min(1.0, done + part * share)
        progress(1.0 if done > 1 - 1e-6 else done)  # a sum of floats may miss it

    return on_tile


def _check_values(pixels: NDArray[Any]) -> None:
    if pixels.dtype.name not in _DTYPES:
        raise ValueError(f"expected values of type {', '.join(_DTYPES)}, found {pixels.dtype}")
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f" and not 0 <= low <= high <= 1:  # NaN is refused as well
        raise ValueError(f"expected floating-point values in [0, 1], found {low:g} to {high:g}")
