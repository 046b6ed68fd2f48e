"""Reading and writing of images for evaluation: uint8 (H, W, 3), RGB."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lrfdn_arch.data.image_files import read_image_file
from lrfdn_arch.files import write_whole

Image = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def read_rgb(path: Path) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB; grey becomes three equal channels.

    Raises:
        ValueError: it is damaged.
    """
    # Not cv2.imread: it cannot open every name on every system, and prints instead of raising.
    data = np.frombuffer(read_image_file(path), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError(f"{path}: damaged image")
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)


def encode_png(image: Image) -> bytes:
    """Encode ``image`` as a PNG file; the result is deterministic."""
    done, data = cv2.imencode(".png", image[..., ::-1] if image.shape[2] == 3 else image)
    assert done, f"a uint8 image can be written, got {image.dtype} {image.shape}"
    return data.tobytes()


def write_png(path: Path, image: Image, *, overwrite: bool = False) -> None:
    """Write ``image``, (H, W, 3 or 1) uint8 RGB, to ``path``, creating its folder.

    Raises:
        FileExistsError: ``path`` exists with other content and ``overwrite`` is off.
    """
    data = encode_png(image)
    if path.exists() and not overwrite:
        if path.read_bytes() == data:
            return
        raise FileExistsError(
            f"{path} already exists and contains a different image. Choose another folder, or use "
            "--overwrite"
        )
    write_whole(path, data)


def crop_to_multiple(image: Image, scale: int) -> Image:
    """Crop bottom rows and right columns until height and width are multiples of ``scale``."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]
