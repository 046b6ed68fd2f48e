"""Images as the challenge's kit reads, scales, rounds and writes them.

An image is a uint8 array (H, W, 3) in RGB order. A network's own range is [0, data_range]: 1 for
LRFDN's released weights, 255 for RFDN's.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrfdn_arch.files import write_whole

Image = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def read_rgb(path: Path) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB; grey becomes three equal channels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or no image.
    """
    # Not cv2.imread: it cannot open every name on every system and prints what it swallows.
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError(f"{path} is damaged or no image")
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)


def encode_png(image: Image) -> bytes:
    """Return ``image`` as the bytes of a PNG file, the same bytes every time."""
    done, data = cv2.imencode(".png", image[..., ::-1])
    assert done, f"a uint8 image can be written, got {image.dtype} {image.shape}"
    return data.tobytes()


def write_png(path: Path, image: Image) -> None:
    """Write ``image`` to ``path`` (made with its folders), whole or not at all.

    Raises:
        FileExistsError: there already is a file of that name with other content.
    """
    data = encode_png(image)
    if path.exists():
        if path.read_bytes() == data:
            return
        raise FileExistsError(
            f"{path} exists and is another image; nothing is overwritten silently. Choose another "
            "folder, or give --overwrite"
        )
    write_whole(path, data)


def to_network(image: Image, data_range: float, device: torch.device) -> Tensor:
    """Return ``image`` as (1, 3, H, W) float32 in [0, data_range] on ``device``."""
    chw = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return chw.unsqueeze(0).float().div(255 / data_range).to(device)


def to_image(output: Tensor, data_range: float) -> Image:
    """Return a network's output (1, 3, H, W) as an image: clamped, scaled to 255, rounded."""
    chw = output.squeeze(0).float().clamp(0, data_range).cpu().numpy()
    return np.uint8((chw.transpose(1, 2, 0) * 255.0 / data_range).round())  # type: ignore[return-value]


def crop_to_multiple(image: Image, scale: int) -> Image:
    """Cut rows and columns off the end until height and width are multiples of ``scale``."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]
