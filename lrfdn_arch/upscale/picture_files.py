"""Pictures from and to files: 8 and 16 bit, grey and colour, alpha, orientation, ICC, EXIF.

Pillow reads and writes 8 bits per channel. It has no 16-bit colour, so imagecodecs decodes and
encodes 16-bit PNG and tifffile 16-bit TIFF.
"""

import io
import sys
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.data.image_files import max_bytes, open_image, open_regular
from lrfdn_arch.files import replacing
from lrfdn_arch.upscale.exif import read_exif
from lrfdn_arch.upscale.picture import MORE_PAGES, Picture, upright
from lrfdn_arch.upscale.tiff import encode_tiff, read_16_bit_tiff

STREAM = Path("-")  # stdin as a source, stdout as a target
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"),
    *(".gif", ".avif", ".ppm", ".pgm"),
)
_GREY_MODES = ("1", "L", "LA", "La")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_PNG_HEADER, _PNG_DEPTH = 33, 24  # bytes of the signature and the IHDR chunk; the bit depth's place


@dataclass(frozen=True)
class Format:
    """What a file format can hold and how Pillow writes it; ``largest_side`` is in pixels."""

    name: str
    suffix: str
    largest_side: int = 2**31 - 1
    alpha: bool = False
    sixteen_bit: bool = False
    metadata: bool = True  # ICC profile and EXIF
    options: Mapping[str, Any] = field(default_factory=dict)


FORMATS: Mapping[str, Format] = {
    "png": Format("PNG", ".png", 1_000_000, alpha=True, sixteen_bit=True),  # libpng's limit
    "jpg": Format("JPEG", ".jpg", 65_500, options={"quality": 95, "subsampling": 0}),
    "webp": Format("WEBP", ".webp", 16_383, True, options={"quality": 95, "exact": True}),
    "tif": Format("TIFF", ".tif", alpha=True, sixteen_bit=True),
    "bmp": Format("BMP", ".bmp", metadata=False),
}


def format_of(name: str, quality: int | None = None) -> Format:
    """Return the format with that name or suffix: png, jpg (jpeg), webp, tif (tiff) or bmp.

    ``quality``, 1 to 100, replaces the default of 95 of jpg and webp.
    """
    key = name.lower().removeprefix(".")
    found = FORMATS.get({"jpeg": "jpg", "tiff": "tif"}.get(key, key))
    if found is None:
        raise ValueError(f"format {name!r} is not known; choose {', '.join(FORMATS)}")
    if quality is None:
        return found
    if "quality" not in found.options or not 1 <= quality <= 100:
        raise ValueError(f"--quality {quality} with {found.name}: only jpg and webp take 1 to 100")
    return replace(found, options={**found.options, "quality": quality})


def check_holds(format: Format, picture: Picture, scale: int = 1) -> None:
    """Raise ValueError if ``format`` cannot hold the picture enlarged by ``scale``."""
    lacks = []
    if picture.is_16_bit and not format.sixteen_bit:
        lacks.append("16 bits per channel (--depth 8 rounds them)")
    if picture.has_alpha and not format.alpha:
        lacks.append("alpha (--drop-alpha leaves it out)")
    side = scale * max(picture.pixels.shape[:2])
    if side > format.largest_side:
        lacks.append(f"{side} pixels a side (at most {format.largest_side})")
    if lacks:
        able = "tif holds" if format.name == "PNG" else "png and tif hold"
        raise ValueError(f"{format.name} cannot hold {' nor '.join(lacks)}; {able} everything")


def read_picture(path: Path) -> Picture:
    """Read the first picture in a regular file or :data:`STREAM`, upright by its EXIF orientation.

    Palettes become RGB; CMYK and other colour spaces become RGB without their profile.

    Raises:
        ValueError: it is not an image, is damaged or truncated, has more pixels than
            :func:`lrfdn_arch.data.image_files.max_pixels`, or neither 8 nor 16 bits per channel.
    """
    if path == STREAM:
        name, data = "stdin", sys.stdin.buffer.read(max_bytes())
    else:
        with open_regular(path) as file:
            name, data = str(path), file.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tags; errors are raised
            if deep := read_16_bit_tiff(data):
                return deep
            with open_image(data) as image:
                return picture_of(image, data)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def picture_of(image: Image.Image, data: bytes = b"") -> Picture:
    """Return an image of Pillow as a picture; ``data`` is its file, for 16 bits per channel.

    Raises:
        ValueError: the image has more than 8 bits per channel, and ``data`` is not a PNG.
    """
    icc, mode = image.info.get("icc_profile"), image.mode
    if data and image.format == "PNG" and data[_PNG_DEPTH] == 16:
        import imagecodecs

        pixels = imagecodecs.png_decode(data)
    elif mode not in _GREY_MODES + _COLOUR_MODES:  # Pillow would clip their values to 0..255
        raise ValueError(
            f"contains values of more than 8 bits (Pillow's mode {mode}), which are not supported "
            "in this format; convert it to PNG or TIFF with 8 or 16 bits"
        )
    else:
        icc = None if mode in ("CMYK", "YCbCr", "LAB", "HSV") else icc
        kept = "L" if mode in _GREY_MODES else "RGB"
        pixels = np.asarray(image.convert(kept + "A" if image.has_transparency_data else kept))
    exif = read_exif(image.getexif)  # after decoding: Pillow applies a TIFF's orientation itself
    omitted = exif.omitted
    # The further pictures of MPO, a camera's JPEG, are previews and depth maps of the first one.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        omitted += (MORE_PAGES,)
    return Picture(upright(pixels, exif.orientation), icc, exif.kept, omitted)


def write_picture(path: Path, picture: Picture, format: Format) -> None:
    """Write to a file, whole or not at all, or to :data:`STREAM`; an existing file is overwritten.

    Raises:
        ValueError: the format cannot hold it, see :func:`check_holds`.
        OSError: the encoder failed.
    """
    check_holds(format, picture)
    try:
        encoded = _encode(picture, format)
    except OSError as error:
        raise OSError(f"{path} could not be written as {format.name} ({error})") from error
    if path == STREAM:
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
        return
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def _encode(picture: Picture, format: Format) -> bytes:
    pixels = picture.pixels
    icc, exif = (picture.icc, picture.exif) if format.metadata else (None, None)
    grey = pixels.shape[2] <= 2 and format.name != "WEBP"  # which has no grey
    if icc and icc[16:20] != (b"GRAY" if grey else b"RGB "):
        icc = None  # of other colours than those written: viewers would misread it
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if format.name == "TIFF":
        return encode_tiff(pixels, icc, exif)
    if picture.is_16_bit:
        return _encode_16_bit_png(pixels, icc, exif)
    metadata = {"icc_profile": icc, "exif": exif}
    given = {name: value for name, value in metadata.items() if value}
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format.name, **format.options, **given)
    return buffer.getvalue()


def _encode_16_bit_png(pixels: NDArray[Any], icc: bytes | None, exif: bytes | None) -> bytes:
    from imagecodecs import PNG, png_encode

    # OpenCV's settings: five times as fast as zlib's default level for 4 % larger files.
    encoded = png_encode(pixels, level=1, strategy=PNG.STRATEGY.RLE, filter=PNG.FILTER.SUB)
    chunks = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) if icc else b""
    chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")) if exif else b""
    return bytes(encoded[:_PNG_HEADER]) + chunks + encoded[_PNG_HEADER:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    length, check = len(data), zlib.crc32(kind + data)
    return length.to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")
