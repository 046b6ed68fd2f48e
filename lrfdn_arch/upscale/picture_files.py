"""Pictures from and to files: 8 and 16 bit, grey and colour, alpha, orientation, ICC, EXIF.

Pillow reads and writes 8 bits per channel. It has no 16-bit colour, so imagecodecs decodes and
encodes 16-bit PNG and tifffile 16-bit TIFF.
"""

import io
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.data.image_files import max_bytes, open_image, open_regular
from lrfdn_arch.files import replacing
from lrfdn_arch.upscale.exif import read_exif
from lrfdn_arch.upscale.formats import Format, check_holds
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


def read_picture(path: Path) -> Picture:
    """Read the first picture in ``path`` and turn it upright by its EXIF orientation.

    Palettes become RGB; CMYK and other colour spaces become RGB without their profile.

    Args:
        path: a regular file, or :data:`STREAM`.

    Raises:
        ValueError: it is not an image, is damaged or truncated, has more pixels than
            :func:`lrfdn_arch.data.image_files.max_pixels`, or has neither 8 nor 16 bits per
            channel.
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
    icc = image.info.get("icc_profile")
    if data and image.format == "PNG" and data[_PNG_DEPTH] == 16:
        import imagecodecs

        pixels = imagecodecs.png_decode(data)
    else:
        mode = _target_mode(image)
        icc = icc if image.mode not in ("CMYK", "YCbCr", "LAB", "HSV") else None
        pixels = np.asarray(image.convert(mode))
    exif = read_exif(image.getexif)  # after decoding: Pillow applies a TIFF's orientation itself
    omitted = exif.omitted
    # The further pictures of MPO, a camera's JPEG, are previews and depth maps of the first one.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        omitted += (MORE_PAGES,)
    return Picture(upright(pixels, exif.orientation), icc, exif.kept, omitted)


def _target_mode(image: Image.Image) -> str:
    """Return the mode of Pillow that keeps everything an 8-bit image contains."""
    if image.mode not in _GREY_MODES + _COLOUR_MODES:  # Pillow would clip their values to 0..255
        raise ValueError(
            f"contains values of more than 8 bits (Pillow's mode {image.mode}), which are not "
            "supported in this format; convert it to PNG or TIFF with 8 or 16 bits"
        )
    transparent = image.has_transparency_data
    if image.mode in _GREY_MODES:
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def write_picture(path: Path, picture: Picture, format: Format) -> None:
    """Write ``picture`` to ``path``, whole or not at all; an existing file is overwritten.

    Args:
        path: a file, or :data:`STREAM`.
        picture: the picture.
        format: of the file, whatever its name.

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
    pixels, icc = picture.pixels, _fitting_profile(picture, format)
    exif = picture.exif if format.metadata else None
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if format.name == "TIFF":
        return encode_tiff(pixels, icc, exif)
    if picture.is_16_bit:
        return _encode_16_bit_png(pixels, icc, exif)
    image = Image.fromarray(pixels)
    metadata = {"icc_profile": icc, "exif": exif}
    given = {name: value for name, value in metadata.items() if value}
    buffer = io.BytesIO()
    image.save(buffer, format.name, **format.options, **given)
    return buffer.getvalue()


def _fitting_profile(picture: Picture, format: Format) -> bytes | None:
    """Return the profile if it describes the colours written: viewers misread any other."""
    grey = picture.pixels.shape[2] <= 2 and format.name != "WEBP"  # which has no grey
    icc = picture.icc if format.metadata else None
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


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
