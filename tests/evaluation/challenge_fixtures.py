"""Small networks and images for tests of the challenge's tools."""

from pathlib import Path

import numpy as np
import torch

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.evaluation.images import Image, write_png

SCALE = 2


def smooth_image(height: int, width: int, seed: int) -> Image:
    """An image with structure, so that PSNR differs from image to image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return imresize(coarse, 8)[:height, :width]


def write_set(folder: Path, sizes: dict[str, tuple[int, int]], scale: int = SCALE) -> Path:
    """Write ``Tiny_LR/NAMExSCALE.png`` and ``Tiny_HR/NAME.png`` of the given HR (height, width)."""
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        hr = smooth_image(height, width, seed)
        write_png(folder / "Tiny_HR" / f"{name}.png", hr)
        even = hr[: height - height % scale, : width - width % scale]
        write_png(folder / "Tiny_LR" / f"{name}x{scale}.png", imresize(even, 1 / scale))
    return folder


def write_weights(folder: Path, scale: int = SCALE) -> dict[str, Path]:
    """Write weights of a tiny LRFDN and a tiny RFDN that come close to repeating pixels."""
    files = {}
    for network in (LRFDN, RFDN):
        torch.manual_seed(0)
        built = network(num_feat=8, num_block=1, upscale=scale)
        files[network.__name__] = folder / f"{network.__name__.lower()}_x{scale}.pth"
        torch.save(built.state_dict(), files[network.__name__])
    return files
