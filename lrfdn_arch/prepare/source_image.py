"""Converting photographs of any kind to what is stored: 8 bits, RGB or grey, a fitting size."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageOps

from lrfdn_arch.data import ppm
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.image_files import open_image

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_LEVEL = 1  # BasicSR's; the highest takes five times as long for 15 % less


@dataclass
class SourceImage:
    """An image ready to be stored."""

    pixels: np.ndarray  # uint8 (H, W, C), RGB or grey
    file: bytearray | None = None  # the PPM that ``pixels`` lies in, if it was decoded into one
    changes: list[str] = field(default_factory=list)  # what had to be done to it, for messages


def read(data: bytes, *, grey: bool = False, factor: float = 1, multiple: int = 1) -> SourceImage:
    """Decode an image file and make it 8 bit, RGB (or grey), with sides that are a multiple.

    Args:
        data: the whole file, of one of the kinds in `EXTENSIONS`.
        grey: one channel of luma (ITU-R BT.601) instead of RGB.
        factor: below 1 the image is made smaller by it, as by MATLAB's ``imresize``.
        multiple: the right and the bottom are cropped to a multiple of so many pixels.

    Raises:
        ValueError: it cannot be decoded, or a side is shorter than ``multiple`` pixels.
    """
    image = _decode(data)
    pixels, changes = image.pixels, image.changes
    if pixels.dtype != np.uint8:
        low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
        if high > 65535 or low < 0:
            raise ValueError(f"pixels of {pixels.dtype} up to {high} are of unknown range")
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        changes.append("16 bits rounded to 8")
    if pixels.shape[2] in (2, 4):
        pixels = np.ascontiguousarray(pixels[..., :-1])
        changes.append("alpha channel dropped")
    if pixels.shape[2] == 1 and not grey:
        pixels = np.repeat(pixels, 3, axis=2)
        changes.append("grey converted to RGB")
    elif pixels.shape[2] == 3 and grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        changes.append("RGB converted to grey")
    if factor != 1:
        pixels = imresize(pixels, factor)
        changes.append(f"made smaller by {factor:g}")
    height, width = pixels.shape[:2]
    bottom, right = height % multiple, width % multiple
    if bottom == height or right == width:
        raise ValueError(f"{width}x{height} pixels are fewer than the {multiple} it is cropped to")
    if bottom or right:
        pixels = pixels[: height - bottom, : width - right]
        changes.append(f"cropped to a multiple of {multiple} pixels")
    return SourceImage(pixels, image.file, changes)


def encode(image: SourceImage, codec: str, data: bytes | None = None) -> bytes | bytearray:
    """Return ``image`` as a ``ppm`` (no compression) or ``png``.

    It is not encoded again where ``data``, the file it was read from, will do.
    """
    if codec == "ppm":
        if image.file is not None and not image.changes:
            return image.file
        return ppm.encode(image.pixels)
    if data is not None and data.startswith(_PNG) and not image.changes:
        return data
    grey = image.pixels.shape[2] == 1
    bgr = image.pixels if grey else cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR)
    done, file = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    assert done, "OpenCV encodes any uint8 image"
    return file.tobytes()


def _decode(data: bytes) -> SourceImage:
    with open_image(data) as opened:
        if opened.format == "PNG":
            return _decode_png(data, opened)
        image = ImageOps.exif_transpose(opened)  # upright, as the camera was held
        changes = []
        if image.mode == "F":
            raise ValueError("pixels are floating point, of unknown range")
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode not in ("L", "LA", "RGB", "RGBA") and image.mode[:1] != "I":
            changes = [f"converted from {image.mode}"]
            image = image.convert("RGB")
        pixels = np.asarray(image)
    return SourceImage(pixels[..., None] if pixels.ndim == 2 else pixels, changes=changes)


def _decode_png(data: bytes, header: Image.Image) -> SourceImage:
    import imagecodecs  # a third faster than OpenCV or Pillow, and decodes into a given array

    file = pixels = None
    if header.mode == "RGB" and data[24] == 8 and "transparency" not in header.info:
        file, pixels = ppm.allocate(header.height, header.width, 3)
    try:
        decoded = imagecodecs.png_decode(data, out=pixels)
    except (imagecodecs.PngError, ValueError) as error:
        raise ValueError(f"damaged PNG: {error}") from error
    return SourceImage(decoded[..., None] if decoded.ndim == 2 else decoded, file)
