"""Checks that all images are readable and match the scale, run before any network."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lrfdn_arch.evaluation.image_set import ImageSet, Pair
from lrfdn_arch.evaluation.images import Image, crop_to_multiple
from lrfdn_arch.text import first_few


def inspect(
    image_set: ImageSet, scale: int, on_image: Callable[[str], None] = lambda name: None
) -> str:
    """Read and check every image; return the sha256 of all names and pixels.

    HR is cropped to a multiple of ``scale`` before hashing. The hash is independent of the storage
    format: a folder and an LMDB of the same images have the same hash.

    Args:
        image_set: the images to check.
        scale: ratio of HR to LR; HR may have up to ``scale - 1`` additional rows and columns.
        on_image: called with the name of each image after it has been read.

    Raises:
        ValueError: images are damaged or their sizes do not match the scale.
    """
    digest, faults = hashlib.sha256(), []
    for pair in image_set.pairs:
        try:
            _add(digest, pair, scale)
        except (ValueError, OSError) as error:
            faults.append(str(error))
        on_image(pair.name)
    if faults:
        raise ValueError(
            f"{len(faults)} of the {len(image_set.pairs)} images of {image_set.name} cannot be "
            f"used at x{scale}:\n  " + first_few(faults, separator="\n  ")
        )
    return digest.hexdigest()


def _add(digest: Any, pair: Pair, scale: int) -> None:
    lr = pair.read_lr()
    images = [lr]
    if pair.read_hr is not None:
        hr = pair.read_hr()
        _check_sizes(pair.name, lr, hr, scale)
        images.append(crop_to_multiple(hr, scale))
    add_to_digest(digest, pair.name, images)


def add_to_digest(digest: Any, name: str, images: Iterable[Image]) -> None:
    """Add an image's LR and HR pixels, (H, W, 3) uint8 RGB, to a hashlib digest of a set."""
    for image in images:
        digest.update(f"{name} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())


def _check_sizes(name: str, lr: Image, hr: Image, scale: int) -> None:
    rest = [b - a * scale for a, b in zip(lr.shape[:2], hr.shape[:2], strict=True)]
    if all(0 <= r < scale for r in rest):
        return
    ratio = hr.shape[0] / lr.shape[0]
    raise ValueError(
        f"{name}: LR {lr.shape[1]}x{lr.shape[0]} and HR {hr.shape[1]}x{hr.shape[0]} differ by a "
        f"factor of {ratio:.3g}, expected {scale} (the scale of the weights)"
    )
