"""Drawing the crop, flips and rotation of a sample, and applying them."""

import struct
from hashlib import blake2b
from typing import NamedTuple

import cv2
import numpy as np

_DOMAIN = 0x63726F70  # keeps these random numbers apart from those the sampler shuffles with


class Augmentation(NamedTuple):
    """Where a crop starts, in pixels of the LR image, and how it is flipped and transposed.

    The flips come first, then the transposition; the eight combinations are the eight symmetries of
    a square.
    """

    top: int
    left: int
    hflip: bool
    vflip: bool
    transpose: bool


def draw(
    seed: int, epoch: int, index: int, slack: tuple[int, int], *, use_hflip: bool, use_rot: bool
) -> Augmentation:
    """Return the augmentation of one sample, a pure function of the arguments.

    As in BasicSR, ``use_hflip`` enables horizontal flips, and ``use_rot`` vertical flips and
    transposition, each drawn with probability one half; with both, all eight are equally likely.

    Args:
        seed: of the dataset; like ``epoch`` and ``index``, the image's, from 0 and below 2**64.
        epoch: of the sample.
        index: of the image.
        slack: largest offset of the crop (down, right), in pixels of the LR image.
        use_hflip: flip horizontally.
        use_rot: flip vertically, and transpose.
    """
    # A hash is the same on every platform and version, and takes 2 us where numpy's seeding takes
    # 50 with cold caches. The first word is for the flips, the others for the crop.
    key = struct.pack("<4Q", _DOMAIN, seed, epoch, index)
    coins, down, right = struct.unpack("<3Q", blake2b(key, digest_size=24).digest())
    return Augmentation(
        top=down % (slack[0] + 1),  # the bias of the remainder is below 1e-14
        left=right % (slack[1] + 1),
        hflip=use_hflip and bool(coins & 1),
        vflip=use_rot and bool(coins & 2),
        transpose=use_rot and bool(coins & 4),
    )


def choose(seed: int, iteration: int, count: int) -> int:
    """Return a number from 0 to ``count - 1``, equally likely, as a pure function of the arguments.

    Every process and every part of the batch of an ``iteration`` gets the same. Like ``seed`` it is
    at least 0 and below 2**64.
    """
    key = struct.pack("<3Q", _DOMAIN, seed, iteration)
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") % count


def cut(image: np.ndarray, size: int, augmentation: Augmentation, scale: int = 1) -> np.ndarray:
    """Crop a square from ``image``, flip and transpose it.

    OpenCV flips and transposes whole pixels, several times as fast as numpy.

    Args:
        image: uint8 (H, W, C), C being 1 or 3; may be a read-only view.
        size: side of the square in pixels of ``image``.
        augmentation: where the crop starts, in pixels of the LR image, and its flips.
        scale: side of an LR pixel in pixels of ``image``.

    Returns:
        A new contiguous uint8 array (size, size, C).
    """
    top, left = augmentation.top * scale, augmentation.left * scale
    patch = image[top : top + size, left : left + size]
    flip = _FLIP_CODES[augmentation.hflip, augmentation.vflip]
    if flip is not None:
        patch = cv2.flip(patch, flip)
    if augmentation.transpose:
        patch = cv2.transpose(patch)
    elif flip is None:
        patch = patch.copy()
    return patch.reshape(size, size, image.shape[2])  # OpenCV drops a single channel


_FLIP_CODES = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}
