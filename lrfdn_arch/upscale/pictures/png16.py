"""PNG of 16 bits per channel, which Pillow has not: OpenCV decodes and encodes colour."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIGNATURE_AND_HEADER = 8 + 25
_GREY_WITH_ALPHA = 4  # IHDR's colour type
_SUB = 1  # the filter that stores differences to the pixel on the left


def png_is_16_bit(path: Path) -> bool:
    """Whether IHDR says 16 bits per channel."""
    with path.open("rb") as file:
        return file.read(25)[24:25] == b"\x10"


def read_16_bit_png(path: Path) -> NDArray[Any]:
    """Return (H, W, C), uint16, alpha last; a grey that is transparent becomes alpha.

    Raises:
        ValueError: it is damaged, as are what else Pillow raises on damaged files.
    """
    import cv2

    encoded = np.fromfile(path, np.uint8)
    with Image.open(path) as image:
        image.load()  # OpenCV fills what a truncated file lacks with black; Pillow raises
        transparent = image.info.get("transparency")
    decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ValueError("OpenCV cannot decode it")
    if decoded.ndim == 3:
        pixels = _swap_red_and_blue(decoded)
        return pixels[..., [0, 3]] if encoded[25] == _GREY_WITH_ALPHA else pixels
    if not isinstance(transparent, int):
        return decoded[..., None]
    alpha = np.where(decoded == transparent, 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return np.stack((decoded, alpha), axis=2)


def encoded_16_bit_png(pixels: NDArray[Any], icc: bytes | None) -> bytes:
    """Encode (H, W, C), uint16."""
    encoded = _grey_with_alpha(pixels) if pixels.shape[2] == 2 else _by_opencv(pixels)
    if not icc:
        return encoded
    # OpenCV knows no profiles: theirs is a chunk right after the header.
    profile = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    return encoded[:_SIGNATURE_AND_HEADER] + profile + encoded[_SIGNATURE_AND_HEADER:]


def _by_opencv(pixels: NDArray[Any]) -> bytes:
    import cv2

    worked, buffer = cv2.imencode(".png", _swap_red_and_blue(pixels))
    if not worked:
        raise ValueError("OpenCV could not encode it as PNG")
    return buffer.tobytes()


def _grey_with_alpha(pixels: NDArray[Any]) -> bytes:
    """Encode what OpenCV does not know: grey with alpha."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, width * 4)
    filtered = np.full((height, 1 + width * 4), _SUB, np.uint8)
    filtered[:, 1:5] = rows[:, :4]
    filtered[:, 5:] = rows[:, 4:] - rows[:, :-4]  # modulo 256, as the filter is meant
    sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = _chunk(b"IHDR", sizes + bytes((16, _GREY_WITH_ALPHA, 0, 0, 0)))
    data = _chunk(b"IDAT", zlib.compress(filtered.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + header + data + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    length, check = len(data), zlib.crc32(kind + data)
    return length.to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")


def _swap_red_and_blue(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.shape[2] >= 3 else pixels
